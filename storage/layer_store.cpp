#include "storage/layer_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <set>

#include "engine/base/failpoint.h"
#include "engine/base/sys.h"
#include "storage/sync_gate.h"
#include "storage/trash.h"

namespace mydocker::storage {
namespace {

constexpr std::string_view temporary_owner = "pull:";

constexpr std::string_view create_tables = R"(
  CREATE TABLE IF NOT EXISTS layers (
    chain_id TEXT PRIMARY KEY,
    diff_id TEXT NOT NULL,
    parent TEXT REFERENCES layers (chain_id),
    size_bytes INTEGER NOT NULL,
    tar_bytes INTEGER NOT NULL,
    opaque_root INTEGER NOT NULL  -- overlayfs has no mark for it: lower_dirs() ends there
  ) STRICT;
  CREATE INDEX IF NOT EXISTS layers_by_parent ON layers (parent);
  CREATE TABLE IF NOT EXISTS layer_owners (
    chain_id TEXT NOT NULL REFERENCES layers (chain_id),
    owner TEXT NOT NULL,
    PRIMARY KEY (chain_id, owner)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS layer_owners_by_owner ON layer_owners (owner);
)";

constexpr std::string_view columns =
    "SELECT chain_id, diff_id, parent, size_bytes, tar_bytes, opaque_root FROM layers ";

struct Row {
  Layer layer;
  bool opaque_root = false;
};

Digest digest_or_empty(const std::string& text) { return text.empty() ? Digest() : Digest::parse(text); }

Row read_row(const Statement& statement) {
  Row row;
  row.layer.chain_id = Digest::parse(statement.text(0));
  row.layer.diff_id = Digest::parse(statement.text(1));
  row.layer.parent = digest_or_empty(statement.text(2));
  row.layer.size_bytes = statement.integer(3);
  row.layer.tar_bytes = statement.integer(4);
  row.opaque_root = statement.integer(5) != 0;
  return row;
}

std::optional<Row> find_row(Connection& db, const Digest& chain_id) {
  Statement statement = db.prepare(concat(columns, "WHERE chain_id = ?"));
  statement.bind(chain_id.text());
  if (!statement.step()) return std::nullopt;
  return read_row(statement);
}

Error no_such_layer(const Digest& chain_id) {
  return Error(ErrorKind::not_found, concat("layer does not exist: ", chain_id.text()));
}

void insert_owner(Connection& db, const Digest& chain_id, std::string_view owner) {
  if (owner.empty()) return;
  Statement statement = db.prepare("INSERT OR IGNORE INTO layer_owners (chain_id, owner) VALUES (?, ?)");
  statement.bind(chain_id.text()).bind(owner).step();
}

bool has_rows(Connection& db, std::string_view sql, const Digest& chain_id) {
  Statement statement = db.prepare(sql);
  statement.bind(chain_id.text());
  return statement.step();
}

/// Deletes the row of this layer and of its parents as far up as nobody wants them.
void sweep(Connection& db, Digest chain_id, std::vector<Layer>& gone) {
  while (!chain_id.empty()) {
    const std::optional<Row> row = find_row(db, chain_id);
    if (!row || has_rows(db, "SELECT 1 FROM layer_owners WHERE chain_id = ? LIMIT 1", chain_id) ||
        has_rows(db, "SELECT 1 FROM layers WHERE parent = ? LIMIT 1", chain_id)) {
      return;
    }
    Statement statement = db.prepare("DELETE FROM layers WHERE chain_id = ?");
    statement.bind(chain_id.text()).step();
    gone.push_back(row->layer);
    chain_id = row->layer.parent;
  }
}

std::vector<std::string> names_in(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), ::closedir);
  if (!dir) throw sys_error("open ", path);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  return names;
}

}  // namespace

Digest chain_id(const Digest& parent, const Digest& diff_id) {
  return parent.empty() ? diff_id : sha256_of(concat(parent.text(), " ", diff_id.text()));
}

struct LayerStore::Impl {
  Impl(Database& database_, Paths paths_, WorkerOptions worker_)
      : database(database_), paths(std::move(paths_)), worker(std::move(worker_)), trash(paths.tmp()) {}

  class Claims;
  std::vector<Layer> commit(std::span<LayerWriter::Impl* const> writers, Digest parent, std::string_view owner);
  void remove_trees(const std::vector<Layer>& gone);
  void discard_quietly(const std::string& path) noexcept;

  Database& database;
  Paths paths;
  WorkerOptions worker;
  Trash trash;
  SyncGate sync;
  /// Guards the agreement of rows and directories: held while a row goes and its directory is moved away, and while a
  /// new layer claims its name. Never while unpacking, syncing or deleting.
  std::mutex mutex;
  std::condition_variable changed;
  std::set<Digest> being_committed;
};

