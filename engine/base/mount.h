#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "engine/base/json.h"
#include "engine/base/unique_fd.h"

/// Mounts as values and the new mount API (man 2 fsopen, move_mount, mount_setattr). Single-threaded callers that own
/// their mount namespace; nothing here is called by a thread that shares the host's mount namespace.
/// Every mount is built detached and put onto a descriptor of its target (SECURITY R2). Errors are Error{internal} with
/// what the file system says about the refusal.
namespace mydocker {

/// A stack of layers to be mounted: storage produces it, the shim (or storage's worker) mounts it.
struct OverlayMount {
  std::vector<std::string> lower;  ///< directories, topmost layer first
  std::string upper;               ///< empty: nothing can be written
  std::string work;                ///< on the same file system as `upper`
  bool read_only = false;
  /// Nothing is synced when it is unmounted (overlayfs "volatile"; saves 15 ms): for what is deleted right after.
  /// Before the same upper can be mounted again, <work>/work/incompat must go.
  bool skip_sync = false;

  static constexpr auto json_fields() {
    return std::tuple(field("lower", &OverlayMount::lower), field("upper", &OverlayMount::upper),
                      field("work", &OverlayMount::work), field("read_only", &OverlayMount::read_only),
                      field_omit_empty("skip_sync", &OverlayMount::skip_sync));
  }
};

/// Parameters of a file system: ("mode", "755"); an empty value makes a flag ("newinstance", "").
using MountParameters = std::vector<std::pair<std::string, std::string>>;

/// A new, detached instance of a file system. `attributes` are MOUNT_ATTR_* bits.
UniqueFd make_mount(const std::string& type, const MountParameters& parameters, std::uint64_t attributes);
/// Puts the overlay onto the directory `target` and gives a descriptor of the new mount's root. A single lower without
/// upper becomes a plain read-only bind. Kernels without `lowerdir+` get mount(2), with the directories named by
/// descriptors; the working directory of the process is changed then.
UniqueFd mount_overlay(const OverlayMount& overlay, int target);
/// A detached copy of the mount at `dir`/`path` (path "": of what `dir` is open on).
UniqueFd clone_mount(int dir, const std::string& path, bool recursive);
/// Sets and clears MOUNT_ATTR_* bits; `propagation` is MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_UNBINDABLE or 0.
void set_mount_attributes(int mount, std::uint64_t set, std::uint64_t clear, std::uint64_t propagation, bool recursive);
/// Maps the owners of a detached mount by a user namespace.
void set_mount_id_map(int mount, int user_namespace, bool recursive);
/// Moves a detached mount onto the file or directory that `target` is open on (O_PATH suffices).
void attach_mount(int mount, int target);
/// Makes `root` (the root of a mount) the root directory of the calling process and detaches the old one.
/// `helper_mount`: a mount below the old root that propagation may have copied elsewhere; it is unmounted everywhere.
void pivot_to(int root, int helper_mount = -1);
/// setns(2) into a mount namespace: `target` is a file of it, or a pidfd with `flags` for more kinds at once. Its root
/// becomes ours. Where this process lives in a chroot, namespaces made from there have the machine's root for theirs:
/// then it is `root`, the root directory of a process in it. Throws Error{internal} with the kernel's errno.
void enter_mount_namespace(int target, int flags, int root);

}  // namespace mydocker
