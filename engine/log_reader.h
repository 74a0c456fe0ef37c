#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/time.h"
#include "engine/base/unique_fd.h"

/// Reads the logs of the drivers json-file and local back (formats: runtime/log_format.h, runtime/log_compact.h;
/// semantics: WIRE 9).
namespace mydocker::engine {

struct LogReadOptions {
  bool want_stdout = true;
  bool want_stderr = true;
  bool follow = false;
  bool timestamps = false;
  bool details = false;
  bool compact = false;    ///< the log is one of the driver local
  bool framed = true;      ///< one stdcopy frame a record; false (tty): the same bytes without frames
  std::int64_t tail = -1;  ///< the last N records of both streams; below 0: all
  Timestamp since{};       ///< inclusive; Timestamp{}: from the beginning
  Timestamp until{};       ///< the first later record ends the reading; Timestamp{}: no end
};

enum class LogReadState {
  more,      ///< call again (the step was full, perhaps with nothing that matched)
  waiting,   ///< all that is stored was read; a change of the file brings more (follow only)
  finished,  ///< nothing will come any more
};

/// A moment in the life of a log: what was written before it.
struct LogEnd {
  UniqueFd file;  ///< the newest one of then, whatever has become of its name; empty: there was no log
  std::int64_t offset_bytes = 0;
};
/// The end of the log as it stands. Throws Error{internal} when it cannot be read. Blocks on the disk.
LogEnd find_log_end(const std::string& path);

/// One reading of one container's log, across rotation. A step reads a bounded number of bytes (256 KiB), so that the
/// I/O thread may call it; finding the start costs a few reads for `since` (binary search) and reads from the end for
/// `tail`, in bounded steps, too. A compressed file is unpacked as a whole when it is needed: while may_block() says
/// so, and in the constructor, a step may take as long as that. Not thread-safe. The log may be written, rotated or
/// deleted meanwhile. What the start was asked for includes everything that was written before the constructor
/// returned.
class LogReader {
 public:
  /// `path` of the newest file. A log that does not exist is empty (follow waits for it).
  LogReader(std::string path, LogReadOptions options);
  /// Reads from the beginning to `end` (options tail, since and follow mean nothing), whatever is written or rotated
  /// meanwhile, and nothing twice. What rotation had removed before the constructor looked is missing at the beginning.
  LogReader(std::string path, LogReadOptions options, LogEnd end);
  /// Such a reading, finished, goes on to a later end.
  void read_on(LogEnd end);
  ~LogReader();
  LogReader(LogReader&&) noexcept;
  LogReader& operator=(LogReader&&) noexcept;

  /// Appends what is next, about `max_bytes` at most (a record more), to `out`. Throws Error{internal} when a file
  /// cannot be read.
  LogReadState read_some(std::string& out, std::size_t max_bytes = std::size_t{64} << 10);
  /// A compressed file may have to be unpacked.
  bool may_block() const noexcept;
  /// The container has ended (or was removed): read what is stored, then finish instead of waiting.
  void stop_following() noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Tells when logs grow: one inotify instance for all readers of an engine (the kernel allows 128 per user). I/O thread
/// only: the owner polls `fd()` and calls `dispatch()`.
class LogWatcher {
 public:
  /// Ends the subscription when destroyed. May outlive nothing: the watcher must live longer.
  class Subscription {
   public:
    Subscription() = default;
    Subscription(Subscription&& other) noexcept { *this = std::move(other); }
    Subscription& operator=(Subscription&& other) noexcept;
    ~Subscription();

   private:
    friend class LogWatcher;
    LogWatcher* watcher_ = nullptr;
    std::uint64_t number_ = 0;
  };

  /// Throws Error{internal} when the kernel gives no inotify instance.
  LogWatcher();

  int fd() const noexcept { return inotify_.get(); }
  /// `on_change` is called from dispatch() after each change of the log or its rotation. Subscribe first, then read to
  /// `waiting`: so nothing is missed. The directory of `log_path` must exist.
  [[nodiscard]] Subscription subscribe(const std::string& log_path, std::function<void()> on_change);
  /// Reads what the kernel has and calls those concerned. Never blocks.
  void dispatch();

 private:
  struct Entry {
    int watch = -1;
    std::string name;
    std::function<void()> on_change;
  };
  void unsubscribe(std::uint64_t number) noexcept;

  UniqueFd inotify_;
  std::uint64_t next_number_ = 1;
  std::map<std::uint64_t, Entry> entries_;
};

}  // namespace mydocker::engine
