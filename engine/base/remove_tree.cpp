#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <vector>

#include "engine/base/sys.h"

namespace mydocker {
namespace {

constexpr int deepest_level = 32;  ///< of recursion; also the most descriptors held
constexpr int most_rounds = 1000;  ///< through a directory into which an ending process still writes

bool is_absence(int errno_value) { return errno_value == ENOENT || errno_value == ENOTDIR; }

using Dir = std::unique_ptr<DIR, int (*)(DIR*)>;

/// Removes one tree of the trusted directory `home`. What lies too deep is moved up beside it first.
class Removal {
 public:
  Removal(int home, std::string prefix) : home_(home), prefix_(std::move(prefix)) {}

  void remove(const std::string& name) {
    struct stat status{};
    if (::fstatat(home_, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (is_absence(errno)) return;
      throw sys_error("stat ", name);
    }
    device_ = status.st_dev;
    remove_entry(home_, name, 0);
    while (!moved_up_.empty()) {
      const std::string next = std::move(moved_up_.back());
      moved_up_.pop_back();
      remove_entry(home_, next, 0);
    }
  }

 private:
  void remove_entry(int dir, const std::string& name, int level) {
    if (::unlinkat(dir, name.c_str(), 0) == 0 || errno == ENOENT) return;
    if (errno != EISDIR && errno != EPERM) throw sys_error("unlink ", name);
    if (level >= deepest_level) return move_up(dir, name);
    for (int round = 1;; ++round) {
      if (!empty(dir, name, level)) return;
      if (::unlinkat(dir, name.c_str(), AT_REMOVEDIR) == 0 || errno == ENOENT) return;
      if (errno != ENOTEMPTY || round == most_rounds) throw sys_error("rmdir ", name);
    }
  }

  /// false: it is gone.
  bool empty(int dir, const std::string& name, int level) {
    UniqueFd child(
        retry_on_eintr([&] { return ::openat(dir, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC); }));
    if (!child && errno == ENOENT) return false;
    if (!child) throw sys_error("open ", name);
    struct stat status{};
    if (::fstat(child.get(), &status) != 0) throw sys_error("stat ", name);
    if (status.st_dev != device_) {
      throw Error(ErrorKind::internal, concat("remove ", name, ": another file system is mounted there"));
    }
    remove_children(std::move(child), level);
    return true;
  }

  void remove_children(UniqueFd dir_fd, int level) {
    const int fd = dir_fd.get();
    const Dir dir(::fdopendir(fd), ::closedir);
    if (!dir) throw sys_error("fdopendir");
    static_cast<void>(dir_fd.release());  // closedir closes it
    while (const dirent* entry = ::readdir(dir.get())) {
      const std::string name = entry->d_name;
      if (name != "." && name != "..") remove_entry(fd, name, level + 1);
    }
  }

  void move_up(int dir, const std::string& name) {
    std::string aside = concat(prefix_, ".", moves_++);
    if (::renameat(dir, name.c_str(), home_, aside.c_str()) != 0) throw sys_error("move ", name);
    moved_up_.push_back(std::move(aside));
  }

  int home_;
  std::string prefix_;
  dev_t device_ = 0;
  std::size_t moves_ = 0;
  std::vector<std::string> moved_up_;
};

}  // namespace

void remove_tree_at(int dir, const std::string& name) { Removal(dir, concat(name, ".", random_hex(4))).remove(name); }

void remove_tree(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return remove_tree_at(AT_FDCWD, path);
  UniqueFd home;
  try {
    home = open_file(slash == 0 ? "/" : path.substr(0, slash), O_RDONLY | O_DIRECTORY);
  } catch (const Error& error) {
    if (is_absence(error.errno_value())) return;
    throw;
  }
  remove_tree_at(home.get(), path.substr(slash + 1));
}

}  // namespace mydocker
