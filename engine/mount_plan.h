#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/types/container.h"
#include "engine/base/json.h"

/// Binds, Mounts, Tmpfs and Volumes of a create request as one list (WIRE 12.2, 12.3). Pure.
namespace mydocker::engine {

struct PlannedMount {
  enum class Kind { bind, volume, tmpfs, image };
  Kind kind = Kind::bind;
  std::string source;   ///< host path, volume name ("" = anonymous), image reference
  std::string subpath;  ///< of a volume or image: clean and relative; looked up inside of it at each start
  std::string target;   ///< absolute and clean
  bool read_only = false;
  std::string mode;         ///< the option string as sent: Mounts[].Mode of inspect
  std::string propagation;  ///< "rprivate", ...; binds only
  bool recursive = true;
  bool create_source = false;  ///< Binds make a missing host directory; Mounts only when asked
  bool read_only_recursive = true;
  bool no_copy = false;
  std::string volume_driver;                    ///< "" = local
  std::optional<api::StringMap> volume_labels;  ///< of a volume that is made for this mount
  std::optional<api::StringMap> volume_options;
  std::vector<std::string> tmpfs_options;
  bool from_tmpfs_map = false;  ///< HostConfig.Tmpfs: not listed in inspect's Mounts

  /// For the record of a container that took mounts over from another one.
  static constexpr auto json_fields() {
    using T = PlannedMount;
    return std::tuple(field("kind", &T::kind), field("source", &T::source), field("subpath", &T::subpath),
                      field("target", &T::target), field("read_only", &T::read_only), field("mode", &T::mode),
                      field("propagation", &T::propagation), field("recursive", &T::recursive),
                      field("create_source", &T::create_source), field("read_only_recursive", &T::read_only_recursive),
                      field("no_copy", &T::no_copy), field("tmpfs_options", &T::tmpfs_options));
  }
};

}  // namespace mydocker::engine

namespace mydocker {

template <>
struct JsonCodec<engine::PlannedMount::Kind> {
  static void read(const json::value& value, const std::string& path, engine::PlannedMount::Kind& out);
  static json::value write(engine::PlannedMount::Kind value);
};

}  // namespace mydocker

namespace mydocker::engine {

/// Throws Error{invalid_argument} in Docker's words: `invalid mode: zz`, `Duplicate mount point: /x`,
/// `invalid mount config for type "bind": ...`. What the request names itself covers `inherited` (VolumesFrom), and
/// both cover the volumes of the image.
std::vector<PlannedMount> plan_mounts(const api::HostConfig& host, const api::ContainerConfig& config,
                                      const std::vector<PlannedMount>& inherited = {});

/// "name[:mode]" of VolumesFrom. Throws Error{invalid_argument} `invalid mode: zz`.
struct VolumesFrom {
  std::string container;
  bool read_only = false;
};
VolumesFrom parse_volumes_from(const std::string& text);
/// The mounts of another container as one that takes them over has them: no tmpfs of `--tmpfs`, nothing is copied up.
std::vector<PlannedMount> inherit_mounts(const std::vector<PlannedMount>& mounts, bool read_only);

/// The list that inspect and ps print, sorted by destination.
std::vector<api::MountPoint> list_mount_points(const std::vector<PlannedMount>& mounts, const std::string& volumes_dir);

}  // namespace mydocker::engine
