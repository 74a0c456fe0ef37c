#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/database.h"
#include "engine/base/digest.h"
#include "storage/paths.h"
#include "storage/worker_process.h"

/// Image layers on disk, named by chain ID (OCI image-spec, config.md, "Layer ChainID").
///
/// Life of a layer: begin() makes a quarantine in tmp/ that only the confined worker fills; write() feeds it plain tar
/// while the diff ID is computed; commit() compares the diff ID, makes tree and recipe durable, renames them to their
/// place and records the row. Until then nobody sees the layer; from then on it never changes. It lives as long as an
/// owner or a child names it.
///
///   auto writer = layers.begin();
///   while (...) writer->write(plain_tar_bytes);
///   Layer layer = writer->commit(parent_chain_id, expected_diff_id, "image:" + image_id);
namespace mydocker::storage {

struct Layer {
  Digest chain_id;
  Digest diff_id;               ///< digest of the plain tar
  Digest parent;                ///< chain ID below; empty for a bottom layer
  std::int64_t size_bytes = 0;  ///< contents of its files, as `docker images` counts
  std::int64_t tar_bytes = 0;   ///< length of the plain tar: what read_tar() writes
};

/// Chain ID of `diff_id` upon `parent` (which may be empty). Pure.
Digest chain_id(const Digest& parent, const Digest& diff_id);

class LayerStore;

/// One layer being unpacked. One thread at a time; different writers in parallel. The destructor aborts what was not
/// committed: worker killed, quarantine discarded.
class LayerWriter {
 public:
  ~LayerWriter();
  LayerWriter(const LayerWriter&) = delete;
  LayerWriter& operator=(const LayerWriter&) = delete;

  /// The next bytes of the plain (decompressed) tar. Blocks while the worker is busy (back-pressure). A hostile or
  /// broken tar throws Error{invalid_argument} naming the entry, a limit Error{too_large}, a full disk Error{internal}
  /// with errno ENOSPC. After an error the writer can only be destroyed.
  void write(std::string_view plain_tar);

  /// Ends the tar, waits for the worker, compares the digest of all bytes with `expected_diff_id` (empty = any) and
  /// returns it. Throws as write(); a mismatch is Error{invalid_argument}. Calling it is optional: commit() does.
  Digest finish(const Digest& expected_diff_id = {});

  /// Makes it a durable layer upon `parent_chain_id` (empty = bottom; else it must exist, Error{not_found}). An equal
  /// layer that is there already is used instead. A non-empty `owner` retains it in the same transaction, so that
  /// nobody can delete it before the caller has said so.
  Layer commit(const Digest& parent_chain_id, const Digest& expected_diff_id = {}, std::string_view owner = {});

  std::uint64_t bytes_written() const noexcept;

 private:
  friend class LayerStore;
  struct Impl;
  explicit LayerWriter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Thread-safe (one mutex, never held while a tar is unpacked or a tree deleted). Every method blocks on the disk.
/// Rows: tables `layers` and `layer_owners` of the database. Throws Error{internal} for failures of disk or database.
class LayerStore {
 public:
  /// Makes its tables. `paths` must have been prepared; `database` must outlive the store.
  LayerStore(Database& database, Paths paths, WorkerOptions worker);
  /// Waits for the tree that is being deleted; the rest is deleted by the next recover().
  ~LayerStore();
  LayerStore(const LayerStore&) = delete;
  LayerStore& operator=(const LayerStore&) = delete;

  std::unique_ptr<LayerWriter> begin();
  /// Commits the layers of one image, bottom first, as LayerWriter::commit would one by one, but the disk is synced
  /// once for all of them. Either all of them are there afterwards or none of the new ones.
  std::vector<Layer> commit_all(std::span<LayerWriter* const> writers, const Digest& parent_chain_id,
                                std::string_view owner);

  std::optional<Layer> find(const Digest& chain_id);
  /// Throws Error{not_found} "layer does not exist: sha256:...".
  Layer get(const Digest& chain_id);
  std::vector<Layer> list();
  /// The layer and its parents, topmost first.
  std::vector<Layer> stack(const Digest& chain_id);
  /// The directories to be mounted as lower layers, topmost first; empty for the empty chain ID.
  std::vector<std::string> lower_dirs(const Digest& chain_id);

  /// Names an owner: "image:<id>", "container:<id>", or "pull:<anything>" (dropped by the next recover()). Idempotent.
  /// Throws Error{not_found}.
  void retain(const Digest& chain_id, std::string_view owner);
  /// Takes the owner away; a layer without owner and child goes, and its parents after it. Rows first, trees are moved
  /// to tmp/ at once and deleted in the background. Idempotent. Returns what went.
  std::vector<Layer> release(const Digest& chain_id, std::string_view owner);
  /// release() of everything this owner retains.
  std::vector<Layer> release_owner(std::string_view owner);

  /// The original tar, bit for bit, into `out` (a pipe, socket or file). Verified against the diff ID: a difference
  /// throws Error{internal} after the bytes were written, so that the receiver must not take them for good.
  void read_tar(const Digest& chain_id, int out);

  /// At engine start, before anything else uses the store: owners "pull:..." and unowned layers go, trees without a row
  /// and everything in tmp/ is deleted (in the background). Returns the layers whose files are gone although
  /// they are recorded: somebody's hand was in the store; containers upon them will not start.
  std::vector<Digest> recover();
  /// Blocks until the background deletions queued so far are done (tests, `system df`).
  void wait_for_deletions();

 private:
  friend class LayerWriter;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mydocker::storage
