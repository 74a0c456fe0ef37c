#include "runtime/init_stage.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "engine/base/failpoint.h"
#include "engine/base/sys.h"
#include "runtime/devices.h"
#include "runtime/hooks.h"
#include "runtime/namespaces.h"
#include "runtime/process_setup.h"
#include "runtime/rights.h"
#include "runtime/rootfs.h"
#include "runtime/terminal.h"

namespace mydocker::runtime {
namespace {

constexpr int exit_init_failed = 1;

/// Root of the user namespace, where its maps have one (EINVAL: they have not).
void become_namespace_root() {
  if (::syscall(SYS_setresgid, 0, 0, 0) != 0 && errno != EINVAL) throw sys_error("setresgid 0");
  if (::syscall(SYS_setresuid, 0, 0, 0) != 0 && errno != EINVAL) throw sys_error("setresuid 0");
}

bool has_new_namespace(const Spec& spec, std::string_view type) {
  const Namespace* one = find_namespace(spec, type);
  return one != nullptr && one->path.empty();
}

void enter_namespaces(const TaskOptions& options, SyncSocket& sync, bool born_in_v2) {
  const Spec& spec = options.spec;
  // First of all: from here on everything is counted. Before the ids change, because the files belong to the host's
  // root.
  if (options.cgroup != nullptr) options.cgroup->join(born_in_v2);
  if (find_namespace(spec, "user") != nullptr) {  // a joined one was entered before the clone
    if (has_new_namespace(spec, "user")) sync.expect(Sync::id_maps_written);
    become_namespace_root();
    make_undumpable();
  }
  join_remaining_namespaces(spec);
  // Its root is the cgroup of whoever makes it, hence after join().
  if (has_new_namespace(spec, "cgroup") && ::unshare(CLONE_NEWCGROUP) != 0) throw sys_error("make a cgroup namespace");
  const bool has_hooks = spec.hooks && !(spec.hooks->prestart.empty() && spec.hooks->create_runtime.empty());
  if (has_hooks || !spec.linux.net_devices.empty()) {
    sync.send(Sync::host_wanted);
    sync.expect(Sync::host_done);
  }
  if (!spec.hostname.empty() && ::sethostname(spec.hostname.data(), spec.hostname.size()) != 0) {
    throw sys_error("sethostname");
  }
  if (!spec.domainname.empty() && ::setdomainname(spec.domainname.data(), spec.domainname.size()) != 0) {
    throw sys_error("setdomainname");
  }
}

State make_state(const TaskOptions& options, std::string status) {
  State state;
  state.id = options.id;
  state.status = std::move(status);
  state.bundle = options.bundle;
  state.annotations = options.spec.annotations;
  char pid[32];
  const ssize_t length = ::readlink("/proc/self", pid, sizeof pid - 1);  // the host's procfs knows our host pid
  if (length > 0) state.pid = static_cast<pid_t>(std::atoi(std::string(pid, static_cast<std::size_t>(length)).c_str()));
  return state;
}

/// What the second half needs of the first.
struct Prepared {
  Launch launch;
  State state;
  int listener = -1;
  int sysctl = -1;
};

/// Everything up to the word `created`: afterwards the process stands in its root, in its directory, with its own
/// descriptors, and only waits.
Prepared prepare(const InitStage& stage, SyncSocket& sync) {
  const TaskOptions& options = stage.options;
  const Spec& spec = options.spec;
  Prepared prepared;
  prepared.state = make_state(options, "creating");
  // Never destroyed: after arrange_descriptors() the numbers in its handles belong to somebody else.
  Rootfs& rootfs = *new Rootfs(options, stage.cgroups, stage.id_mapped_mounts);
  rootfs.mount_all();
  Stdio stdio = options.stdio;
  UniqueFd slave;
  if (spec.process.terminal) {
    Terminal terminal = rootfs.make_terminal();
    if (spec.process.console_size) set_terminal_size(terminal.slave.get(), *spec.process.console_size);
    sync.send(Sync::console, terminal.master.get());
    slave = std::move(terminal.slave);
    stdio = {slave.get(), slave.get(), slave.get()};
  }
  if (spec.hooks) run_hooks("createContainer", spec.hooks->create_container, prepared.state);
  write_sysctls(rootfs.sysctl_directory(), spec, SysctlPart::other);
  Launch launch = prepare_launch(rootfs.root(), spec.process, options.user, options.group_add, options.resolve_home);
  launch.requested_rlimits = options.requested_rlimits;
  launch.container_id = options.id;
  launch.die_with_parent = options.die_with_parent;
  launch.join_keyring = options.new_keyring;
  prepare_filter(launch, spec.linux.seccomp, options.default_seccomp, options.filter);
  make_working_directory(rootfs.root(), launch);
  rootfs.protect();
  const int null_fd = open_null_device(O_RDWR).release();
  rootfs.enter();

  int sync_fd = sync.fd();
  prepared.listener = options.start_listener;
  prepared.sysctl = rootfs.sysctl_directory();
  std::vector<int*> keep = {&sync_fd};
  if (prepared.listener >= 0) keep.push_back(&prepared.listener);
  if (prepared.sysctl >= 0) keep.push_back(&prepared.sysctl);
  (void)slave.release();
  (void)sync.take().release();
  arrange_descriptors(stdio, null_fd, options.preserve_fds, keep);
  sync = SyncSocket(UniqueFd(sync_fd));
  if (spec.process.terminal && ::ioctl(0, TIOCSCTTY, 0) != 0) throw sys_error("take the controlling terminal");
  own_standard_streams(launch, spec.process.terminal);
  enter_working_directory(launch);
  launch.program = find_program(launch.process);
  apply_personality(spec.linux.personality);
  apply_memory_policy(spec.linux.memory_policy);
  prepared.launch = std::move(launch);
  return prepared;
}

/// Start comes from the creator, or from whoever connects to the listener.
void wait_for_start(SyncSocket& sync, int listener) {
  if (listener < 0) return sync.expect(Sync::start);
  for (;;) {
    UniqueFd connection(
        static_cast<int>(retry_on_eintr([&] { return ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC); })));
    if (!connection) throw sys_error("accept on the start socket");
    SyncSocket starter(std::move(connection));
    const std::optional<SyncMessage> message = starter.receive();
    if (!message || message->word != Sync::start) continue;
    sync = std::move(starter);
    ::close(listener);
    return;
  }
}

void run(const InitStage& stage, SyncSocket& sync) {
  const TaskOptions& options = stage.options;
  failpoint("init.begin");
  reset_process_state(options.die_with_parent);
  enter_namespaces(options, sync, stage.born_in_v2);
  // Never destroyed: its handles' descriptors belong to somebody else by now.
  auto* prepared = new Prepared(prepare(stage, sync));
  failpoint("init.created");
  sync.send(Sync::created);
  wait_for_start(sync, prepared->listener);
  write_sysctls(prepared->sysctl, options.spec, SysctlPart::network);
  if (prepared->sysctl >= 0) ::close(prepared->sysctl);
  if (options.spec.hooks) {
    prepared->state.status = "created";
    run_hooks("startContainer", options.spec.hooks->start_container, prepared->state);
  }
  execute(prepared->launch, sync);
}

void run_exec(const ExecOptions& options, SyncSocket& sync, bool born_in_v2) {
  reset_process_state(options.die_with_parent);
  const ExecCpuAffinity affinity = options.process.exec_cpu_affinity.value_or(ExecCpuAffinity{});
  apply_cpu_affinity(affinity.initial);
  if (options.cgroup != nullptr) options.cgroup->join(born_in_v2);
  for (const std::string& file : options.cgroup_files) write_kernel_file(file, "0");
  apply_cpu_affinity(affinity.final_affinity);
  const int null_fd = open_null_device(O_RDWR).release();
  join_all_namespaces(options.init_pidfd, options.init_pid);
  UniqueFd root = open_file("/", O_PATH | O_DIRECTORY);
  Stdio stdio = options.stdio;
  UniqueFd slave;
  if (options.process.terminal) {
    Terminal terminal = open_terminal_at_root();
    if (options.process.console_size) set_terminal_size(terminal.slave.get(), *options.process.console_size);
    sync.send(Sync::console, terminal.master.get());
    slave = std::move(terminal.slave);
    stdio = {slave.get(), slave.get(), slave.get()};
  }
  Launch launch = prepare_launch(root.get(), options.process, options.user, options.group_add, options.resolve_home);
  launch.requested_rlimits = options.requested_rlimits;
  launch.die_with_parent = options.die_with_parent;
  prepare_filter(launch, options.seccomp, options.default_seccomp, options.filter);
  int sync_fd = sync.fd();
  // All handles give up their numbers: they belong to somebody else from here on.
  root.reset();
  (void)slave.release();
  (void)sync.take().release();
  arrange_descriptors(stdio, null_fd, options.preserve_fds, {&sync_fd});
  sync = SyncSocket(UniqueFd(sync_fd));
  if (options.process.terminal && ::ioctl(0, TIOCSCTTY, 0) != 0) throw sys_error("take the controlling terminal");
  own_standard_streams(launch, options.process.terminal);
  enter_working_directory(launch);
  launch.program = find_program(launch.process);
  apply_personality(options.personality);
  apply_memory_policy(options.memory_policy);
  execute(launch, sync);
}

}  // namespace

void run_init_stage(const InitStage& stage, SyncSocket sync) noexcept {
  try {
    run(stage, sync);
  } catch (const std::exception& error) {
    sync.send_error(error);
  }
  ::_exit(exit_init_failed);
}

void run_exec_stage(const ExecOptions& options, SyncSocket sync, bool born_in_v2) noexcept {
  try {
    run_exec(options, sync, born_in_v2);
  } catch (const std::exception& error) {
    sync.send_error(error);
  }
  ::_exit(exit_init_failed);
}

}  // namespace mydocker::runtime
