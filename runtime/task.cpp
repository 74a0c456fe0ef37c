#include "runtime/task.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "engine/base/failpoint.h"
#include "engine/base/process.h"
#include "engine/base/sys.h"
#include "runtime/device_filter.h"
#include "runtime/hooks.h"
#include "runtime/id_mapped_mounts.h"
#include "runtime/init_stage.h"
#include "runtime/mount_options.h"
#include "runtime/namespaces.h"
#include "runtime/rights.h"
#include "runtime/sync.h"

namespace mydocker::runtime {
namespace {

State make_state(const TaskOptions& options, pid_t pid, std::string status) {
  State state;
  state.id = options.id;
  state.status = std::move(status);
  state.pid = pid;
  state.bundle = options.bundle;
  state.annotations = options.spec.annotations;
  return state;
}

bool has_new_user_namespace(const Spec& spec) {
  const Namespace* user = find_namespace(spec, "user");
  return user != nullptr && user->path.empty();
}

/// From here and not from the child: a process that cannot be dumped may not write its own score in a user namespace.
void write_oom_score(pid_t pid, const std::optional<std::int32_t>& score) {
  if (!score) return;
  try {
    write_kernel_file(concat("/proc/", pid, "/oom_score_adj"), std::to_string(*score));
  } catch (const Error& error) {
    const bool forbidden = error.errno_value() == EACCES || error.errno_value() == EPERM;
    if (!forbidden) throw;
    if (*score == 0) return;  // the default; lowering to it takes CAP_SYS_RESOURCE
    throw LaunchError(ErrorKind::invalid_argument,
                      concat("cannot set oom_score_adj to ", *score, ": the engine lacks CAP_SYS_RESOURCE"), 128,
                      error.errno_value());
  }
}

Resources complete_resources(const Resources& resources) {
  Resources out = resources;
  out.devices = with_default_devices(resources.devices);
  return out;
}

std::string describe_death(int pidfd) {
  siginfo_t status{};
  const bool ended = ::waitid(P_PIDFD, static_cast<id_t>(pidfd), &status, WEXITED | WNOWAIT) == 0;
  const ExitStatus exit = ended ? make_exit_status(status.si_code, status.si_status) : ExitStatus{};
  if (exit.signal != 0)
    return concat("the container's first process was killed by signal ", exit.signal, " before it could start");
  return concat("the container's first process ended with ", exit.code, " before it could start");
}

/// Hands the listener on to the agent that the profile names (OCI config-linux.md "containerProcessState").
void forward_listener(const Seccomp& seccomp, const State& state, pid_t pid, int listener) {
  json::object message;
  message["ociVersion"] = state.version;
  message["fds"] = json::array{"seccompFd"};
  message["pid"] = pid;
  message["metadata"] = seccomp.listener_metadata;
  message["state"] = to_json(state);
  const UniqueFd socket = connect_unix(seccomp.listener_path, SOCK_STREAM);
  send_packet(socket.get(), write_json(message), std::span<const int>(&listener, 1));
}

/// Reads until the end of the stream. true: execve succeeded. Throws what the other side reports.
bool await_execution(SyncSocket& sync, const std::optional<Seccomp>& seccomp, const State& state) {
  bool executing = false;
  while (std::optional<SyncMessage> message = sync.receive()) {
    if (message->word == Sync::executing) executing = true;
    if (message->word != Sync::listener || !seccomp) continue;
    forward_listener(*seccomp, state, state.pid, message->fd.get());
    sync.send(Sync::listener_taken);
  }
  return executing;
}

/// runtime.md: a failed poststart hook is a warning, and the others follow.
void run_poststart_hooks(const Spec& spec, State state, std::vector<std::string>& warnings) {
  if (!spec.hooks) return;
  state.status = "running";
  for (std::string& text : run_all_hooks("poststart", spec.hooks->poststart, state)) {
    warnings.push_back(std::move(text));
  }
}

ClonedProcess clone_for_init(const Spec& spec, int cgroup_fd) {
  const Namespace* user = find_namespace(spec, "user");
  const std::uint64_t flags = new_namespace_flags(spec);
  if (user == nullptr || user->path.empty()) return clone_process(flags, cgroup_fd);
  return clone_in_user_namespace(user->path, flags, cgroup_fd);
}

ClonedProcess clone_for_exec(const ExecOptions& options, int cgroup_fd) {
  try {
    return clone_process(0, cgroup_fd);
  } catch (const Error& error) {
    if (cgroup_fd < 0 || error.errno_value() != EBUSY) throw;
  }
  const UniqueFd below = options.cgroup->open_v2_of(options.init_pid);
  return clone_process(0, below.get());
}

}  // namespace

Task::Task(Task&& other) noexcept { *this = std::move(other); }

Task& Task::operator=(Task&& other) noexcept {
  if (this == &other) return *this;
  end();
  pid_ = std::exchange(other.pid_, -1);
  owned_ = std::exchange(other.owned_, false);
  started_ = other.started_;
  pidfd_ = std::move(other.pidfd_);
  sync_ = std::move(other.sync_);
  console_ = std::move(other.console_);
  options_ = std::move(other.options_);
  devices_.reset();
  if (other.devices_) devices_.emplace(std::move(*other.devices_));
  other.devices_.reset();
  trace_ = std::move(other.trace_);
  warnings_ = std::move(other.warnings_);
  return *this;
}

Task::~Task() { end(); }

void Task::end() noexcept {
  if (!std::exchange(owned_, false)) return;
  ::kill(pid_, SIGKILL);  // ours and not yet reaped: the number cannot have been given away
  siginfo_t status{};
  retry_on_eintr([&] { return ::waitid(P_PID, static_cast<id_t>(pid_), &status, WEXITED); });
  devices_.reset();
}

void Task::release() noexcept {
  owned_ = false;
  if (devices_) devices_->keep();
}

Task Task::create(TaskOptions options) {
  validate(options.spec);
  check_security_modules(options.spec.process, options.spec.linux.mount_label);
  if (::geteuid() == 0) make_undumpable();  // children are born so: there is no moment to attach to one
  Task task;
  task.options_ = std::move(options);
  const TaskOptions& own = *task.options_;
  std::optional<CgroupLayout> host_cgroups;
  if (own.cgroup == nullptr) host_cgroups = CgroupLayout::detect();
  const CgroupLayout* cgroups = own.cgroup != nullptr ? &own.cgroup->layout() : &*host_cgroups;
  const int cgroup_fd = own.cgroup != nullptr ? own.cgroup->v2_fd() : -1;
  task.warnings_ = list_ignored_options(own.spec);
  Resources limits;
  if (own.cgroup != nullptr && own.spec.linux.resources) {
    limits = own.cgroup->apply_before_first_process(complete_resources(*own.spec.linux.resources));
    task.take_warnings(*own.cgroup);
  }
  const std::vector<UniqueFd> id_mapped_mounts = open_id_mapped_mounts(own.spec, own.bundle);
  auto [mine, theirs] = make_socket_pair(SOCK_SEQPACKET);
  failpoint("task.clone");
  {
    const ChildNamespaces surroundings(own.spec);
    ClonedProcess child = clone_for_init(own.spec, cgroup_fd);
    if (child.pid == 0) {
      mine.reset();
      run_init_stage({own, cgroups, id_mapped_mounts, cgroup_fd >= 0}, SyncSocket(std::move(theirs)));
    }
    task.pid_ = child.pid;
    task.owned_ = true;
    task.pidfd_ = std::move(child.pidfd);
  }
  theirs.reset();
  task.sync_ = std::move(mine);
  task.trace_.mark("clone");
  if (has_new_user_namespace(own.spec)) {
    SyncSocket sync(std::move(task.sync_));
    try {
      write_id_maps(task.pid_, own.spec.linux);
    } catch (const Error&) {
      if (wait_readable(sync.fd(), 0)) sync.expect(Sync::created);  // it has ended, and says why
      throw;
    }
    sync.send(Sync::id_maps_written);
    task.sync_ = sync.take();
  }
  // While the child builds its rootfs.
  if (own.cgroup != nullptr) {
    own.cgroup->apply(limits);
    task.take_warnings(*own.cgroup);
  }
  write_oom_score(task.pid_, own.spec.process.oom_score_adj);
  task.trace_.mark("limits");
  return task;
}

UniqueFd Task::netns() const {
  if (!options_ || find_namespace(options_->spec, "network") == nullptr) return {};
  return open_file(concat("/proc/", pid_, "/ns/net"), O_RDONLY);
}

void Task::take_warnings(const Cgroup& cgroup) {
  warnings_.insert(warnings_.end(), cgroup.warnings().begin(), cgroup.warnings().end());
}

void Task::prepare_on_host() {
  const Spec& spec = options_->spec;
  if (!spec.linux.net_devices.empty()) devices_.emplace(spec, concat("/proc/", pid_, "/ns/net"));
  if (!spec.hooks) return;
  const State state = make_state(*options_, pid_, "creating");
  run_hooks("prestart", spec.hooks->prestart, state);
  run_hooks("createRuntime", spec.hooks->create_runtime, state);
}

void Task::wait_created() {
  SyncSocket sync(std::move(sync_));
  try {
    for (;;) {
      std::optional<SyncMessage> message = sync.receive();
      if (!message) throw LaunchError(ErrorKind::internal, describe_death(pidfd_.get()), 128);
      if (message->word == Sync::created) break;
      if (message->word == Sync::console) console_ = std::move(message->fd);
      if (message->word == Sync::host_wanted) {
        prepare_on_host();
        sync.send(Sync::host_done);
      }
    }
  } catch (...) {
    end();
    throw;
  }
  sync_ = sync.take();
  if (options_->cgroup != nullptr) options_->cgroup->joined();
  trace_.mark("rootfs");
}

void Task::start() {
  SyncSocket sync(std::move(sync_));
  const State state = make_state(*options_, pid_, "created");
  try {
    sync.send(Sync::start);
    if (!await_execution(sync, options_->spec.linux.seccomp, state)) {
      throw LaunchError(ErrorKind::internal, describe_death(pidfd_.get()), 128);
    }
  } catch (...) {
    end();
    throw;
  }
  release();
  started_ = true;
  trace_.mark("execute");
  run_poststart_hooks(options_->spec, state, warnings_);
}

Task exec_task(const ExecOptions& options) {
  validate_process(options.process);
  check_security_modules(options.process, "");
  if (::geteuid() == 0) make_undumpable();
  Task task;
  auto [mine, theirs] = make_socket_pair(SOCK_SEQPACKET);
  const int cgroup_fd = options.cgroup != nullptr ? options.cgroup->v2_fd() : -1;
  failpoint("task.exec");
  {
    const ChildNamespaces surroundings(options.init_pidfd);
    ClonedProcess child = clone_for_exec(options, cgroup_fd);
    if (child.pid == 0) {
      mine.reset();
      run_exec_stage(options, SyncSocket(std::move(theirs)), cgroup_fd >= 0);
    }
    task.pid_ = child.pid;
    task.owned_ = true;
    task.pidfd_ = std::move(child.pidfd);
  }
  theirs.reset();
  write_oom_score(task.pid_, options.process.oom_score_adj);
  SyncSocket sync(std::move(mine));
  bool executing = false;
  while (std::optional<SyncMessage> message = sync.receive()) {
    if (message->word == Sync::console) task.console_ = std::move(message->fd);
    if (message->word == Sync::executing) executing = true;
    if (message->word == Sync::listener && options.seccomp) {
      forward_listener(*options.seccomp, options.state, task.pid_, message->fd.get());
      sync.send(Sync::listener_taken);
    }
  }
  if (!executing) throw LaunchError(ErrorKind::internal, describe_death(task.pidfd()), 128);
  task.owned_ = false;
  task.started_ = true;
  return task;
}

std::vector<std::string> start_created(const std::string& socket_path, const Spec& spec, const State& state) {
  SyncSocket sync(connect_unix(socket_path, SOCK_SEQPACKET));
  sync.send(Sync::start);
  if (!await_execution(sync, spec.linux.seccomp, state)) {
    throw LaunchError(ErrorKind::internal, "the container's first process ended before it could start", 128);
  }
  std::vector<std::string> warnings;
  run_poststart_hooks(spec, state, warnings);
  return warnings;
}

}  // namespace mydocker::runtime
