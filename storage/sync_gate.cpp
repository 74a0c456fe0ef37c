#include "storage/sync_gate.h"

#include <unistd.h>

#include <cerrno>

#include "engine/base/error.h"
#include "engine/base/failpoint.h"

namespace mydocker::storage {

void SyncGate::sync(int fd) {
  failpoint("storage.sync");
  std::unique_lock lock(mutex_);
  const std::uint64_t mine = ++asked_;
  while (done_ < mine) {
    if (running_) {
      changed_.wait(lock);
      continue;
    }
    running_ = true;
    const std::uint64_t covered = asked_;
    lock.unlock();
    const int failure = ::syncfs(fd) == 0 ? 0 : errno;
    lock.lock();
    running_ = false;
    if (failure == 0) done_ = covered;
    changed_.notify_all();
    if (failure != 0) throw make_sys_error(failure, "sync the file system");
  }
}

}  // namespace mydocker::storage
