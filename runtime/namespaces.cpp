#include "runtime/namespaces.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

#include "engine/base/failpoint.h"
#include "engine/base/mount.h"
#include "engine/base/sys.h"
#include "runtime/capabilities.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

namespace mydocker::runtime {
namespace {

struct NamespaceKind {
  std::string_view type;  ///< OCI's word
  const char* name;       ///< the file in /proc/<pid>/ns
  int flag;
};
constexpr NamespaceKind kinds[] = {
    {"pid", "pid", CLONE_NEWPID},  {"network", "net", CLONE_NEWNET},      {"ipc", "ipc", CLONE_NEWIPC},
    {"uts", "uts", CLONE_NEWUTS},  {"time", "time", CLONE_NEWTIME},       {"user", "user", CLONE_NEWUSER},
    {"mount", "mnt", CLONE_NEWNS}, {"cgroup", "cgroup", CLONE_NEWCGROUP},
};

bool is_joined_by_child(std::string_view type) { return type == "user" || type == "mount" || type == "cgroup"; }

const NamespaceKind& find_kind(std::string_view type) {
  for (const NamespaceKind& kind : kinds) {
    if (kind.type == type) return kind;
  }
  throw Error(ErrorKind::invalid_argument, concat("unknown namespace type \"", type, "\""));
}

void enter(const Namespace& one) {
  const UniqueFd fd = open_file(one.path, O_RDONLY);
  if (::setns(fd.get(), find_kind(one.type).flag) != 0) throw sys_error("join ", one.type, " namespace ", one.path);
}

bool same_file(const std::string& a, const std::string& b) {
  struct stat left{};
  struct stat right{};
  return ::stat(a.c_str(), &left) == 0 && ::stat(b.c_str(), &right) == 0 && left.st_ino == right.st_ino &&
         left.st_dev == right.st_dev;
}

}  // namespace

std::uint64_t new_namespace_flags(const Spec& spec) {
  std::uint64_t flags = 0;
  for (const Namespace& one : spec.linux.namespaces) {
    if (!one.path.empty() || one.type == "cgroup") continue;
    if (one.type == "time" && !spec.linux.time_offsets.empty()) continue;
    flags |= static_cast<std::uint64_t>(find_kind(one.type).flag);
  }
  return flags;
}

ChildNamespaces::ChildNamespaces(const Spec& spec) {
  try {
    for (const Namespace& one : spec.linux.namespaces) {
      if (one.path.empty() || is_joined_by_child(one.type)) continue;
      const NamespaceKind& kind = find_kind(one.type);
      remember(kind.name, kind.flag);
      enter(one);
    }
    if (!spec.linux.time_offsets.empty()) make_time_namespace(spec);
  } catch (...) {
    go_back();
    throw;
  }
}

ChildNamespaces::ChildNamespaces(int pidfd) {
  remember("pid", CLONE_NEWPID);
  if (::setns(pidfd, CLONE_NEWPID) != 0) {
    const int saved = errno;
    own_.clear();
    throw make_sys_error(saved, "join the container's pid namespace");
  }
}

ChildNamespaces::~ChildNamespaces() { go_back(); }

void ChildNamespaces::remember(const char* name, int flag) {
  own_.emplace_back(open_file(concat("/proc/self/ns/", name), O_RDONLY), flag);
}

void ChildNamespaces::go_back() noexcept {
  for (const auto& [fd, flag] : own_) {
    if (::setns(fd.get(), flag) != 0) std::abort();  // going on inside the container's namespaces would be worse
  }
  own_.clear();
}

void ChildNamespaces::make_time_namespace(const Spec& spec) {
  remember("time", CLONE_NEWTIME);
  if (::unshare(CLONE_NEWTIME) != 0) throw sys_error("make a time namespace");
  std::string text;
  for (const auto& [clock, offset] : spec.linux.time_offsets) {
    text += concat(clock, " ", offset.secs, " ", offset.nanosecs, "\n");
  }
  write_kernel_file("/proc/self/timens_offsets", text);
}

void join_remaining_namespaces(const Spec& spec) {
  for (const char* type : {"mount", "cgroup"}) {
    const Namespace* one = find_namespace(spec, type);
    if (one != nullptr && !one->path.empty()) enter(*one);
  }
}

void join_all_namespaces(int pidfd, pid_t pid) {
  int flags = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
  // Entering the own user namespace again is refused, and a time namespace costs a little: only where they differ.
  if (!same_file(concat("/proc/", pid, "/ns/user"), "/proc/self/ns/user")) flags |= CLONE_NEWUSER;
  if (!same_file(concat("/proc/", pid, "/ns/time"), "/proc/self/ns/time")) flags |= CLONE_NEWTIME;
  const UniqueFd root = open_file(concat("/proc/", pid, "/root"), O_PATH | O_DIRECTORY);
  enter_mount_namespace(pidfd, flags, root.get());
}

ClonedProcess clone_process(std::uint64_t namespace_flags, int cgroup_v2_fd) {
  int pidfd = -1;
  clone_args arguments{};
  arguments.flags = namespace_flags | CLONE_PIDFD;
  arguments.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  // A sibling takes the signal of the process that makes it (man 2 clone, CLONE_PARENT).
  arguments.exit_signal = (namespace_flags & CLONE_PARENT) != 0 ? 0 : SIGCHLD;
  if (cgroup_v2_fd >= 0) {
    arguments.flags |= CLONE_INTO_CGROUP;
    arguments.cgroup = static_cast<std::uint64_t>(cgroup_v2_fd);
  }
  const long pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid < 0) throw sys_error("clone3");
  return {static_cast<pid_t>(pid), UniqueFd(pid > 0 ? pidfd : -1)};
}

