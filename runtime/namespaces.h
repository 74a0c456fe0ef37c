#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "engine/base/unique_fd.h"
#include "runtime/spec.h"

/// Namespaces of a child process (man 7 namespaces). Single-threaded callers only.
namespace mydocker::runtime {

/// CLONE_NEW* of the namespaces that the spec wants new, but for cgroup (made after the cgroup was joined) and a time
/// namespace with offsets (they are written before anybody lives in it).
std::uint64_t new_namespace_flags(const Spec& spec);

/// While it lives, children of the calling process are born in the namespaces that the spec joins by path (pid, net,
/// ipc, uts, time), and in a new time namespace when it has offsets. The destructor takes the caller back to its own.
/// Parts that only the child can enter (mount, cgroup): join_remaining_namespaces(); user: clone_in_user_namespace().
class ChildNamespaces {
 public:
  explicit ChildNamespaces(const Spec& spec);
  /// Children are born in the pid namespace of this process.
  explicit ChildNamespaces(int pidfd);
  ChildNamespaces(const ChildNamespaces&) = delete;
  ChildNamespaces& operator=(const ChildNamespaces&) = delete;
  ~ChildNamespaces();

 private:
  void remember(const char* name, int flag);
  void go_back() noexcept;
  void make_time_namespace(const Spec& spec);

  std::vector<std::pair<UniqueFd, int>> own_;
};

/// In the child: enters the mount and cgroup namespaces that the spec joins by path.
void join_remaining_namespaces(const Spec& spec);
/// In the child of an exec: all namespaces of the process behind `pidfd` but its pid namespace.
void join_all_namespaces(int pidfd, pid_t pid);

struct ClonedProcess {
  pid_t pid = -1;  ///< 0 in the child
  UniqueFd pidfd;
};
/// clone3(2), like fork: returns twice. `cgroup_v2_fd` -1: no CLONE_INTO_CGROUP. No atfork handlers run.
ClonedProcess clone_process(std::uint64_t namespace_flags, int cgroup_v2_fd);
/// The same for a child in the user namespace at `path`, which owns the child's new namespaces. A helper process enters
/// it and makes the child in the caller's name: there is no way back for who has entered.
ClonedProcess clone_in_user_namespace(const std::string& path, std::uint64_t namespace_flags, int cgroup_v2_fd);

/// The lines of uid_map and gid_map (man 7 user_namespaces): "CONTAINER HOST SIZE". Pure.
std::string format_id_map(const std::vector<IdMapping>& map);
/// uid_map, setgroups and gid_map of a child in a new user namespace. A caller without CAP_SETGID gives setgroups up.
void write_id_maps(pid_t pid, const Linux& spec);
/// A descriptor of a user namespace with these maps, for id-mapped mounts.
UniqueFd make_user_namespace(const std::vector<IdMapping>& uids, const std::vector<IdMapping>& gids);

}  // namespace mydocker::runtime
