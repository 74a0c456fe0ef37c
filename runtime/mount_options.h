#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/mount.h"
#include "runtime/spec.h"

/// The option words of an OCI mount (config.md "Linux mount options"). Pure unless said; any thread.
namespace mydocker::runtime {

struct MountOptions {
  std::uint64_t set = 0;            ///< MOUNT_ATTR_* for the mount itself
  std::uint64_t clear = 0;          ///< what an explicit "rw", "suid", ... takes away again
  std::uint64_t set_recursive = 0;  ///< "rro" and its kind: for all mounts below, too
  std::uint64_t clear_recursive = 0;
  std::uint64_t propagation = 0;  ///< MS_PRIVATE and so on, or 0
  bool propagation_recursive = false;
  bool bind = false;
  bool recursive_bind = false;
  bool copy_up = false;  ///< "tmpcopyup": the tmpfs starts with what was below it
  bool id_map = false;
  bool id_map_recursive = false;
  /// "mount-namespace=/proc/N/ns/mnt" of a bind: its source is looked up there, inside that namespace's root. Ours, for
  /// the /dev/shm of a container whose IPC namespace is joined.
  std::string mount_namespace;
  /// "subpath=a/b" of a bind: what is bound lies there below the source, looked up inside of it; of an overlay of
  /// layers alone: as much of it is shown. Ours, for sub-paths of volumes and images, whose content is not ours
  /// (SECURITY C3).
  std::string subpath;
  MountParameters parameters;  ///< everything else, for the file system
};

/// Throws Error{invalid_argument} for a word that no file system can know on a bind mount.
MountOptions parse_mount_options(const Mount& mount);

/// Asks for linux.mountLabel ("": for nothing) for the files of a new file system, unless the parameters name a context
/// of their own. procfs and sysfs have labels by policy, an mqueue takes its label later (label_mount()).
void add_mount_label(MountParameters& parameters, const std::string& type, const std::string& label);
/// Gives the root of a new mqueue the label: it knows no option for it. Not pure: `mount` is the detached mount.
void label_mount(int mount, const std::string& type, const std::string& label);

/// A sentence for each option that is known and ignored by rule: relabeling ("z", "Z") is the engine's affair.
std::vector<std::string> list_ignored_options(const Spec& spec);

}  // namespace mydocker::runtime
