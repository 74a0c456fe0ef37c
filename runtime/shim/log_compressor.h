#pragma once

#include <cstdint>
#include <string>

#include "engine/base/unique_fd.h"
#include "runtime/shim/event_loop.h"

namespace mydocker::shim {

/// Makes path.N.gz of a log's rotated files, newest first, one at a time, in a child process of low priority: the
/// shim's loop never waits for it. A child that fails, or is killed with its shim, leaves the file as it was.
class LogCompressor final : private FdHandler {
 public:
  LogCompressor(EventLoop& loop, std::string log_path, std::int64_t max_files);
  ~LogCompressor();
  LogCompressor(const LogCompressor&) = delete;
  LogCompressor& operator=(const LogCompressor&) = delete;

  /// All rotated files have become one older; call after each rotation.
  void rotated();

 private:
  void on_ready(std::uint32_t events) override;
  void start_next();
  void start(std::int64_t index);
  void finish();
  void put_in_place();

  EventLoop& loop_;
  std::string log_path_;
  std::int64_t max_files_;
  std::int64_t index_ = 0;  ///< of the file that is being compressed, by now; 0: none
  std::int64_t failed_ = 0;
  UniqueFd source_;
  UniqueFd target_;  ///< without a name until it is complete
  UniqueFd result_;  ///< a byte when the child has succeeded, then the end
};

}  // namespace mydocker::shim
