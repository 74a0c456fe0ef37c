#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/database.h"
#include "engine/base/digest.h"
#include "engine/base/error.h"
#include "engine/base/time.h"
#include "image/image_config.h"
#include "image/reference.h"

namespace mydocker::storage {
class LayerStore;
}

namespace mydocker::image {

/// One image as it is stored. Copies are cheap enough to hand around (the document is shared and immutable).
struct Image {
  Digest id;                                      ///< digest of `config_json`
  std::shared_ptr<const ImageDocument> document;  ///< never null
  std::vector<Digest> diff_ids;                   ///< bottom layer first
  Digest chain_id;                                ///< of the whole stack: the key into storage; empty without layers
  Digest parent;                                  ///< image it was made from here; empty for pulled and loaded ones
  std::vector<std::string> repo_tags;             ///< familiar, sorted: "busybox:1"
  std::vector<std::string> repo_digests;          ///< familiar, sorted: "busybox@sha256:..."
  Timestamp created{};                            ///< from the document; Timestamp{} when it says nothing
  Timestamp last_tagged{};
  std::int64_t size_bytes = 0;  ///< sum of its layers' contents

  const ImageConfig& config() const { return document->config; }
  /// Neither tag nor digest.
  bool dangling() const { return repo_tags.empty() && repo_digests.empty(); }
  /// "image:<hex id>": who retains its layers.
  std::string owner() const { return concat("image:", id.hex()); }
};

/// A container as far as image removal cares. The engine hands the list in; this module knows no containers.
struct ImageUse {
  std::string container_id;
  Digest image_id;
  bool running = false;
};

/// One line of the answer to a removal: exactly one member is set.
struct DeletedItem {
  std::string untagged;  ///< "bb:latest", "bb@sha256:..."
  std::string deleted;   ///< "sha256:..." image or layer chain ID
  bool is_layer = false;
};

struct RemoveOptions {
  bool force = false;
  bool noprune = false;  ///< keep untagged parents
};

/// One line of `history`, newest first.
struct HistoryItem {
  std::string id = "<missing>";  ///< image ID on the line of an image that exists here
  Timestamp created{};
  std::string created_by;
  std::string comment;
  std::int64_t size_bytes = 0;
  std::vector<std::string> tags;  ///< empty: null on the wire
};

/// What becomes an image: the document's bytes, and the layers of it, which must be in the layer store already.
struct NewImage {
  std::string config_json;
  Digest parent;                      ///< empty: none
  std::vector<Reference> references;  ///< each with tag, digest or both; existing tags move here
};

/// Images, tags and digests: rows in the engine's database, the single truth of what exists. A change is durable when
/// the call returns. Thread-safe: one mutex around changes, held over layer release; reads only take the database's.
/// Blocks on the disk. Owner rows of layers are "image:<hex id>".
class ImageStore {
 public:
  ImageStore(Database& database, storage::LayerStore& layers);

  /// After a crash: finishes removals and takes back additions that were not complete. After LayerStore::recover() and
  /// before any other call.
  void recover();

  /// By familiar or canonical name, name:tag, name@digest, full ID or unique hex prefix; a name wins over a prefix
  /// (WIRE 20). nullopt: none, or a prefix that fits several. Throws Error{invalid_argument} for a malformed name.
  std::optional<Image> find(std::string_view name) const;
  /// As find, but throws Error{not_found} "No such image: x:latest".
  Image get(std::string_view name) const;
  std::optional<Image> find_by_id(const Digest& id) const;
  /// Newest first; dangling and parent images included (children() tells which to hide).
  std::vector<Image> list() const;
  /// Images whose parent is `id`.
  std::vector<Digest> children(const Digest& id) const;
  /// The exact bytes of the config document. Throws Error{not_found}.
  std::string config_json(const Digest& id) const;
  std::vector<HistoryItem> history(std::string_view name) const;

  /// Stores an image (or finds it there already) with its references, and retains its layers: who fetched or made them
  /// holds them with an owner "pull:<anything>" until this returns. Throws Error{invalid_argument} for a bad document,
  /// Error{not_found} when a layer is missing.
  Image add(const NewImage& image);
  /// Makes `target` (default tag latest) point to the image `source`. Throws Error{not_found}, Error{invalid_argument}
  /// "refusing to create a tag with a digest reference" and for the repository name "sha256".
  Image tag(std::string_view source, const Reference& target);
  /// Removes by the rules and with the texts of WIRE 21; `uses` is every container that exists.
  /// Throws Error{not_found}, Error{conflict}.
  std::vector<DeletedItem> remove(std::string_view name, RemoveOptions options, std::span<const ImageUse> uses);
  /// Removes an untagged image without children and uses; nothing when it is anything else.
  std::vector<DeletedItem> remove_if_unused(const Digest& id, std::span<const ImageUse> uses);

  storage::LayerStore& layers() const { return layers_; }

 private:
  /// How a name led to an image.
  struct Found {
    Digest id;
    bool by_name = false;
    Reference reference;  ///< with default tag, when by_name
  };
  struct Removal;
  std::optional<Found> resolve(std::string_view name) const;
  std::shared_ptr<const ImageDocument> document(const Digest& id, std::string_view config) const;
  Image load(Connection& db, const Digest& id) const;
  void release(const Digest& id, std::vector<DeletedItem>& out);
  void remove_image(const Digest& id, const Removal& removal, bool force, bool quiet, std::vector<DeletedItem>& out);

  Database& database_;
  storage::LayerStore& layers_;
  mutable std::mutex mutex_;
  mutable std::mutex cache_mutex_;
  mutable std::map<Digest, std::shared_ptr<const ImageDocument>> documents_;  ///< under cache_mutex_; parsed by content
};

}  // namespace mydocker::image
