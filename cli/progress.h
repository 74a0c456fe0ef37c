#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "api/types/progress.h"
#include "cli/client.h"

/// Shows the progress streams of pull, push, load and import (WIRE 8): moving lines on a terminal, plain lines
/// elsewhere. One thread.
namespace mydocker::cli {

class ProgressDisplay {
 public:
  /// Writes to `fd`; `width` 0 = not a terminal.
  ProgressDisplay(int fd, std::size_t width) : fd_(fd), width_(width) {}

  /// Throws Error{internal} with the engine's text when the message is an error.
  void show(const api::ProgressMessage& message);

 private:
  int fd_;
  std::size_t width_;
  std::map<std::string, std::size_t> lines_;

  bool on_terminal() const noexcept { return width_ > 0; }
  void write(std::string_view text) const;
};

/// "[====>    ]  32.77kB/2.22MB"; the bar only where the terminal has room for it.
std::string progress_text(const api::ProgressDetail& detail, std::size_t width);

/// Shows everything that a stream says; `aux` sees the objects of its messages. Throws as show().
void show_progress(ApiStream& stream, int fd, const std::function<void(const json::value&)>& aux = {});

}  // namespace mydocker::cli
