#pragma once

#include <cstdint>

#include "engine/base/unique_fd.h"

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

/// Where stacks are mounted on their way to become the root: the old root directory, which is left soon.
UniqueFd open_mount_point();

/// Makes the detached `mount` the root.
void enter_mount(int mount);

enum class Rights {
  unpack,  ///< make any file, trusted xattrs included
  copy,    ///< make any file
  read,    ///< read any file and its trusted xattrs
};

/// Last: limits, capabilities, no_new_privs, seccomp. Throws Error{internal}: no job runs unconfined (R28).
void drop_rights(Rights rights, std::uint64_t memory_bytes, std::uint64_t file_bytes);

}  // namespace mydocker::storage
