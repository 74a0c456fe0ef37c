#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

namespace mydocker::storage {

/// Deletes trees in the background. What is handed over is out of its place at once (one rename into tmp/); a crash
/// leaves it in tmp/, which is emptied at start. Trees are hostile: any depth, any names; nothing is followed.
/// Thread-safe (one mutex, not held while deleting). One thread, started with the first tree.
class Trash {
 public:
  /// `tmp` must exist and be on the file system of what is discarded.
  explicit Trash(std::string tmp);
  /// Waits for the tree in work; what is queued stays in tmp/ for the next start.
  ~Trash();
  Trash(const Trash&) = delete;
  Trash& operator=(const Trash&) = delete;

  /// Moves `path` away. Absence is fine. Throws Error{internal} when the rename fails.
  void discard(const std::string& path);
  /// Queues everything in tmp/: at start, before anybody makes something there.
  void discard_all_tmp();
  /// Blocks until the queue is empty.
  void wait();
  /// A new name in tmp/ that nothing has.
  std::string make_name(std::string_view prefix) const;

 private:
  void queue(std::string path);
  void work(const std::stop_token& stop);

  std::string tmp_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<std::string> queue_;
  bool busy_ = false;
  std::jthread thread_;
};

}  // namespace mydocker::storage
