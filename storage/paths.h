#pragma once

#include <string>
#include <string_view>

#include "engine/base/digest.h"

/// Where things lie below the data-root. Nothing else in the program joins these names.
namespace mydocker::storage {

/// The data-root's tree. Pure but for prepare(); any thread.
///
///   <data-root>/                      0710
///     state.db                        SQLite: every row of the engine
///     layers/<chain hex>/tree         unpacked layer: a lower directory of an overlay
///     layers/<chain hex>/recipe       tar headers, order and padding, zstd (storage/tar_recipe.h)
///     layers/<chain hex>/lost/        contents that later entries of the same tar replaced; only where that happened
///     partial/<digest hex>            blob being fetched, with its chunk journal
///     containers/<id>/upper, work     what the container wrote; overlayfs' own work directory
///     containers/<id>/...             hosts, hostname, resolv.conf, exit, <id>-json.log (the engine's and shim's)
///     init-layer/                     what every container finds below its own changes: mount points
///     (container_layers.h) volumes/<name>/_data            content of a local volume tmp/ the same file system; what
///     lies here at start is garbage
///
/// Container ids must be 64 hex digits and volume names tokens (SECURITY R22): anything else throws
/// Error{invalid_argument} before it becomes part of a path.
class Paths {
 public:
  explicit Paths(std::string data_root);

  /// Makes the missing directories with private modes (SECURITY R23). Throws Error{internal}.
  void prepare() const;

  const std::string& data_root() const noexcept { return data_root_; }
  std::string state_db() const;
  std::string layers() const;
  std::string layer(const Digest& chain_id) const;
  std::string layer_tree(const Digest& chain_id) const;
  std::string layer_recipe(const Digest& chain_id) const;
  std::string partial() const;
  std::string containers() const;
  std::string container(std::string_view id) const;
  std::string upper(std::string_view id) const;
  std::string work(std::string_view id) const;
  std::string init_layer() const;
  std::string volumes() const;
  std::string volume(std::string_view name) const;
  std::string volume_data(std::string_view name) const;
  std::string tmp() const;

 private:
  std::string data_root_;
};

/// 64 lower-case hex digits.
bool is_container_id(std::string_view id) noexcept;
/// [a-zA-Z0-9][a-zA-Z0-9_.-]+, at most 255 bytes.
bool is_volume_name(std::string_view name) noexcept;

}  // namespace mydocker::storage
