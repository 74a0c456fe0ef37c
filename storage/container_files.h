#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/mount.h"
#include "engine/base/unique_fd.h"
#include "storage/worker_process.h"

/// A container's files as the container sees them: volumes, binds and all (docker cp). Every look and every write
/// happens in the confined worker, inside the container's root (SECURITY R27, C1-C3); this process walks no path of a
/// container. Any thread; everything blocks. Paths are absolute and clean. Errors: Error{not_found} for a missing path,
/// Error{invalid_argument} for what Docker refuses, Error{unavailable} when the container ended meanwhile.
namespace mydocker::storage {

/// Where to look.
struct ContainerView {
  /// Of a container that runs, and the root directory of its first process; empty for others.
  UniqueFd mount_namespace;
  UniqueFd root;
  /// Of others: their layers, with the real upper directory, and what is mounted upon them, parents first.
  OverlayMount stack;
  std::vector<ViewMount> mounts;
};

/// A path and how its end is meant.
struct ContainerPath {
  std::string path;        ///< absolute and clean
  bool directory = false;  ///< ended in "/" or "/.": must be a directory, a link to one is followed
  bool contents = false;   ///< ended in "/.": its content, not itself
};

/// A file or directory on its way out.
class PackedFiles {
 public:
  PackedFiles(const WorkerOptions& options, const WorkerRequest& request, const ContainerView& view);

  const FileStat& stat() const noexcept { return stat_; }
  /// The tar, to its end, piece by piece. What `sink` throws is thrown; the worker ends with this object.
  void write_to(const std::function<void(std::string_view)>& sink);

 private:
  WorkerProcess worker_;
  FileStat stat_;
};

struct ExtractRequest {
  std::string directory;    ///< where to; a link at its end is followed
  bool keep_kinds = false;  ///< a directory replaces nothing else, and nothing else a directory
  std::optional<std::pair<std::uint32_t, std::uint32_t>> owner;  ///< instead of the archive's owners
};

class ContainerFiles {
 public:
  explicit ContainerFiles(WorkerOptions worker) : worker_(std::move(worker)) {}

  FileStat stat(const ContainerView& view, const ContainerPath& path) const;
  std::unique_ptr<PackedFiles> pack(const ContainerView& view, const ContainerPath& path) const;
  /// `source` gives the plain tar to a sink, piece by piece, and returns at its end.
  void extract(const ContainerView& view, const ExtractRequest& request,
               const std::function<void(const std::function<void(std::string_view)>& sink)>& source) const;
  /// A small regular file; "" when there is none. Throws Error{too_large} beyond 1 MiB.
  std::string read_file(const ContainerView& view, const std::string& path) const;

 private:
  WorkerRequest make_request(std::string_view job, const ContainerView& view, bool scratch) const;

  WorkerOptions worker_;
};

}  // namespace mydocker::storage
