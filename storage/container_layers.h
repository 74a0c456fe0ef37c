#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "engine/base/json.h"
#include "engine/base/mount.h"
#include "storage/layer_store.h"
#include "storage/paths.h"
#include "storage/tar_diff.h"

/// The writable layers of containers. Everything that reads below a container root runs in the confined worker
/// (SECURITY R1, R27); nothing is ever mounted in the host's mount namespace (DESIGN 3.1).
namespace mydocker::storage {

/// One line of `docker diff`; the numbers are the wire's (ContainerChanges).
struct Change {
  std::string path;  ///< absolute in the container; any bytes but NUL
  ChangeKind kind = ChangeKind::modified;
  auto operator<=>(const Change&) const = default;
};

/// Thread-safe; every method blocks. Ids are 64 hex digits, else Error{invalid_argument}.
/// The caller owns the rows: it records a container before create() and forgets it after remove().
///
/// Between a container's own changes and its image lies the init layer, one for all: the files and directories that the
/// engine mounts upon (/etc/hosts, /etc/hostname, /etc/resolv.conf, /dev/console, /proc, /sys, ...) and /.dockerenv. So
/// a start writes nothing into the upper directory, read-only containers have their mount points, and `diff` and
/// `commit` show what the container did and nothing else.
class ContainerLayers {
 public:
  /// `layers` must outlive this object.
  ContainerLayers(LayerStore& layers, const Paths& paths, WorkerOptions worker);
  ~ContainerLayers();

  /// Makes containers/<id> with an empty upper and work directory. Idempotent.
  void create(std::string_view id);
  /// Removes containers/<id> with all in it (logs, too). Quick: moved to tmp/ at once, deleted in the background.
  /// Absence is fine.
  void remove(std::string_view id);
  /// Removes the directories of all containers that are not in `known`: at engine start.
  void recover(const std::vector<std::string>& known);

  /// What the shim mounts. `chain_id` may be empty (no image). Makes the directories again that a power cut took.
  OverlayMount mount(std::string_view id, const Digest& chain_id);

  /// What the container changed, sorted by path (moby: parents of changes are listed as modified). Works while it runs.
  std::vector<Change> changes(std::string_view id, const Digest& chain_id);
  /// The whole root file system without volumes as tar into `out`. Works while it runs.
  void export_tar(std::string_view id, const Digest& chain_id, int out);
  /// What the container changed as a layer tar with whiteouts (OCI image-spec, layer.md): for commit.
  void diff_tar(std::string_view id, int out);
  /// Bytes of the files in the upper directory (SizeRw).
  std::int64_t size_bytes(std::string_view id);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mydocker::storage
