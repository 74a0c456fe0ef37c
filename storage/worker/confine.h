#pragma once

#include <cstdint>
#include <vector>

#include "engine/base/mount.h"
#include "engine/base/unique_fd.h"
#include "storage/worker_protocol.h"

/// Turns the worker into a process that can do nothing but its one job (SECURITY R7, R27): own mount, network, IPC and
/// UTS namespaces, a root directory that is the job's tree, few capabilities, limits, an allow-list of system calls.
/// What stays after that: descriptors 0, 1, 3 and those below the new root. Single-threaded.
namespace mydocker::storage {

enum class RootAccess { read_only, writable };

/// A detached mount of `directory`: nosuid, nodev, noexec. Before isolate(): directories opened in another mount
/// namespace can be cloned but not mounted upon.
UniqueFd detach_directory(int directory, RootAccess access);

/// New namespaces, mounts private.
void isolate();

/// Mounts the stack, read-only. Returns its root: a way to it that no name leads to.
UniqueFd mount_stack(const OverlayMount& stack);

/// Enters the mount namespace of a running container: its root becomes ours, the host is out of reach. After isolate().
/// Returns the root. `root`: see enter_mount_namespace. Throws Error{unavailable} when it cannot be entered.
UniqueFd join_container(int mount_namespace, int root);

/// Mounts the view of a container that does not run: its stack, then `mounts` in order, each below the root as the
/// container would find it (missing mount points are made). Mounts that are written to show the read-only flags that
/// the container would meet.
UniqueFd mount_view(const OverlayMount& stack, bool scratch, const std::vector<ViewMount>& mounts);

/// Makes the detached `mount` the root.
void enter_mount(int mount);

enum class Rights {
  unpack,        ///< make any file, trusted xattrs included
  copy,          ///< make any file
  read,          ///< read any file
  read_trusted,  ///< and trusted xattrs, too
};

/// Last: limits, capabilities, no_new_privs, seccomp. Throws Error{internal}: no job runs unconfined (R28).
void drop_rights(Rights rights, std::uint64_t memory_bytes, std::uint64_t file_bytes);

}  // namespace mydocker::storage
