#include "runtime/copy_up.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "engine/base/sys.h"

namespace mydocker::runtime {
namespace {

struct CloseDirectory {
  void operator()(DIR* directory) const noexcept { ::closedir(directory); }
};
using DirectoryHandle = std::unique_ptr<DIR, CloseDirectory>;

void copy_file(int from, int to, const std::string& name, mode_t mode) {
  const UniqueFd source = open_beneath(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  const UniqueFd target = open_at(to, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, mode & 07777);
  for (;;) {
    const ssize_t count =
        retry_on_eintr([&] { return ::sendfile(target.get(), source.get(), nullptr, std::size_t{1} << 30); });
    if (count < 0) throw sys_error("copy ", name);
    if (count == 0) return;
  }
}

void copy_link(int from, int to, const std::string& name) {
  char target[4096];
  const ssize_t length = ::readlinkat(from, name.c_str(), target, sizeof target - 1);
  if (length < 0) throw sys_error("readlink ", name);
  target[length] = '\0';
  if (::symlinkat(target, to, name.c_str()) != 0) throw sys_error("symlink ", name);
}

void copy_entry(int from, int to, const std::string& name) {
  struct stat status{};
  if (::fstatat(from, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) throw sys_error("stat ", name);
  if (S_ISDIR(status.st_mode)) {
    if (::mkdirat(to, name.c_str(), 0700) != 0) throw sys_error("mkdir ", name);
    const UniqueFd below = open_beneath(from, name, O_RDONLY | O_DIRECTORY);
    const UniqueFd made = open_beneath(to, name, O_RDONLY | O_DIRECTORY);
    copy_up(below.get(), made.get());
  } else if (S_ISREG(status.st_mode)) {
    copy_file(from, to, name, status.st_mode);
  } else if (S_ISLNK(status.st_mode)) {
    copy_link(from, to, name);
  } else if (::mknodat(to, name.c_str(), status.st_mode, status.st_rdev) != 0) {
    throw sys_error("mknod ", name);
  }
  if (::fchownat(to, name.c_str(), status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) != 0) {
    throw sys_error("chown ", name);
  }
  if (!S_ISLNK(status.st_mode) && ::fchmodat(to, name.c_str(), status.st_mode & 07777, 0) != 0) {
    throw sys_error("chmod ", name);
  }
  const timespec times[2] = {status.st_atim, status.st_mtim};
  if (::utimensat(to, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) throw sys_error("utimens ", name);
}

}  // namespace

void copy_up(int from, int to) {
  UniqueFd listing = open_at(from, ".", O_RDONLY | O_DIRECTORY);
  const DirectoryHandle directory(::fdopendir(listing.get()));
  if (!directory) throw sys_error("list a directory");
  (void)listing.release();
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") copy_entry(from, to, name);
  }
}

}  // namespace mydocker::runtime
