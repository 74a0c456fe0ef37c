#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/log_format.h"
#include "runtime/log_options.h"
#include "runtime/shim/event_loop.h"

namespace mydocker::shim {

/// How far a log that is read back has come: what was written so far stands in `file` before `offset_bytes`, but for
/// the beginnings of lines that wait for their ends. The texts are valid until the next write.
struct LogPosition {
  int file = -1;  ///< of the log
  std::int64_t offset_bytes = 0;
  std::string_view pending_out;
  std::string_view pending_err;
};

/// Where the output of a container goes to be kept. Single-threaded, in the shim's loop.
class LogSink {
 public:
  virtual ~LogSink() = default;
  virtual void write(runtime::StreamId stream, std::string_view data) = 0;
  /// End of a stream: what waits for its line's end is written as it is.
  virtual void finish(runtime::StreamId stream) = 0;
  /// nullopt: nothing of it can be read back here.
  virtual std::optional<LogPosition> position() const { return std::nullopt; }
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
  /// What waits for its line's end.
  std::string_view pending(runtime::StreamId stream) const { return pending_[index_of(stream)]; }

 private:
  static void cut_line(runtime::StreamId stream, std::string_view line, const Take& take);
  static std::size_t index_of(runtime::StreamId stream) { return stream == runtime::StreamId::err ? 1 : 0; }

  std::array<std::string, 2> pending_;
};

/// Buffers that were large once are given back: a shim lives long and is mostly idle.
void clear_and_shrink(std::string& buffer);

}  // namespace mydocker::shim
