#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/database.h"
#include "engine/base/mount.h"
#include "engine/base/time.h"
#include "storage/paths.h"
#include "storage/worker_process.h"

namespace mydocker::storage {

/// A local volume: a directory that outlives containers.
struct Volume {
  std::string name;
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> options;
  bool has_labels = false;  ///< whether the request had labels at all: null and {} differ on the wire
  bool has_options = false;
  bool anonymous = false;  ///< made without a name; removed with its container
  Timestamp created{};
  std::string mountpoint;  ///< volumes/<name>/_data
};

struct VolumeRequest {
  std::string name;  ///< empty: 64 random hex digits, anonymous
  std::string driver = "local";
  std::optional<std::map<std::string, std::string>> labels;
  std::optional<std::map<std::string, std::string>> options;
  bool provisional = false;  ///< of an anonymous one: gone at the next start of the engine unless claim() comes first
};

/// Local volumes. Thread-safe (one mutex); every method blocks on the disk. Rows: table `volumes`; the row is written
/// before the directory is made and goes before it is deleted: what a crash leaves has no row and goes at the start.
/// Who uses a volume is the engine's knowledge. Error texts as Docker's (WIRE 25).
class VolumeStore {
 public:
  VolumeStore(Database& database, const Paths& paths, WorkerOptions worker);
  ~VolumeStore();

  /// An existing volume of this name comes back as it is. Throws Error{invalid_argument} for a bad name or option,
  /// Error{not_found} for an unknown driver. A volume with the options type, device and o is a mount of something else:
  /// whoever starts a container mounts it there; its own directory stays empty.
  Volume create(const VolumeRequest& request);
  /// A provisional volume has its container now. Joins the transaction that records the container; without effect on
  /// other volumes.
  void claim(std::string_view name);
  /// The other way round: an anonymous volume whose container goes is gone at the next start, if not removed before.
  /// Joins the transaction that deletes the container; without effect on volumes with a name.
  void renounce(std::string_view name);
  std::optional<Volume> find(std::string_view name);
  /// Throws Error{not_found} "get NAME: no such volume".
  Volume get(std::string_view name);
  /// Sorted by name.
  std::vector<Volume> list();
  /// The caller has made sure that nobody uses it. Quick: the data is moved to tmp/ and deleted in the background.
  /// Throws Error{not_found}.
  void remove(std::string_view name);

  /// Copies the directory `path` of the stack's lower layers into the volume, if the volume is empty, with owner and
  /// mode (C4: into an empty volume only; complete or not at all). Nobody may have the volume mounted. false: nothing
  /// to copy, or not empty.
  bool copy_up(std::string_view name, const OverlayMount& stack, const std::string& path);
  /// Bytes of the files in it.
  std::int64_t size_bytes(std::string_view name);
  /// At engine start: makes what a crash left half-made, removes directories without a row and provisional volumes.
  void recover();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mydocker::storage
