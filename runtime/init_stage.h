#pragma once

#include "runtime/cgroup.h"
#include "runtime/sync.h"
#include "runtime/task.h"

namespace mydocker::runtime {

/// What the runtime hands to the init stage.
struct InitStage {
  const TaskOptions& options;
  const CgroupLayout* cgroups = nullptr;
  const std::vector<UniqueFd>& id_mapped_mounts;  ///< see open_id_mapped_mounts()
  bool born_in_v2 = false;                        ///< clone3 has put it into the v2 cgroup
};

/// PID 1 of the container, from clone3 to execve. The order of its steps is the kernel's. Errors go through `sync`
/// (drawn in sync.h), then the process ends.
[[noreturn]] void run_init_stage(const InitStage& stage, SyncSocket sync) noexcept;

/// The same for a process that enters a running container.
[[noreturn]] void run_exec_stage(const ExecOptions& options, SyncSocket sync, bool born_in_v2) noexcept;

}  // namespace mydocker::runtime
