#include <algorithm>

#include "engine/base/failpoint.h"
#include "image/image_store.h"

/// Removal of images: the rules and texts of WIRE 21.
namespace mydocker::image {

namespace {

struct Name {
  std::string repository;
  std::string tag;
  std::string digest;

  std::string familiar() const {
    const std::string name = Reference::parse(repository).familiar_repository();
    return tag.empty() ? concat(name, "@", digest) : concat(name, ":", tag);
  }
  bool is_digest() const { return tag.empty(); }
};

std::vector<Name> names_of(Connection& db, const Digest& id) {
  std::vector<Name> out;
  auto rows =
      db.prepare("SELECT repository, tag, digest FROM image_names WHERE image_id = ? ORDER BY repository, tag DESC");
  rows.bind(id.text());
  while (rows.step()) out.push_back({rows.text(0), rows.text(1), rows.text(2)});
  return out;
}

/// At most one tag, and all digests in that tag's repository: then the image has only one name to people.
bool is_single_reference(const std::vector<Name>& names) {
  if (names.size() <= 1) return true;
  const auto tags = std::count_if(names.begin(), names.end(), [](const Name& n) { return !n.is_digest(); });
  if (tags > 1) return false;
  return std::all_of(names.begin(), names.end(), [&](const Name& n) { return n.repository == names[0].repository; });
}

void delete_name(Connection& db, const Name& name, std::vector<DeletedItem>& out) {
  auto row = db.prepare("DELETE FROM image_names WHERE repository = ? AND tag = ? AND digest = ?");
  row.bind(name.repository).bind(name.tag).bind(name.digest).step();
  out.push_back({name.familiar(), ""});
}

/// From here on recover() finishes the removal.
void mark_removed(Connection& db, const Digest& id) {
  auto row = db.prepare("UPDATE images SET state = 0 WHERE id = ?");
  row.bind(id.text()).step();
}

std::string_view short_id(std::string_view container_id) noexcept { return container_id.substr(0, 12); }

/// Which conflicts count; a forced removal ignores some.
struct Checks {
  bool references = false;
  bool stopped_containers = false;
};

struct Conflict {
  std::string text;
  bool used = false;  ///< by a container
};

}  // namespace

/// What a removal needs to know all the way up the parents.
struct ImageStore::Removal {
  RemoveOptions options;
  std::span<const ImageUse> uses;

  const ImageUse* find_use(const Digest& id) const {
    const auto found = std::find_if(uses.begin(), uses.end(), [&](const ImageUse& use) { return use.image_id == id; });
    return found == uses.end() ? nullptr : &*found;
  }
  const ImageUse* find_running_use(const Digest& id) const {
    const auto found =
        std::find_if(uses.begin(), uses.end(), [&](const ImageUse& use) { return use.image_id == id && use.running; });
    return found == uses.end() ? nullptr : &*found;
  }

