#pragma once

#include <cstdint>

#include "engine/base/unique_fd.h"

/// Turns the worker into a process that can do nothing but its one job (SECURITY R7, R27): own mount, network, IPC and
/// UTS namespaces, a root directory that is the job's tree, few capabilities, limits, an allow-list of system calls.
/// What stays after that: descriptors 0, 1, 3 and those below the new root. Single-threaded.
namespace mydocker::storage {

/// New namespaces, mounts private. Before anything is mounted.
void isolate();

enum class RootAccess { read_only, writable };

/// Makes `directory` the root: nosuid, nodev, noexec. Returns a descriptor of it.
UniqueFd enter_directory(int directory, RootAccess access);

enum class Rights {
  unpack,  ///< make any file, trusted xattrs included
  copy,    ///< make any file
  read,    ///< read any file and its trusted xattrs
};

/// Last: limits, capabilities, no_new_privs, seccomp. Throws Error{internal}: no job runs unconfined (R28).
void drop_rights(Rights rights, std::uint64_t memory_bytes, std::uint64_t file_bytes);

}  // namespace mydocker::storage