namespace {

/// The number of the process behind a pidfd in the caller's pid namespace.
pid_t read_pid(int pidfd) {
  const std::string info = read_file(concat("/proc/self/fdinfo/", pidfd), 4096);
  const std::size_t at = info.find("\nPid:");
  return at == std::string::npos ? -1 : static_cast<pid_t>(std::atoi(info.c_str() + at + 5));
}

/// In the helper: true in the child that it has made; else it never returns.
bool make_sibling(int user_namespace, std::uint64_t namespace_flags, int cgroup_v2_fd, int report) noexcept {
  try {
    if (::setns(user_namespace, CLONE_NEWUSER) != 0) throw sys_error("join the user namespace");
    const ClonedProcess child = clone_process(namespace_flags | CLONE_PARENT, cgroup_v2_fd);
    if (child.pid == 0) return true;
    const int pidfd = child.pidfd.get();
    send_packet(report, "child", std::span<const int>(&pidfd, 1));
  } catch (const std::exception& error) {
    const std::string_view text = error.what();
    retry_on_eintr([&] { return ::write(report, text.data(), text.size()); });
  }
  ::_exit(0);
}

}  // namespace

ClonedProcess clone_in_user_namespace(const std::string& path, std::uint64_t namespace_flags, int cgroup_v2_fd) {
  const UniqueFd user = open_file(path, O_RDONLY);
  auto [mine, theirs] = make_socket_pair(SOCK_SEQPACKET);
  const ClonedProcess helper = clone_process(0, -1);
  if (helper.pid == 0 && make_sibling(user.get(), namespace_flags, cgroup_v2_fd, theirs.get())) return {0, {}};
  theirs.reset();
  std::optional<Packet> packet = receive_packet(mine.get());
  siginfo_t status{};
  retry_on_eintr([&] { return ::waitid(P_PID, static_cast<id_t>(helper.pid), &status, WEXITED); });
  if (!packet) throw Error(ErrorKind::internal, concat("join user namespace ", path, ": the helper ended"));
  if (packet->fds.empty()) throw Error(ErrorKind::internal, concat(packet->data, " ", path));
  ClonedProcess child{read_pid(packet->fds.front().get()), std::move(packet->fds.front())};
  return child;
}

std::string format_id_map(const std::vector<IdMapping>& map) {
  std::string text;
  for (const IdMapping& line : map) text += concat(line.container_id, " ", line.host_id, " ", line.size, "\n");
  return text;
}

void write_id_maps(pid_t pid, const Linux& spec) {
  const std::string directory = concat("/proc/", pid, "/");
  if (!spec.uid_mappings.empty()) write_kernel_file(directory + "uid_map", format_id_map(spec.uid_mappings));
  failpoint("task.id_maps");
  if (spec.gid_mappings.empty()) return;
  if (!has_capability(own_effective_set(), *find_capability("CAP_SETGID"))) {
    write_kernel_file(directory + "setgroups", "deny");
  }
  write_kernel_file(directory + "gid_map", format_id_map(spec.gid_mappings));
}

UniqueFd make_user_namespace(const std::vector<IdMapping>& uids, const std::vector<IdMapping>& gids) {
  Pipe gate = make_pipe();
  const ClonedProcess child = clone_process(CLONE_NEWUSER, -1);
  if (child.pid == 0) {
    gate.write.reset();
    char byte = 0;
    retry_on_eintr([&] { return ::read(gate.read.get(), &byte, 1); });  // until the parent closes its end
    ::_exit(0);
  }
  std::optional<Error> failure;
  UniqueFd result;
  try {
    Linux maps;
    maps.uid_mappings = uids;
    maps.gid_mappings = gids;
    write_id_maps(child.pid, maps);
    result = open_file(concat("/proc/", child.pid, "/ns/user"), O_RDONLY);
  } catch (const Error& error) {
    failure = error;
  }
  gate.write.reset();
  siginfo_t status{};
  retry_on_eintr([&] { return ::waitid(P_PID, static_cast<id_t>(child.pid), &status, WEXITED); });
  if (failure) throw *failure;
  return result;
}

}  // namespace mydocker::runtime
