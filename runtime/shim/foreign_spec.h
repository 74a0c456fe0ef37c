#pragma once

#include "runtime/task.h"

/// What the shim's own runtime decides at the start of a container, written down for another one. An OCI runtime takes
/// config.json as it is: it looks no user up, knows no built-in seccomp profile, and fails at limits that it may not
/// set. The functions read the root file system's user files and the calling process's own limits.
namespace mydocker::shim {

/// The process with its user resolved below `root`, HOME set, and limits lowered to what this host lets us set.
/// Throws LaunchError.
runtime::Process make_foreign_process(int root, const runtime::Process& process, const std::string& user,
                                      const std::vector<std::string>& group_add, bool resolve_home,
                                      const std::vector<std::string>& requested_rlimits);

/// The whole config.json; `rootfs` is the absolute path at which the root file system is mounted, `root` a descriptor
/// of it.
runtime::Spec make_foreign_spec(const runtime::TaskOptions& options, int root, const std::string& rootfs);

}  // namespace mydocker::shim
