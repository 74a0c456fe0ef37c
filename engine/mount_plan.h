#pragma once

#include <string>
#include <vector>

#include "api/types/container.h"

/// Binds, Mounts, Tmpfs and Volumes of a create request as one list (WIRE 12.2, 12.3). Pure.
namespace mydocker::engine {

struct PlannedMount {
  enum class Kind { bind, volume, tmpfs };
  Kind kind = Kind::bind;
  std::string source;  ///< host path, volume name ("" = anonymous)
  std::string target;  ///< absolute and clean
  bool read_only = false;
  std::string mode;         ///< the option string as sent: Mounts[].Mode of inspect
  std::string propagation;  ///< "rprivate", ...; binds only
  bool recursive = true;
  bool create_source = false;  ///< Binds make a missing host directory; Mounts only when asked
  bool read_only_recursive = true;
  bool no_copy = false;
  std::vector<std::string> tmpfs_options;
  bool from_tmpfs_map = false;  ///< HostConfig.Tmpfs: not listed in inspect's Mounts
};

/// Throws Error{invalid_argument} in Docker's words: `invalid mode: zz`, `Duplicate mount point: /x`,
/// `invalid mount config for type "bind": ...`.
std::vector<PlannedMount> plan_mounts(const api::HostConfig& host, const api::ContainerConfig& config);

/// The list that inspect and ps print, sorted by destination.
std::vector<api::MountPoint> list_mount_points(const std::vector<PlannedMount>& mounts, const std::string& volumes_dir);

}  // namespace mydocker::engine