  std::optional<Conflict> find_conflict(const ImageStore& store, const Image& image, Checks checks) const {
    const auto conflict = [&](std::string_view force, const auto&... why) {
      return concat("conflict: unable to delete ", image.id.short_hex(), " (", force, ") - ", why...);
    };
    if (!store.children(image.id).empty()) {
      return Conflict{conflict("cannot be forced", "image has dependent child images"), false};
    }
    if (const ImageUse* use = find_running_use(image.id)) {
      return Conflict{
          conflict("cannot be forced", "image is being used by running container ", short_id(use->container_id)), true};
    }
    if (checks.references && !image.dangling()) {
      return Conflict{conflict("must be forced", "image is referenced in multiple repositories"), false};
    }
    const ImageUse* use = find_use(image.id);
    if (checks.stopped_containers && use != nullptr) {
      return Conflict{
          conflict("must be forced", "image is being used by stopped container ", short_id(use->container_id)), true};
    }
    return std::nullopt;
  }
};

std::vector<DeletedItem> ImageStore::remove(std::string_view name, RemoveOptions options,
                                            std::span<const ImageUse> uses) {
  const std::scoped_lock lock(mutex_);
  const Image image = get(name);  // throws for an unknown one
  const std::optional<Found> found = resolve(name);
  if (!found) throw Error(ErrorKind::not_found, concat("No such image: ", name));
  const Removal removal{options, uses};
  const auto names = database_.transaction([&](Connection& db) { return names_of(db, image.id); });
  std::vector<DeletedItem> out;
  if (!found->by_name) {
    // With a single name the ID means that name, too; otherwise names are a conflict of their own.
    const bool single = is_single_reference(names);
    const Checks checks{.references = !options.force && !single, .stopped_containers = !options.force};
    if (const auto conflict = removal.find_conflict(*this, image, checks)) {
      throw Error(ErrorKind::conflict, conflict->text);
    }
    remove_image(image.id, removal, options.force || single, false, out);
    return out;
  }
  const ImageUse* use = removal.find_use(image.id);
  if (!options.force && is_single_reference(names) && use != nullptr) {
    throw Error(ErrorKind::conflict,
                concat("conflict: unable to remove repository reference \"", name, "\" (must force) - container ",
                       short_id(use->container_id), " is using its referenced image ", image.id.short_hex()));
  }
  // The image goes with its last name or not at all: one commit.
  const bool goes = database_.transaction([&](Connection& db) {
    const Reference& reference = found->reference;
    const bool by_digest = !reference.digest().empty();
    delete_name(db, {reference.repository(), by_digest ? "" : reference.tag(), reference.digest().text()}, out);
    std::vector<Name> left = names_of(db, image.id);
    const bool repository_has_tag = std::any_of(left.begin(), left.end(), [&](const Name& n) {
      return !n.is_digest() && n.repository == reference.repository();
    });
    // The last tag of a repository takes that repository's digests along.
    for (const Name& one : left) {
      if (!by_digest && !repository_has_tag && one.repository == reference.repository()) delete_name(db, one, out);
    }
    const Checks checks{.references = false, .stopped_containers = !options.force};
    if (!names_of(db, image.id).empty() || removal.find_conflict(*this, image, checks)) return false;
    failpoint("image.remove");
    mark_removed(db, image.id);
    return true;
  });
  if (!goes) return out;
  out.push_back({"", image.id.text()});
  release(image.id, out);
  if (!options.noprune && !image.parent.empty()) {
    const Removal of_parents{{.force = false, .noprune = false}, uses};
    remove_image(image.parent, of_parents, false, true, out);
  }
  return out;
}

std::vector<DeletedItem> ImageStore::remove_if_unused(const Digest& id, std::span<const ImageUse> uses) {
  const std::scoped_lock lock(mutex_);
  std::vector<DeletedItem> out;
  const std::optional<Image> image = find_by_id(id);
  const Removal removal{{}, uses};
  if (!image || !image->dangling() || removal.find_use(id) != nullptr || !children(id).empty()) return out;
  remove_image(id, removal, false, true, out);
  return out;
}

/// Removes the image with all its names, then its untagged parents. `quiet`: the caller has done something useful
/// already (a name is gone), so that an image which must stay is no error.
void ImageStore::remove_image(const Digest& id, const Removal& removal, bool force, bool quiet,
                              std::vector<DeletedItem>& out) {
  Digest next = id;
  for (bool first = true; !next.empty(); first = false) {
    const std::optional<Image> image = find_by_id(next);
    if (!image) return;
    const bool forced = first && force;
    const Checks checks{.references = !forced, .stopped_containers = !(first && removal.options.force)};
    if (const auto conflict = removal.find_conflict(*this, *image, checks)) {
      if (quiet || !first) return;
      throw Error(ErrorKind::conflict, conflict->text);
    }
    failpoint("image.remove");
    database_.transaction([&](Connection& db) {
      for (const Name& name : names_of(db, image->id)) delete_name(db, name, out);
      mark_removed(db, image->id);
    });
    out.push_back({"", image->id.text()});
    release(image->id, out);
    if (removal.options.noprune) return;
    next = image->parent;
  }
}

}  // namespace mydocker::image
