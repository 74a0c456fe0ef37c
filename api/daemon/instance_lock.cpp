#include "api/daemon/instance_lock.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "engine/base/sys.h"

namespace mydocker::daemon {
namespace {

constexpr std::chrono::milliseconds patience{1000};
constexpr std::chrono::milliseconds ask_again{10};

}  // namespace

InstanceLock::InstanceLock(const std::string& path, const std::string& what)
    : path_(path), fd_(open_file(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600)) {
  struct flock lock{};
  lock.l_whence = SEEK_SET;
  // An engine that was killed a moment ago may still be on its way out of the kernel.
  const auto end = std::chrono::steady_clock::now() + patience;
  for (;;) {
    lock.l_type = F_WRLCK;
    if (::fcntl(fd_.get(), F_SETLK, &lock) == 0) return;
    if (errno != EACCES && errno != EAGAIN) throw sys_error("lock ", path);
    if (std::chrono::steady_clock::now() >= end) break;
    std::this_thread::sleep_for(ask_again);
  }
  const bool known = ::fcntl(fd_.get(), F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid > 0;
  throw Error(ErrorKind::conflict,
              concat(what, " is in use by another engine", known ? concat(", process ", lock.l_pid) : ""));
}

void InstanceLock::write_pid() const {
  const std::string text = concat(::getpid(), '\n');
  if (::ftruncate(fd_.get(), 0) != 0) throw sys_error("ftruncate ", path_);
  if (::pwrite(fd_.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    throw sys_error("write ", path_);
  }
}

}  // namespace mydocker::daemon
