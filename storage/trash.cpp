#include "storage/trash.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <vector>

#include "engine/base/failpoint.h"
#include "engine/base/sys.h"

namespace mydocker::storage {
namespace {

constexpr int deepest_level = 32;  ///< of recursion; also the most descriptors held

using Dir = std::unique_ptr<DIR, int (*)(DIR*)>;

/// Removes one tree whose top is `top_name` in the trusted directory `home`.
class Removal {
 public:
  Removal(int home, std::string prefix) : home_(home), prefix_(std::move(prefix)) {}

  void remove(const std::string& name) {
    struct stat status{};
    if (::fstatat(home_, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) return;
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
    UniqueFd child(
        retry_on_eintr([&] { return ::openat(dir, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC); }));
    if (!child && errno == ENOENT) return;
    if (!child) throw sys_error("open ", name);
    struct stat status{};
    if (::fstat(child.get(), &status) != 0) throw sys_error("stat ", name);
    if (status.st_dev != device_) {
      throw Error(ErrorKind::internal, concat("remove ", name, ": another file system is mounted there"));
    }
    remove_children(std::move(child), level);
    if (::unlinkat(dir, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) throw sys_error("rmdir ", name);
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

std::string last_part(const std::string& path) { return path.substr(path.find_last_of('/') + 1); }

}  // namespace

void remove_untrusted_tree(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  const UniqueFd home = open_file(slash == 0 ? "/" : path.substr(0, slash), O_RDONLY | O_DIRECTORY);
  const std::string name = last_part(path);
  Removal(home.get(), concat(name, ".", random_hex(4))).remove(name);
}

Trash::Trash(std::string tmp) : tmp_(std::move(tmp)) {}

Trash::~Trash() {
  {
    const std::scoped_lock lock(mutex_);
    queue_.clear();
  }
  if (thread_.joinable()) thread_.request_stop();
}

std::string Trash::make_name(std::string_view prefix) const { return concat(tmp_, "/", prefix, "-", random_hex(8)); }

void Trash::discard(const std::string& path) {
  failpoint("trash.discard");
  if (path.starts_with(tmp_ + "/")) return queue(path);
  const std::string name = make_name("trash");
  if (::rename(path.c_str(), name.c_str()) != 0) {
    if (errno == ENOENT) return;
    throw sys_error("move ", path, " to ", tmp_);
  }
  queue(name);
}

void Trash::discard_all_tmp() {
  const Dir dir(::opendir(tmp_.c_str()), ::closedir);
  if (!dir) throw sys_error("open ", tmp_);
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") queue(concat(tmp_, "/", name));
  }
}

void Trash::queue(std::string path) {
  const std::scoped_lock lock(mutex_);
  queue_.push_back(std::move(path));
  if (!thread_.joinable()) {
    thread_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
  }
  changed_.notify_all();
}

void Trash::wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return queue_.empty() && !busy_; });
}

void Trash::work(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (changed_.wait(lock, stop, [this] { return !queue_.empty(); })) {
    const std::string path = std::move(queue_.front());
    queue_.pop_front();
    busy_ = true;
    lock.unlock();
    try {
      remove_untrusted_tree(path);
    } catch (const Error&) {
      // It stays in tmp/, where the next start tries again; nobody waits for the reason.
    }
    lock.lock();
    busy_ = false;
    changed_.notify_all();
  }
}

}  // namespace mydocker::storage
