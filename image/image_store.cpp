#include "image/image_store.h"

#include <algorithm>
#include <utility>

#include "engine/base/failpoint.h"
#include "storage/layer_store.h"

namespace mydocker::image {

namespace {

/// Life of a row: it is written before the layers are retained and deleted after they were released, so that recover()
/// knows what a crash left half done (DESIGN 3.1).
constexpr std::int64_t state_incomplete = 0;
constexpr std::int64_t state_present = 1;

constexpr std::size_t max_cached_documents = 256;

Digest top_chain_id(const std::vector<Digest>& diff_ids) {
  Digest chain;
  for (const Digest& diff_id : diff_ids) chain = storage::chain_id(chain, diff_id);
  return chain;
}

Digest digest_or_empty(const std::string& text) { return text.empty() ? Digest() : Digest::parse(text); }

std::string owner_of(const Digest& id) { return concat("image:", id.hex()); }

/// A stored name in familiar form.
std::string familiar_name(const std::string& repository, const std::string& tag, const std::string& digest) {
  const std::string name = Reference::parse(repository).familiar_repository();
  return tag.empty() ? concat(name, "@", digest) : concat(name, ":", tag);
}

void read_names(Statement& rows, Image& image) {
  const std::string name = familiar_name(rows.text(0), rows.text(1), rows.text(2));
  (rows.text(1).empty() ? image.repo_digests : image.repo_tags).push_back(name);
}

void write_name(Connection& db, const Reference& reference, const Digest& id) {
  const auto put = [&](const std::string& tag, const std::string& digest) {
    auto row = db.prepare("INSERT OR REPLACE INTO image_names(repository, tag, digest, image_id) VALUES(?, ?, ?, ?)");
    row.bind(reference.repository()).bind(tag).bind(digest).bind(id.text()).step();
  };
  if (!reference.tag().empty()) put(reference.tag(), "");
  if (!reference.digest().empty()) put("", reference.digest().text());
}

void touch(Connection& db, const Digest& id) {
  auto row = db.prepare("UPDATE images SET last_tagged = ? WHERE id = ?");
  row.bind(to_unix_nanoseconds(now())).bind(id.text()).step();
}

}  // namespace

ImageStore::ImageStore(Database& database, storage::LayerStore& layers) : database_(database), layers_(layers) {
  database_.transaction([](Connection& db) {
    db.execute(
        "CREATE TABLE IF NOT EXISTS images(id TEXT PRIMARY KEY, state INTEGER NOT NULL, config TEXT NOT NULL,"
        " parent TEXT NOT NULL, chain_id TEXT NOT NULL, size INTEGER NOT NULL, created INTEGER NOT NULL,"
        " last_tagged INTEGER NOT NULL) WITHOUT ROWID");
    db.execute(
        "CREATE TABLE IF NOT EXISTS image_names(repository TEXT NOT NULL, tag TEXT NOT NULL, digest TEXT NOT NULL,"
        " image_id TEXT NOT NULL, PRIMARY KEY(repository, tag, digest)) WITHOUT ROWID");
    db.execute("CREATE INDEX IF NOT EXISTS image_names_of ON image_names(image_id)");
  });
}

void ImageStore::recover() {
  const std::scoped_lock lock(mutex_);
  const auto incomplete = database_.transaction([](Connection& db) {
    std::vector<Digest> out;
    auto rows = db.prepare("SELECT id FROM images WHERE state = ?");
    rows.bind(state_incomplete);
    while (rows.step()) out.push_back(Digest::parse(rows.text(0)));
    return out;
  });
  std::vector<DeletedItem> ignored;
  for (const Digest& id : incomplete) release(id, ignored);
}

std::shared_ptr<const ImageDocument> ImageStore::document(const Digest& id, std::string_view config) const {
  const std::scoped_lock lock(cache_mutex_);
  if (const auto found = documents_.find(id); found != documents_.end()) return found->second;
  auto out = std::make_shared<const ImageDocument>(parse_image_document(config));
  if (documents_.size() >= max_cached_documents) documents_.clear();
  documents_.emplace(id, out);
  return out;
}

Image ImageStore::load(Connection& db, const Digest& id) const {
  Image out;
  {
    auto row = db.prepare("SELECT config, parent, chain_id, size, created, last_tagged FROM images WHERE id = ?");
    row.bind(id.text());
    if (!row.step()) throw Error(ErrorKind::not_found, concat("No such image: ", id.text()));
    out.id = id;
    out.document = document(id, row.text(0));
    out.parent = digest_or_empty(row.text(1));
    out.chain_id = digest_or_empty(row.text(2));
    out.size_bytes = row.integer(3);
    out.created = from_unix_nanoseconds(row.integer(4));
    out.last_tagged = from_unix_nanoseconds(row.integer(5));
  }
  out.diff_ids = diff_ids_of(*out.document);
  auto names = db.prepare("SELECT repository, tag, digest FROM image_names WHERE image_id = ?");
  names.bind(id.text());
  while (names.step()) read_names(names, out);
  std::sort(out.repo_tags.begin(), out.repo_tags.end());
  std::sort(out.repo_digests.begin(), out.repo_digests.end());
  return out;
}

std::optional<ImageStore::Found> ImageStore::resolve(std::string_view name) const {
  return database_.transaction([&](Connection& db) -> std::optional<Found> {
    const std::string_view hex = name.starts_with("sha256:") ? name.substr(7) : name;
    const auto by_prefix = [&]() -> std::optional<Found> {
      auto rows = db.prepare("SELECT id FROM images WHERE id >= ? AND id < ? AND state = ? LIMIT 2");
      const std::string first = concat("sha256:", hex);
      rows.bind(first).bind(concat(first, "g")).bind(state_present);
      if (!rows.step()) return std::nullopt;
      Found out{Digest::parse(rows.text(0)), false, {}};
      if (rows.step()) return std::nullopt;
      return out;
    };
    if (is_image_id(name)) return by_prefix();
    const Reference reference = Reference::parse(name).with_default_tag();
    {
      // A digest says more than a tag: with both, the tag is not looked at.
      const bool by_digest = !reference.digest().empty();
      auto row = db.prepare("SELECT image_id FROM image_names WHERE repository = ? AND tag = ? AND digest = ?");
      row.bind(reference.repository()).bind(by_digest ? std::string_view() : std::string_view(reference.tag()));
      row.bind(reference.digest().text());
      if (row.step()) return Found{Digest::parse(row.text(0)), true, reference};
    }
    return is_id_prefix(name) ? by_prefix() : std::nullopt;
  });
}

std::optional<Image> ImageStore::find(std::string_view name) const {
  return database_.transaction([&](Connection& db) -> std::optional<Image> {
    const std::optional<Found> found = resolve(name);
    if (!found) return std::nullopt;
    return load(db, found->id);
  });
}

Image ImageStore::get(std::string_view name) const {
  if (std::optional<Image> found = find(name)) return *std::move(found);
  if (is_image_id(name)) {
    throw Error(ErrorKind::not_found,
                concat("No such image: ", name.starts_with("sha256:") ? "" : "sha256:", std::string(name)));
  }
  throw Error(ErrorKind::not_found, concat("No such image: ", Reference::parse(name).with_default_tag().familiar()));
}

std::optional<Image> ImageStore::find_by_id(const Digest& id) const { return find(id.text()); }

std::vector<Image> ImageStore::list() const {
  auto out = database_.transaction([&](Connection& db) {
    std::vector<Digest> ids;
    {
      auto rows = db.prepare("SELECT id FROM images WHERE state = ?");
      rows.bind(state_present);
      while (rows.step()) ids.push_back(Digest::parse(rows.text(0)));
    }
    std::vector<Image> images;
    images.reserve(ids.size());
    for (const Digest& id : ids) images.push_back(load(db, id));
    return images;
  });
  std::sort(out.begin(), out.end(), [](const Image& a, const Image& b) {
    return a.created != b.created ? a.created > b.created : a.id < b.id;
  });
  return out;
}

std::vector<Digest> ImageStore::children(const Digest& id) const {
  return database_.transaction([&](Connection& db) {
    std::vector<Digest> out;
    auto rows = db.prepare("SELECT id FROM images WHERE parent = ? AND state = ?");
    rows.bind(id.text()).bind(state_present);
    while (rows.step()) out.push_back(Digest::parse(rows.text(0)));
    return out;
  });
}

std::string ImageStore::config_json(const Digest& id) const {
  return database_.transaction([&](Connection& db) {
    auto row = db.prepare("SELECT config FROM images WHERE id = ? AND state = ?");
    row.bind(id.text()).bind(state_present);
    if (!row.step()) throw Error(ErrorKind::not_found, concat("No such image: ", id.text()));
    return row.text(0);
  });
}

std::vector<HistoryItem> ImageStore::history(std::string_view name) const {
  const Image image = get(name);
  std::vector<storage::Layer> layers;  // bottom first
  if (!image.chain_id.empty()) layers = layers_.stack(image.chain_id);
  std::reverse(layers.begin(), layers.end());
  std::vector<HistoryItem> out;
  std::size_t next_layer = 0;
  for (const HistoryEntry& entry : image.document->history) {
    HistoryItem item;
    item.created = parse_rfc3339(entry.created).value_or(Timestamp{});
    item.created_by = entry.created_by;
    item.comment = entry.comment;
    if (!entry.empty_layer && next_layer < layers.size()) item.size_bytes = layers[next_layer++].size_bytes;
    out.push_back(std::move(item));
  }
  std::reverse(out.begin(), out.end());
  std::optional<Image> current = image;
  for (HistoryItem& item : out) {
    item.id = current->id.text();
    item.tags = current->repo_tags;
    if (current->parent.empty() || !(current = find_by_id(current->parent))) break;
  }
  return out;
}

Image ImageStore::add(const NewImage& image) {
  const ImageDocument parsed = parse_image_document(image.config_json);
  const Digest id = sha256_of(image.config_json);
  const Digest chain = top_chain_id(diff_ids_of(parsed));
  const std::scoped_lock lock(mutex_);
  std::int64_t size = 0;
  if (!chain.empty()) {
    for (const storage::Layer& layer : layers_.stack(chain)) size += layer.size_bytes;
  }
  database_.transaction([&](Connection& db) {
    const Timestamp created = parse_rfc3339(parsed.created).value_or(Timestamp{});
    auto row = db.prepare(
        "INSERT OR IGNORE INTO images(id, state, config, parent, chain_id, size, created, last_tagged)"
        " VALUES(?, ?, ?, ?, ?, ?, ?, 0)");
    row.bind(id.text()).bind(state_incomplete).bind(image.config_json).bind(image.parent.text()).bind(chain.text());
    row.bind(size).bind(to_unix_nanoseconds(created)).step();
  });
  try {
    failpoint("image.retain");
    if (!chain.empty()) layers_.retain(chain, owner_of(id));
    failpoint("image.add");
    return database_.transaction([&](Connection& db) {
      {
        auto row = db.prepare("UPDATE images SET state = ? WHERE id = ?");
        row.bind(state_present).bind(id.text()).step();
      }
      for (const Reference& reference : image.references) write_name(db, reference, id);
      if (!image.references.empty()) touch(db, id);
      return load(db, id);
    });
  } catch (const Error&) {
    std::vector<DeletedItem> ignored;
    if (!find_by_id(id)) release(id, ignored);
    throw;
  }
}

Image ImageStore::tag(std::string_view source, const Reference& target) {
  if (!target.digest().empty()) {
    throw Error(ErrorKind::invalid_argument, "refusing to create a tag with a digest reference");
  }
  if (target.familiar_repository() == "sha256") {
    throw Error(ErrorKind::invalid_argument, "refusing to create an ambiguous tag using digest algorithm as name");
  }
  const std::scoped_lock lock(mutex_);
  const Image image = get(source);
  return database_.transaction([&](Connection& db) {
    write_name(db, target.with_default_tag(), image.id);
    touch(db, image.id);
    return load(db, image.id);
  });
}

/// Takes an incomplete row's layers back, then the row.
void ImageStore::release(const Digest& id, std::vector<DeletedItem>& out) {
  failpoint("image.release");
  for (const storage::Layer& layer : layers_.release_owner(owner_of(id))) {
    out.push_back({.untagged = "", .deleted = layer.chain_id.text(), .is_layer = true});
  }
  database_.transaction([&](Connection& db) { db.prepare("DELETE FROM images WHERE id = ?").bind(id.text()).step(); });
}

}  // namespace mydocker::image