struct LayerWriter::Impl {
  explicit Impl(LayerStore::Impl& store_)
      : store(store_),
        quarantine(store.trash.make_name("layer")),
        directory(make_quarantine(quarantine)),
        worker(std::in_place, store.worker, request(store.worker), directory.get(), WorkerPipe::input) {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    worker.reset();  // killed before its tree is taken away
    if (!quarantine.empty()) store.discard_quietly(quarantine);
  }

  static UniqueFd make_quarantine(const std::string& path) {
    if (::mkdir(path.c_str(), 0700) != 0) throw sys_error("mkdir ", path);
    return open_file(path, O_RDONLY | O_DIRECTORY);
  }
  static WorkerRequest request(const WorkerOptions& options) {
    WorkerRequest out;
    out.job = "unpack";
    out.limits = options.limits;
    return out;
  }
  Digest finish(const Digest& expected);

  LayerStore::Impl& store;
  std::string quarantine;  ///< empty once its content has become a layer
  UniqueFd directory;
  std::optional<WorkerProcess> worker;
  Sha256 hash;
  std::uint64_t bytes = 0;
  Digest diff_id;  ///< set by finish
  UnpackResult result;
};

Digest LayerWriter::Impl::finish(const Digest& expected) {
  if (diff_id.empty()) {
    failpoint("layer.finish");
    result = worker->finish().unpacked;
    diff_id = hash.finish();
  }
  if (!expected.empty() && expected != diff_id) {
    throw Error(ErrorKind::invalid_argument,
                concat("layer has the wrong content: expected ", expected.text(), ", got ", diff_id.text()));
  }
  return diff_id;
}

void LayerStore::Impl::discard_quietly(const std::string& path) noexcept {
  try {
    trash.discard(path);
  } catch (const std::exception&) {
    // It lies in tmp/ or has no row: the next recover() finds it.
  }
}

void LayerStore::Impl::remove_trees(const std::vector<Layer>& gone) {
  for (const Layer& layer : gone) discard_quietly(paths.layer(layer.chain_id));
}

/// Names claimed by one commit, and the directories it has put there: given back unless it succeeds.
class LayerStore::Impl::Claims {
 public:
  explicit Claims(Impl& store) : store_(store) {}
  Claims(const Claims&) = delete;
  Claims& operator=(const Claims&) = delete;
  ~Claims() {
    const std::scoped_lock lock(store_.mutex);
    for (const Digest& id : claimed_) store_.being_committed.erase(id);
    if (!succeeded_) {
      for (const std::string& path : placed_) store_.discard_quietly(path);
    }
    store_.changed.notify_all();
  }
  /// Waits until nobody else commits this layer.
  void claim(std::unique_lock<std::mutex>& lock, const Digest& id) {
    if (claimed_.contains(id)) return;
    store_.changed.wait(lock, [&] { return !store_.being_committed.contains(id); });
    store_.being_committed.insert(id);
    claimed_.insert(id);
  }
  void placed(std::string path) { placed_.push_back(std::move(path)); }
  void succeed() { succeeded_ = true; }

 private:
  Impl& store_;
  std::set<Digest> claimed_;
  std::vector<std::string> placed_;
  bool succeeded_ = false;
};

