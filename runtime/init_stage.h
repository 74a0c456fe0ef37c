#pragma once

#include "runtime/cgroup.h"
#include "runtime/sync.h"
#include "runtime/task.h"

namespace mydocker::runtime {

/// PID 1 of the container, from clone3 to execve. The order of its steps is the kernel's. Errors go through `sync`
/// (drawn in sync.h), then the process ends. `born_in_v2`: clone3 has put it into the v2 cgroup.
[[noreturn]] void run_init_stage(const TaskOptions& options, const CgroupLayout* cgroups, SyncSocket sync,
                                 bool born_in_v2) noexcept;

/// The same for a process that enters a running container.
[[noreturn]] void run_exec_stage(const ExecOptions& options, SyncSocket sync, bool born_in_v2) noexcept;

}  // namespace mydocker::runtime
