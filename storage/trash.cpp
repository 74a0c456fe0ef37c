#include "storage/trash.h"

#include <dirent.h>

#include <cstdio>
#include <memory>

#include "engine/base/failpoint.h"
#include "engine/base/sys.h"

namespace mydocker::storage {
namespace {

using Dir = std::unique_ptr<DIR, int (*)(DIR*)>;

}  // namespace

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
      remove_tree(path);
    } catch (const Error&) {
      // It stays in tmp/, where the next start tries again; nobody waits for the reason.
    }
    lock.lock();
    busy_ = false;
    changed_.notify_all();
  }
}

}  // namespace mydocker::storage
