#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace mydocker::storage {

/// syncfs(2) for many: callers that arrive while one runs share the next. A layer's 20,000 files cost one sync, and ten
/// layers that end together cost two. Thread-safe; blocks on the disk.
class SyncGate {
 public:
  /// Everything written to the file system of `fd` before the call is durable afterwards. Throws Error{internal}, with
  /// ENOSPC when delayed allocation found no room.
  void sync(int fd);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t asked_ = 0;
  std::uint64_t done_ = 0;
  bool running_ = false;
};

}  // namespace mydocker::storage
