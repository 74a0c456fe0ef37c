#include <algorithm>
#include <set>

#include "engine/base/failpoint.h"
#include "engine/base/sys.h"
#include "image/archive.h"
#include "image/manifest.h"
#include "image/tar_writer.h"
#include "storage/layer_store.h"

namespace mydocker::image {

namespace {

std::string blob_path(const Digest& digest) { return concat("blobs/sha256/", digest.hex()); }

json::object descriptor(std::string_view media_type, const Digest& digest, std::int64_t size) {
  return {{"mediaType", media_type}, {"digest", digest.text()}, {"size", size}};
}

class Saver {
 public:
  Saver(const ImageStore& images, int fd, const std::stop_token& stop)
      : images_(images), fd_(fd), tar_(fd), stop_(stop) {}

  void run(const SavePlan& plan) {
    tar_.add_directory("blobs/");
    tar_.add_directory("blobs/sha256/");
    json::array index;
    json::array saved;
    json::object repositories;
    for (const SavePlan::Entry& entry : plan.entries) {
      const json::object manifest = save_image(entry.image, saved, entry.names);
      add_names(entry, manifest, index, repositories);
    }
    tar_.add_file("index.json",
                  write_json(json::object{
                      {"schemaVersion", 2}, {"mediaType", media_type::oci_index}, {"manifests", std::move(index)}}));
    tar_.add_file("manifest.json", write_json(saved));
    tar_.add_file("oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
    if (!repositories.empty()) tar_.add_file("repositories", write_json(repositories));
    tar_.finish();
  }

 private:
  /// Writes layers, config and manifest; gives the manifest's descriptor.
  json::object save_image(const Image& image, json::array& saved, const std::vector<Reference>& names) {
    const std::string config = images_.config_json(image.id);
    json::array layers;
    json::array layer_files;
    Digest chain;
    for (const Digest& diff_id : image.diff_ids) {
      chain = storage::chain_id(chain, diff_id);
      layers.push_back(descriptor(media_type::oci_layer, diff_id, save_layer(chain, diff_id)));
      layer_files.emplace_back(blob_path(diff_id));
    }
    save_blob(image.id, config);
    json::object manifest{
        {"schemaVersion", 2},
        {"mediaType", media_type::oci_manifest},
        {"config", descriptor(media_type::oci_config, image.id, static_cast<std::int64_t>(config.size()))},
        {"layers", std::move(layers)}};
    const std::string bytes = write_json(manifest);
    const Digest digest = sha256_of(bytes);
    save_blob(digest, bytes);
    json::object line{{"Config", blob_path(image.id)}, {"RepoTags", nullptr}, {"Layers", std::move(layer_files)}};
    if (!names.empty()) {
      json::array tags;
      for (const Reference& name : names) tags.emplace_back(name.familiar());
      line["RepoTags"] = std::move(tags);
    }
    saved.push_back(std::move(line));
    return descriptor(media_type::oci_manifest, digest, static_cast<std::int64_t>(bytes.size()));
  }

  static void add_names(const SavePlan::Entry& entry, const json::object& manifest, json::array& index,
                        json::object& repositories) {
    if (entry.names.empty()) index.push_back(manifest);
    for (const Reference& name : entry.names) {
      json::object named = manifest;
      named["annotations"] = json::object{{"io.containerd.image.name", name.canonical()},
                                          {"org.opencontainers.image.ref.name", name.tag()}};
      index.push_back(std::move(named));
      json::value& tags = repositories[name.familiar_repository()];
      if (!tags.is_object()) tags = json::object();
      tags.get_object()[name.tag()] = entry.image.id.hex();
    }
  }

  void save_blob(const Digest& digest, const std::string& bytes) {
    if (written_.insert(digest).second) tar_.add_file(blob_path(digest), bytes);
  }

  std::int64_t save_layer(const Digest& chain, const Digest& diff_id) {
    if (stop_.stop_requested()) throw Error(ErrorKind::unavailable, "save was cancelled");
    if (const auto known = sizes_.find(diff_id); known != sizes_.end()) return known->second;
    failpoint("save.layer");
    const std::int64_t size = images_.layers().get(chain).tar_bytes;
    tar_.begin_file(blob_path(diff_id), size);
    images_.layers().read_tar(chain, fd_);
    tar_.end_file();
    written_.insert(diff_id);
    sizes_.emplace(diff_id, size);
    return size;
  }

  const ImageStore& images_;
  const int fd_;
  TarWriter tar_;
  const std::stop_token& stop_;
  std::set<Digest> written_;
  std::map<Digest, std::int64_t> sizes_;
};

/// Every tag of the repository that a bare name means.
std::vector<std::pair<Image, Reference>> tags_of(const ImageStore& images, const Reference& repository) {
  std::vector<std::pair<Image, Reference>> out;
  for (const Image& image : images.list()) {
    for (const std::string& tag : image.repo_tags) {
      Reference reference = Reference::parse(tag);
      if (reference.repository() == repository.repository()) out.emplace_back(image, std::move(reference));
    }
  }
  return out;
}

void add_entry(SavePlan& plan, Image image, std::optional<Reference> name) {
  auto found = std::find_if(plan.entries.begin(), plan.entries.end(),
                            [&](const SavePlan::Entry& one) { return one.image.id == image.id; });
  if (found == plan.entries.end()) {
    plan.entries.push_back({std::move(image), {}});
    found = std::prev(plan.entries.end());
  }
  if (!name) return;
  const auto same = std::find(found->names.begin(), found->names.end(), *name);
  if (same == found->names.end()) found->names.push_back(*std::move(name));
}

}  // namespace

SavePlan plan_save(const ImageStore& images, const std::vector<std::string>& names) {
  SavePlan out;
  for (const std::string& name : names) {
    if (!is_image_id(name)) {
      const Reference reference = Reference::parse(name);
      if (reference.tag().empty() && reference.digest().empty()) {
        auto tags = tags_of(images, reference);
        if (!tags.empty()) {
          for (auto& [image, tag] : tags) add_entry(out, std::move(image), std::move(tag));
          continue;
        }
      } else if (std::optional<Image> image = images.find(name)) {
        const bool by_tag = !reference.tag().empty() && reference.digest().empty();
        add_entry(out, *std::move(image), by_tag ? std::optional(reference) : std::nullopt);
        continue;
      }
    }
    std::optional<Image> image = images.find(name);
    if (!image) throw Error(ErrorKind::not_found, concat("No such image: ", name));
    add_entry(out, *std::move(image), std::nullopt);
  }
  return out;
}

void save_archive(const ImageStore& images, const SavePlan& plan, int out_fd, std::stop_token stop) {
  Saver(images, out_fd, stop).run(plan);
}

}  // namespace mydocker::image
