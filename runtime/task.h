#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "engine/base/mount.h"
#include "engine/base/trace.h"
#include "engine/base/unique_fd.h"
#include "runtime/cgroup.h"
#include "runtime/hooks.h"
#include "runtime/launch_error.h"
#include "runtime/net_devices.h"
#include "runtime/seccomp_program.h"
#include "runtime/spec.h"

/// The library's door: a container's processes. For single-threaded callers only (the shim, mydocker-runtime): children
/// run this program's own code between clone3 and execve. The caller is their parent and reaps them.
/// Everything blocks until the kernel is done. Errors: LaunchError (with Docker's exit code) for what the container or
/// the request is to blame for, Error{internal} for the rest.
namespace mydocker::runtime {

/// Borrowed descriptors; -1 is /dev/null. Unused with a terminal.
struct Stdio {
  int in = -1;
  int out = -1;
  int err = -1;
};

/// What goes beyond the OCI spec.
struct TaskOptions {
  std::string id;      ///< for messages and hooks
  Spec spec;           ///< validated by create()
  std::string bundle;  ///< absolute directory; also the place where the rootfs is attached in the new mount namespace
  std::optional<OverlayMount> overlay;  ///< the rootfs when set, else spec.root.path
  Cgroup* cgroup = nullptr;             ///< borrowed until start() has returned; joined and limited here. nullptr: none
  std::string user;  ///< "name|uid[:group|gid]" looked up in the rootfs; "": spec.process.user as it is
  std::vector<std::string> group_add;   ///< names or numbers, added to the supplementary groups
  bool resolve_home = false;            ///< sets HOME from the rootfs's passwd unless `env` has it
  bool default_seccomp = false;         ///< the built-in profile for the bounding set, instead of spec.linux.seccomp
  std::optional<FilterProgram> filter;  ///< of the profile that is to be in force, compiled already (load_or_compile)
  /// Types ("RLIMIT_NOFILE") that were asked for: refused when they cannot be set. All others are clamped.
  std::vector<std::string> requested_rlimits;
  Stdio stdio;
  std::vector<int> preserve_fds;  ///< become 3, 4, ... in the container
  int start_listener = -1;        ///< borrowed listening SEQPACKET socket: start() comes through it (start_created)
  bool die_with_parent = true;    ///< SIGKILL to the container when the caller ends
  bool new_keyring = true;        ///< a session keyring of its own
};

/// An exec into a running container.
struct ExecOptions {
  int init_pidfd = -1;  ///< borrowed: the container's PID 1
  pid_t init_pid = -1;
  Process process;
  std::optional<Personality> personality;     ///< the container's
  std::optional<MemoryPolicy> memory_policy;  ///< the container's
  std::optional<Seccomp> seccomp;
  bool default_seccomp = false;
  std::optional<FilterProgram> filter;  ///< of the profile that is to be in force, compiled already
  State state;                          ///< the container's, for the seccomp agent
  /// "cgroup.procs" and "tasks" files of groups below the container's, entered after it.
  std::vector<std::string> cgroup_files;
  Cgroup* cgroup = nullptr;  ///< the container's; joined before anything else (SECURITY R25)
  std::string user;          ///< as in TaskOptions
  std::vector<std::string> group_add;
  bool resolve_home = false;
  std::vector<std::string> requested_rlimits;
  Stdio stdio;
  std::vector<int> preserve_fds;
  bool die_with_parent = true;
};

/// A process of a container. Move-only. Destroying it while it is not yet started kills and reaps it; a started one is
/// left alone (its owner waits on pidfd()).
class Task {
 public:
  Task() = default;
  Task(Task&& other) noexcept;
  Task& operator=(Task&& other) noexcept;
  ~Task();

  /// Makes the namespaces and the init stage, which builds the rootfs while the caller goes on (network, wait_created).
  static Task create(TaskOptions options);

  pid_t pid() const noexcept { return pid_; }
  int pidfd() const noexcept { return pidfd_.get(); }
  /// The container's network namespace, at once; empty handle when it has the caller's.
  UniqueFd netns() const;
  /// Blocks until all but sysctl net.*, rights and execve is done. Throws LaunchError; then the task is dead and
  /// reaped.
  void wait_created();
  /// The pty's master, after wait_created() (empty without terminal). Gives it away.
  UniqueFd take_console() noexcept { return std::move(console_); }
  /// Blocks until execve succeeded. Throws LaunchError; then the task is dead and reaped.
  void start();
  /// From now on nobody here kills it.
  void release() noexcept;
  /// Where the time went: "clone", "limits", "rootfs" ...
  const Trace& trace() const noexcept { return trace_; }
  /// What went wrong without stopping the container: limits that are ignored by rule, failed poststart hooks.
  const std::vector<std::string>& warnings() const noexcept { return warnings_; }

 private:
  friend Task exec_task(const ExecOptions& options);

  void end() noexcept;
  /// While the init stage waits for it: network devices, hooks.
  void prepare_on_host();
  void take_warnings(const Cgroup& cgroup);

  pid_t pid_ = -1;
  bool owned_ = false;  ///< not yet started: ours to kill
  bool started_ = false;
  UniqueFd pidfd_;
  UniqueFd sync_;
  UniqueFd console_;
  std::optional<TaskOptions> options_;
  std::optional<MovedDevices> devices_;  ///< the host gets them back when the container does not start
  Trace trace_{"create"};
  std::vector<std::string> warnings_;
};

/// Runs a process inside a running container; returns when its execve succeeded, the console in take_console().
/// Throws LaunchError. The child is the caller's.
Task exec_task(const ExecOptions& options);

/// Lets the init stage behind `start_listener` go on, from another process, and runs the poststart hooks; throws
/// LaunchError as start() does. Gives warnings as Task::warnings().
std::vector<std::string> start_created(const std::string& socket_path, const Spec& spec, const State& state);

}  // namespace mydocker::runtime
