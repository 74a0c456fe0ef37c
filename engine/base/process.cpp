#include "engine/base/process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>

#include "engine/base/sys.h"

namespace mydocker {
namespace {

/// posix_spawn's attribute and action objects, destroyed whatever happens.
struct SpawnPlan {
  posix_spawn_file_actions_t actions{};
  posix_spawnattr_t attributes{};

  SpawnPlan() {
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;
  ~SpawnPlan() {
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
  }
};

std::vector<char*> make_argv(const std::vector<std::string>& words) {
  std::vector<char*> out;
  out.reserve(words.size() + 1);
  for (const std::string& word : words) out.push_back(const_cast<char*>(word.c_str()));  // execve(2) does not write
  out.push_back(nullptr);
  return out;
}

}  // namespace

ExitStatus make_exit_status(int code, int status) noexcept {
  if (code == CLD_EXITED) return ExitStatus{.code = status, .signal = 0};
  return ExitStatus{.code = 0, .signal = status};
}

Process Process::spawn(const SpawnOptions& options) {
  SpawnPlan plan;

  // Targets are filled from copies above every number in play, so that no dup2 overwrites a source still needed.
  int highest = 2;
  for (const auto& [from, to] : options.fds) highest = std::max(highest, to);
  std::vector<UniqueFd> copies;
  for (const auto& [from, to] : options.fds) {
    UniqueFd copy(::fcntl(from, F_DUPFD_CLOEXEC, highest + 1));
    if (!copy) throw sys_error("spawn ", options.program, ": dup ", from);
    copies.push_back(std::move(copy));
  }
  for (int standard = 0; standard <= 2; ++standard) {
    const bool named =
        std::any_of(options.fds.begin(), options.fds.end(), [&](const auto& pair) { return pair.second == standard; });
    if (!named) {
      ::posix_spawn_file_actions_addopen(&plan.actions, standard, "/dev/null", standard == 0 ? O_RDONLY : O_WRONLY, 0);
    }
  }
  for (std::size_t i = 0; i < options.fds.size(); ++i) {
    ::posix_spawn_file_actions_adddup2(&plan.actions, copies[i].get(), options.fds[i].second);
  }

  sigset_t none;
  sigset_t all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&plan.attributes, &none);
  ::posix_spawnattr_setsigdefault(&plan.attributes, &all);
  short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  if (options.new_session) flags = static_cast<short>(flags | POSIX_SPAWN_SETSID);
  ::posix_spawnattr_setflags(&plan.attributes, flags);

  std::vector<char*> argv = make_argv(options.arguments);
  std::vector<char*> envp = make_argv(options.environment);
  Process process;
  const int failure =
      ::posix_spawn(&process.pid_, options.program.c_str(), &plan.actions, &plan.attributes, argv.data(), envp.data());
  if (failure != 0) {
    process.pid_ = -1;
    throw make_sys_error(failure, concat("spawn ", options.program));
  }
  process.pidfd_ = open_pidfd(process.pid_);
  return process;
}

Process& Process::operator=(Process&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(pidfd_, other.pidfd_);
  return *this;
}

Process::~Process() {
  if (!pidfd_) return;
  ::kill(pid_, SIGKILL);  // our own unreaped child: the pid cannot have been reused
  siginfo_t info{};
  retry_on_eintr([&] { return ::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED); });
}

ExitStatus Process::wait() {
  siginfo_t info{};
  const int done = retry_on_eintr([&] { return ::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED); });
  if (done != 0) throw sys_error("waitid ", pid_);
  pidfd_.reset();
  pid_ = -1;
  return make_exit_status(info.si_code, info.si_status);
}

bool Process::kill(int signal) { return pidfd_ && signal_pidfd(pidfd_.get(), signal); }

UniqueFd Process::release() noexcept {
  pid_ = -1;
  return std::move(pidfd_);
}

}  // namespace mydocker
