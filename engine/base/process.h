#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "engine/base/unique_fd.h"

namespace mydocker {

/// How a child ended.
struct ExitStatus {
  int code = 0;    ///< exit code, or 0 when a signal ended it
  int signal = 0;  ///< the signal, or 0

  bool success() const noexcept { return code == 0 && signal == 0; }
  /// 128+n for a signal, as shells and Docker count.
  int shell_code() const noexcept { return signal != 0 ? 128 + signal : code; }
};

/// What a spawned program gets. Everything else of the caller stays behind (descriptors are close-on-exec).
struct SpawnOptions {
  std::string program;                   ///< absolute path, or "/proc/self/fd/N" of a sealed copy
  std::vector<std::string> arguments;    ///< argv, with argv[0]
  std::vector<std::string> environment;  ///< the complete environment
  std::vector<std::pair<int, int>> fds;  ///< (descriptor here, number there); 0-2 not named here are /dev/null
  bool new_session = false;              ///< setsid(2) in the child
};

/// A child process: pid and pidfd, waited on by its one owner. Move-only; any thread, one at a time.
/// Destroying it while it runs kills it (SIGKILL) and reaps it; `release()` leaves it running.
class Process {
 public:
  Process() = default;
  Process(Process&& other) noexcept { *this = std::move(other); }
  Process& operator=(Process&& other) noexcept;
  ~Process();

  /// posix_spawn(3) with an explicit descriptor map, reset signal mask and default handlers, then pidfd_open(2).
  /// None of our code runs between fork and exec. Throws Error{internal} naming the program.
  static Process spawn(const SpawnOptions& options);

  pid_t pid() const noexcept { return pid_; }
  int pidfd() const noexcept { return pidfd_.get(); }
  explicit operator bool() const noexcept { return pid_ > 0; }

  /// Blocks until it ends; reaps it.
  ExitStatus wait();
  /// false: it is gone already.
  bool kill(int signal);
  /// From now on nobody here waits for it; returns the pidfd.
  [[nodiscard]] UniqueFd release() noexcept;

 private:
  pid_t pid_ = -1;
  UniqueFd pidfd_;
};

/// Turns a waitid(2) result into an ExitStatus.
ExitStatus make_exit_status(int code, int status) noexcept;

}  // namespace mydocker
