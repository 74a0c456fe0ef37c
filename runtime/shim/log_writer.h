#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "engine/base/unique_fd.h"
#include "runtime/log_compact.h"
#include "runtime/log_format.h"
#include "runtime/shim/log_compressor.h"
#include "runtime/shim/log_sink.h"
#include "runtime/shim_protocol.h"

namespace mydocker::shim {

/// Writes a container's output into a file and rotates it: driver json-file (runtime/log_format.h) or local
/// (runtime/log_compact.h). The records of one write() reach the file in one write(2), so a reader never sees half of
/// one unless the disk is full or the machine dies.
/// A disk that refuses loses records, never blocks the container: the file is cut back to its last whole record, the
/// loss is logged when it begins and when it ends. Single-threaded; blocks on the disk.
class LogWriter final : public LogSink {
 public:
  /// Opens or makes the file; a torn last line of a killed predecessor is closed. Driver "none" writes nothing.
  /// `loop` may be nullptr without `compress`. Throws Error{internal}, Error{invalid_argument} for an unknown driver.
  explicit LogWriter(runtime::LogOptions options, EventLoop* loop = nullptr);

  void write(runtime::StreamId stream, std::string_view data) override;
  void finish(runtime::StreamId stream) override;
  std::optional<LogPosition> position() const override;
  void give_back_memory() override { std::string().swap(batch_); }

 private:
  void add_record(runtime::StreamId stream, std::string_view piece);
  void flush();
  void rotate();
  void begin_afresh();
  void open_file_for_append();

  runtime::LogOptions options_;
  std::string attributes_;
  bool compact_ = false;
  LineCutter cutter_;
  LineCutter::Take take_;
  UniqueFd file_;
  std::int64_t size_bytes_ = 0;
  std::string batch_;
  std::uint64_t lost_bytes_ = 0;
  runtime::LogIndexWriter index_;  ///< of compact logs
  std::unique_ptr<LogCompressor> compressor_;
};

}  // namespace mydocker::shim