std::vector<Layer> LayerStore::Impl::commit(std::span<LayerWriter::Impl* const> writers, Digest parent,
                                            std::string_view owner) {
  std::vector<Row> rows;
  for (LayerWriter::Impl* writer : writers) {
    Row row;
    row.layer.diff_id = writer->finish({});
    row.layer.parent = parent;
    row.layer.chain_id = parent = chain_id(parent, row.layer.diff_id);
    row.layer.size_bytes = writer->result.size_bytes;
    row.layer.tar_bytes = static_cast<std::int64_t>(writer->bytes);
    row.opaque_root = writer->result.opaque_root;
    rows.push_back(std::move(row));
  }

  Claims claims(*this);
  std::vector<bool> is_new(rows.size());
  {
    // Claimed in the order of the chain IDs: two commits of the same layers never wait for each other in a circle.
    std::unique_lock lock(mutex);
    std::set<Digest> order;
    for (const Row& row : rows) order.insert(row.layer.chain_id);
    for (const Digest& id : order) claims.claim(lock, id);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::string path = paths.layer(rows[i].layer.chain_id);
      is_new[i] = !database.transaction([&](Connection& db) { return find_row(db, rows[i].layer.chain_id); });
      if (!is_new[i]) continue;
      if (path_exists(path)) trash.discard(path);  // left by a crash between rename and row
      if (::rename(writers[i]->quarantine.c_str(), path.c_str()) != 0) throw sys_error("rename ", path);
      writers[i]->quarantine.clear();
      claims.placed(path);
    }
  }
  failpoint("layer.renamed");
  const UniqueFd directory = open_file(paths.layers(), O_RDONLY | O_DIRECTORY);
  if (std::find(is_new.begin(), is_new.end(), true) != is_new.end()) sync.sync(directory.get());
  failpoint("layer.synced");
  database.transaction([&](Connection& db) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const Layer& layer = rows[i].layer;
      if (!layer.parent.empty() && !find_row(db, layer.parent)) throw no_such_layer(layer.parent);
      if (is_new[i]) {
        Statement insert = db.prepare(
            "INSERT INTO layers (chain_id, diff_id, parent, size_bytes, tar_bytes, opaque_root) VALUES (?, ?, ?, ?, ?, "
            "?)");
        insert.bind(layer.chain_id.text()).bind(layer.diff_id.text());
        layer.parent.empty() ? insert.bind_null() : insert.bind(layer.parent.text());
        insert.bind(layer.size_bytes).bind(layer.tar_bytes).bind(std::int64_t{rows[i].opaque_root}).step();
      } else if (!find_row(db, layer.chain_id)) {
        throw no_such_layer(layer.chain_id);  // released meanwhile by its last owner
      }
      insert_owner(db, layer.chain_id, owner);
    }
  });
  claims.succeed();
  std::vector<Layer> layers;
  for (const Row& row : rows) layers.push_back(row.layer);
  return layers;
}

LayerWriter::LayerWriter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LayerWriter::~LayerWriter() = default;

void LayerWriter::write(std::string_view plain_tar) {
  failpoint("layer.write");
  impl_->hash.update(plain_tar);
  impl_->bytes += plain_tar.size();
  impl_->worker->write(plain_tar);
}

Digest LayerWriter::finish(const Digest& expected_diff_id) { return impl_->finish(expected_diff_id); }

Layer LayerWriter::commit(const Digest& parent_chain_id, const Digest& expected_diff_id, std::string_view owner) {
  impl_->finish(expected_diff_id);
  const std::array<Impl*, 1> only{impl_.get()};
  return impl_->store.commit(only, parent_chain_id, owner).front();
}

std::uint64_t LayerWriter::bytes_written() const noexcept { return impl_->bytes; }

LayerStore::LayerStore(Database& database, Paths paths, WorkerOptions worker)
    : impl_(std::make_unique<Impl>(database, std::move(paths), std::move(worker))) {
  database.transaction([](Connection& db) { db.execute(create_tables); });
}
LayerStore::~LayerStore() = default;

std::unique_ptr<LayerWriter> LayerStore::begin() {
  failpoint("layer.begin");
  return std::unique_ptr<LayerWriter>(new LayerWriter(std::make_unique<LayerWriter::Impl>(*impl_)));
}

std::vector<Layer> LayerStore::commit_all(std::span<LayerWriter* const> writers, const Digest& parent_chain_id,
                                          std::string_view owner) {
  std::vector<LayerWriter::Impl*> impls;
  for (LayerWriter* writer : writers) impls.push_back(writer->impl_.get());
  return impl_->commit(impls, parent_chain_id, owner);
}

std::optional<Layer> LayerStore::find(const Digest& chain_id) {
  const std::optional<Row> row = impl_->database.transaction([&](Connection& db) { return find_row(db, chain_id); });
  return row ? std::optional<Layer>(row->layer) : std::nullopt;
}

Layer LayerStore::get(const Digest& chain_id) {
  const std::optional<Layer> layer = find(chain_id);
  if (!layer) throw no_such_layer(chain_id);
  return *layer;
}

std::vector<Layer> LayerStore::list() {
  return impl_->database.transaction([&](Connection& db) {
    std::vector<Layer> out;
    Statement statement = db.prepare(concat(columns, "ORDER BY chain_id"));
    while (statement.step()) out.push_back(read_row(statement).layer);
    return out;
  });
}

namespace {

std::vector<Row> read_stack(Connection& db, Digest id) {
  std::vector<Row> rows;
  while (!id.empty()) {
    std::optional<Row> row = find_row(db, id);
    if (!row) throw no_such_layer(id);
    id = row->layer.parent;
    rows.push_back(std::move(*row));
  }
  return rows;
}

}  // namespace

std::vector<Layer> LayerStore::stack(const Digest& chain_id) {
  const std::vector<Row> rows = impl_->database.transaction([&](Connection& db) { return read_stack(db, chain_id); });
  std::vector<Layer> layers;
  for (const Row& row : rows) layers.push_back(row.layer);
  return layers;
}

