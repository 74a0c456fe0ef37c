#pragma once

#include <string>
#include <vector>

#include "runtime/spec_process.h"
#include "runtime/user.h"

/// Single attributes of the calling process, each a few system calls. Throws Error{internal} for what the kernel
/// refuses, Error{invalid_argument} for what the request should not have asked for.
namespace mydocker::runtime {

/// SIGKILL when the parent ends; false takes it back. When the parent is gone already, the process ends here.
void set_parent_death_signal(bool on);
/// `requested`: types that must be set exactly; others are clamped to what CAP_SYS_RESOURCE would be needed for.
void apply_rlimits(const std::vector<Rlimit>& limits, const std::vector<std::string>& requested);
/// setgroups, setresgid, setresuid; permitted capabilities are kept over the change.
void set_ids(const Identity& identity);
/// A session keyring of the container's own.
void join_session_keyring(const std::string& container_id);
/// AppArmor profile and SELinux label for the next execve; refused where the kernel has none (SECURITY R13, R28).
void apply_labels(const Process& process);
/// scheduler, ioPriority.
void apply_priorities(const Process& process);

}  // namespace mydocker::runtime
