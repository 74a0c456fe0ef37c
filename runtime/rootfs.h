#pragma once

#include <optional>
#include <string>

#include "engine/base/unique_fd.h"
#include "runtime/cgroup.h"
#include "runtime/spec.h"
#include "runtime/task.h"
#include "runtime/terminal.h"

/// The container's view of the file system, built in its own mount namespace on descriptors only (SECURITY R1-R3).
/// For the init stage; blocks on the file systems. A target or source of the wrong kind is a LaunchError (127).
namespace mydocker::runtime {

/// The rootfs while it is built.
class Rootfs {
 public:
  /// Cuts the propagation to the host and attaches the root file system at the bundle (or over spec.root.path).
  /// `cgroup` may be nullptr; then the caller's own is shown. `id_mapped_mounts` is borrowed.
  Rootfs(const TaskOptions& options, const CgroupLayout* cgroups, const std::vector<UniqueFd>& id_mapped_mounts);
  Rootfs(const Rootfs&) = delete;
  Rootfs& operator=(const Rootfs&) = delete;
  ~Rootfs();

  int root() const noexcept { return root_.get(); }
  /// All mounts of the spec in order, then devices.
  void mount_all();
  /// The pty pair from the container's devpts, its peer bound to /dev/console.
  Terminal make_terminal();
  /// Masked and read-only paths, the read-only root. Last: the paths may lie in any mount. Keeps what sysctl needs.
  void protect();
  /// The /proc/sys of the container's own procfs as it was before it became read-only; empty without a procfs mount.
  int sysctl_directory() const noexcept { return sysctl_.get(); }
  /// Makes it the root of the calling process; the host's tree is gone afterwards.
  void enter();

 private:
  void mount_one(const Mount& mount, int id_mapped);
  void mount_bind(const Mount& mount, int id_mapped);
  UniqueFd clone_part_of_stack(const OverlayMount& stack, const std::string& subpath);
  void mount_file_system(const Mount& mount);
  void mount_cgroup(const Mount& mount);
  void mount_cgroup_v1(const Mount& mount, int target);
  void mask(const std::string& path);
  void make_read_only(const std::string& path);

  const TaskOptions& options_;
  const Spec& spec_;
  const CgroupLayout* cgroups_;
  const std::vector<UniqueFd>& id_mapped_mounts_;
  UniqueFd helper_mount_;  ///< between a shared parent and the root; empty: none was needed
  UniqueFd root_;
  UniqueFd devpts_;
  UniqueFd sysctl_;
  UniqueFd empty_directory_;  ///< one tmpfs for all masked directories
  UniqueFd null_device_;
};

/// Writes keys of linux.sysctl below a verified /proc/sys; only those of the network namespace, or only the others.
enum class SysctlPart { network, other };
void write_sysctls(int sysctl_directory, const Spec& spec, SysctlPart part);

}  // namespace mydocker::runtime