std::vector<std::string> LayerStore::lower_dirs(const Digest& chain_id) {
  const std::vector<Row> rows = impl_->database.transaction([&](Connection& db) { return read_stack(db, chain_id); });
  std::vector<std::string> dirs;
  for (const Row& row : rows) {
    dirs.push_back(impl_->paths.layer_tree(row.layer.chain_id));
    if (row.opaque_root) break;
  }
  return dirs;
}

void LayerStore::retain(const Digest& chain_id, std::string_view owner) {
  impl_->database.transaction([&](Connection& db) {
    if (!find_row(db, chain_id)) throw no_such_layer(chain_id);
    insert_owner(db, chain_id, owner);
  });
}

std::vector<Layer> LayerStore::release(const Digest& chain_id, std::string_view owner) {
  const std::scoped_lock lock(impl_->mutex);
  std::vector<Layer> gone;
  impl_->database.transaction([&](Connection& db) {
    Statement statement = db.prepare("DELETE FROM layer_owners WHERE chain_id = ? AND owner = ?");
    statement.bind(chain_id.text()).bind(owner).step();
    sweep(db, chain_id, gone);
  });
  failpoint("layer.released");
  impl_->remove_trees(gone);
  return gone;
}

std::vector<Layer> LayerStore::release_owner(std::string_view owner) {
  const std::scoped_lock lock(impl_->mutex);
  std::vector<Layer> gone;
  impl_->database.transaction([&](Connection& db) {
    std::vector<Digest> released;
    {
      Statement statement = db.prepare("DELETE FROM layer_owners WHERE owner = ? RETURNING chain_id");
      statement.bind(owner);
      while (statement.step()) released.push_back(Digest::parse(statement.text(0)));
    }
    for (const Digest& id : released) sweep(db, id, gone);
  });
  failpoint("layer.released");
  impl_->remove_trees(gone);
  return gone;
}

void LayerStore::read_tar(const Digest& chain_id, int out) {
  const Layer layer = get(chain_id);
  const UniqueFd directory = open_file(impl_->paths.layer(chain_id), O_RDONLY | O_DIRECTORY);
  WorkerRequest request;
  request.job = "rebuild";
  request.limits = impl_->worker.limits;
  WorkerProcess worker(impl_->worker, request, directory.get(), WorkerPipe::output);
  Sha256 hash;
  std::vector<char> buffer(std::size_t{256} << 10);
  while (const std::size_t got = worker.read(buffer.data(), buffer.size())) {
    const std::string_view bytes(buffer.data(), got);
    hash.update(bytes);
    write_all(out, bytes);
  }
  worker.finish();
  const Digest digest = hash.finish();
  if (digest != layer.diff_id) {
    throw Error(ErrorKind::internal, concat("layer ", chain_id.text(), " is damaged: its tar has digest ",
                                            digest.text(), " instead of ", layer.diff_id.text()));
  }
}

std::vector<Digest> LayerStore::recover() {
  const std::scoped_lock lock(impl_->mutex);
  std::set<std::string> wanted;
  impl_->database.transaction([&](Connection& db) {
    Statement drop = db.prepare("DELETE FROM layer_owners WHERE substr(owner, 1, 5) = ?");
    drop.bind(temporary_owner).step();
    std::vector<Digest> unowned;
    {
      Statement leaves = db.prepare(
          "SELECT chain_id FROM layers l WHERE NOT EXISTS (SELECT 1 FROM layer_owners o WHERE o.chain_id = l.chain_id) "
          "AND NOT EXISTS (SELECT 1 FROM layers c WHERE c.parent = l.chain_id)");
      while (leaves.step()) unowned.push_back(Digest::parse(leaves.text(0)));
    }
    std::vector<Layer> gone;  // their trees are found below, having no row
    for (const Digest& id : unowned) sweep(db, id, gone);
    Statement all = db.prepare("SELECT chain_id FROM layers");
    while (all.step()) wanted.insert(Digest::parse(all.text(0)).hex());
  });
  for (const std::string& name : names_in(impl_->paths.layers())) {
    if (wanted.erase(name) == 0) impl_->trash.discard(concat(impl_->paths.layers(), "/", name));
  }
  impl_->trash.discard_all_tmp();
  std::vector<Digest> damaged;
  for (const std::string& hex : wanted) damaged.push_back(Digest::from_hex(hex));
  return damaged;
}

void LayerStore::wait_for_deletions() { impl_->trash.wait(); }

}  // namespace mydocker::storage
