#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "runtime/log_format.h"
#include "runtime/log_options.h"
#include "runtime/shim/event_loop.h"

namespace mydocker::shim {

/// Where the output of a container goes to be kept. Single-threaded, in the shim's loop.
class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual void write(runtime::StreamId stream, std::string_view data) = 0;
  /// End of a stream: what waits for its line's end is written as it is.
  virtual void finish(runtime::StreamId stream) = 0;
  /// false: more output would only be lost or pile up; the container should wait for `on_room` (open_log).
  virtual bool has_room() const noexcept { return true; }
  /// The container has ended: returns when everything was delivered, or after a moment.
  virtual void close() {}
  /// Frees what a burst of output has left.
  virtual void give_back_memory() {}
};

/// Makes the writer of `options.driver`, with a copy beside it if that is wanted. `on_room` is called when has_room()
/// becomes true again. Throws Error{invalid_argument} for an unknown driver, Error{unavailable} in the driver's words
/// when its server cannot be reached, Error{internal}.
std::unique_ptr<LogSink> open_log(EventLoop& loop, runtime::LogOptions options, std::function<void()> on_room);

/// Cuts output into lines, and lines longer than 16 KiB into pieces; a line without its end waits here, as in Docker.
class LineCutter {
 public:
  using Take = std::function<void(runtime::StreamId, std::string_view)>;

  void write(runtime::StreamId stream, std::string_view data, const Take& take);
  void finish(runtime::StreamId stream, const Take& take);

 private:
  static void cut_line(runtime::StreamId stream, std::string_view line, const Take& take);
  std::string& pending(runtime::StreamId stream) { return pending_[stream == runtime::StreamId::err ? 1 : 0]; }

  std::array<std::string, 2> pending_;
};

/// Buffers that were large once are given back: a shim lives long and is mostly idle.
void clear_and_shrink(std::string& buffer);

}  // namespace mydocker::shim
