#pragma once

#include <optional>
#include <string>
#include <vector>

#include "runtime/spec.h"
#include "runtime/user.h"

/// Single attributes of the calling process, each a few system calls. Throws Error{internal} for what the kernel
/// refuses, Error{invalid_argument} for what the request should not have asked for.
namespace mydocker::runtime {

/// Until its execve nobody without CAP_SYS_PTRACE on the host may look into the process (CVE-2016-9962).
void make_undumpable();
/// SIGKILL when the parent ends; false takes it back.
void set_parent_death_signal(bool on);
/// `requested`: types that must be set exactly; others are clamped to what CAP_SYS_RESOURCE would be needed for.
void apply_rlimits(const std::vector<Rlimit>& limits, const std::vector<std::string>& requested);
/// setgroups, setresgid, setresuid; permitted capabilities are kept over the change.
void set_ids(const Identity& identity);
/// A session keyring of the container's own.
void join_session_keyring(const std::string& container_id);
/// Throws LaunchError{invalid_argument} for a profile or label of a security module that this kernel does not run.
/// `mount_label`: linux.mountLabel, "" for none. Looks at the caller's /sys: for the host's side.
void check_security_modules(const Process& process, const std::string& mount_label);
/// AppArmor profile and SELinux label for the next execve, read back (SECURITY R13, R28).
void apply_labels(const Process& process);
/// Throws Error{invalid_argument} naming the member for a scheduler, ioPriority or execCPUAffinity that cannot be
/// meant.
void validate_priorities(const Process& process);
/// Throws Error{invalid_argument} naming the member for words that nobody knows.
void validate_memory_policy(const MemoryPolicy& policy);
/// Throws Error{invalid_argument} for what the kernel refuses: nodes that it has not, flags that do not go together.
void apply_memory_policy(const std::optional<MemoryPolicy>& policy);
void apply_personality(const std::optional<Personality>& personality);
/// CPUs of the calling process ("0-3,7"; "" leaves them).
void apply_cpu_affinity(const std::string& list);
/// scheduler, ioPriority.
void apply_priorities(const Process& process);

}  // namespace mydocker::runtime
