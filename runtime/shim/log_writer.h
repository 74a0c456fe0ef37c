#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/unique_fd.h"
#include "runtime/log_format.h"
#include "runtime/shim_protocol.h"

namespace mydocker::shim {

/// Writes a container's output as a json-file log (runtime/log_format.h) and rotates it. Output is cut into lines; a
/// line without its end waits in memory (16 KiB at most), as Docker's do. The records of one write() reach the file in
/// one write(2), so a reader never sees half of one unless the disk is full or the machine dies.
/// A disk that refuses loses records, never blocks the container: the file is cut back to its last whole record, the
/// loss is logged when it begins and when it ends. Single-threaded; blocks on the disk.
class LogWriter {
 public:
  /// Opens or makes the file; a torn last line of a killed predecessor is closed. Driver "none" writes nothing.
  /// Throws Error{internal}, Error{invalid_argument} for an unknown driver,
  /// Error{not_implemented} for `compress`.
  explicit LogWriter(runtime::LogOptions options);

  void write(runtime::StreamId stream, std::string_view data);
  /// End of a stream: what waits for its line's end is written as it is.
  void finish(runtime::StreamId stream);
  /// Frees the buffer that a burst of output has left.
  void give_back_memory() { std::string().swap(batch_); }

 private:
  void add_line(runtime::StreamId stream, std::string_view line);
  void add_record(runtime::StreamId stream, std::string_view piece);
  void flush();
  void rotate();
  void open_file_for_append();
  std::string& pending(runtime::StreamId stream) { return pending_[stream == runtime::StreamId::err ? 1 : 0]; }

  runtime::LogOptions options_;
  std::string attributes_;
  UniqueFd file_;
  std::int64_t size_bytes_ = 0;
  std::string batch_;
  std::array<std::string, 2> pending_;
  std::uint64_t lost_bytes_ = 0;
};

}  // namespace mydocker::shim
