#include "api/daemon/instance_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "engine/base/sys.h"

namespace mydocker::daemon {

InstanceLock::InstanceLock(const std::string& path, const std::string& what)
    : path_(path), fd_(open_file(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600)) {
  if (::flock(fd_.get(), LOCK_EX | LOCK_NB) == 0) return;
  if (errno != EWOULDBLOCK) throw sys_error("flock ", path);
  std::string pid = read_all(fd_.get(), 32, path);
  while (pid.ends_with('\n')) pid.pop_back();
  throw Error(ErrorKind::conflict, concat(what, " is in use by another engine", pid.empty() ? "" : ", process ", pid));
}

void InstanceLock::write_pid() const {
  const std::string text = concat(::getpid(), '\n');
  if (::ftruncate(fd_.get(), 0) != 0) throw sys_error("ftruncate ", path_);
  if (::pwrite(fd_.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
    throw sys_error("write ", path_);
  }
}

}  // namespace mydocker::daemon
