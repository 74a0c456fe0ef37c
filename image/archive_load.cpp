#include <algorithm>
#include <memory>
#include <utility>

#include "engine/base/failpoint.h"
#include "engine/base/sys.h"
#include "image/archive.h"
#include "image/archive_spool.h"
#include "image/decompress.h"
#include "image/layer_hold.h"
#include "image/limits.h"
#include "image/manifest.h"

namespace mydocker::image {

namespace {

constexpr std::string_view name_annotation = "io.containerd.image.name";
constexpr std::string_view ref_annotation = "org.opencontainers.image.ref.name";

Error bad(std::string message) { return Error(ErrorKind::invalid_argument, std::move(message)); }

/// One element of docker-save's manifest.json.
struct SavedImage {
  std::string config;
  std::optional<std::vector<std::string>> repo_tags;
  std::optional<std::vector<std::string>> layers;

  static constexpr auto json_fields() {
    return std::tuple(field("Config", &SavedImage::config), field("RepoTags", &SavedImage::repo_tags),
                      field("Layers", &SavedImage::layers));
  }
};

/// One layer of an archive.
struct ArchivedLayer {
  std::string file;  ///< name in the archive
  Digest blob;       ///< of the file as it lies there; empty: only the diff ID is known
  Digest diff_id;
  Digest chain_id;
};

std::string blob_name(const Digest& digest) { return concat("blobs/sha256/", digest.hex()); }

class Loader {
 public:
  Loader(ImageStore& images, const LoadOptions& options, const ArchiveSpool& spool, const ProgressSink& sink,
         const std::stop_token& stop)
      : images_(images),
        spool_(spool),
        sink_(sink),
        stop_(stop),
        quiet_(options.quiet),
        platform_given_(!options.platform.empty()),
        platform_(parse_platform(options.platform)) {}

  std::vector<LoadedImage> run() {
    if (spool_.contains("manifest.json")) {
      load_docker_layout();
    } else if (spool_.contains("index.json")) {
      load_oci_layout();
    } else {
      throw bad("invalid image archive: neither manifest.json nor index.json");
    }
    if (loaded_.empty()) throw bad(concat("the archive has no image for ", to_string(platform_)));
    for (const LoadedImage& image : loaded_) announce(image);
    return std::move(loaded_);
  }

 private:
  void load_docker_layout() {
    const auto saved = from_json<std::vector<SavedImage>>(
        parse_json(spool_.read("manifest.json", max_archive_json_bytes)), "manifest.json");
    if (saved.size() > max_index_descriptors) throw bad("manifest.json: too many images");
    for (const SavedImage& one : saved) {
      const std::string config = spool_.read(one.config, max_config_bytes);
      const ImageDocument document = parse_image_document(config);
      if (!is_wanted(document)) continue;
      const std::vector<Digest> diff_ids = diff_ids_of(document);
      const std::vector<std::string> files = one.layers.value_or(std::vector<std::string>());
      if (files.size() != diff_ids.size()) throw bad("invalid manifest, layers length mismatch");
      std::vector<ArchivedLayer> layers;
      for (std::size_t i = 0; i < files.size(); ++i) layers.push_back({files[i], {}, diff_ids[i], {}});
      std::vector<Reference> names;
      for (const std::string& tag : one.repo_tags.value_or(std::vector<std::string>())) {
        names.push_back(Reference::parse(tag).with_default_tag());
      }
      add(config, std::move(layers), std::move(names), {});
    }
  }

  bool is_wanted(const ImageDocument& document) const {
    if (!platform_given_) return true;
    return matches(platform_, {document.architecture, document.os, document.os_version, document.variant});
  }

  void load_oci_layout() {
    const ManifestDocument top = parse_manifest(spool_.read("index.json", max_manifest_bytes), "");
    if (!top.index) throw bad("index.json is no index");
    std::vector<std::pair<Digest, std::vector<Reference>>> images;  // names by manifest, in order
    std::map<Digest, Descriptor> descriptors;
    for (const Descriptor& one : top.index->manifests) {
      if (one.platform && !one.platform->architecture.empty() && !matches(platform_, *one.platform)) continue;
      auto found = std::find_if(images.begin(), images.end(), [&](const auto& i) { return i.first == one.digest; });
      if (found == images.end()) found = images.insert(images.end(), {one.digest, {}});
      if (std::optional<Reference> name = name_of(one)) found->second.push_back(*std::move(name));
      descriptors.emplace(one.digest, one);
    }
    for (auto& [digest, names] : images) load_descriptor(descriptors.at(digest), std::move(names));
  }

  /// A full image name; a bare word ("latest", as umoci and skopeo write) names nothing outside of its archive.
  static std::optional<Reference> name_of(const Descriptor& descriptor) {
    if (const auto full = descriptor.annotations.find(std::string(name_annotation));
        full != descriptor.annotations.end()) {
      return Reference::parse(full->second).with_default_tag();
    }
    const auto ref = descriptor.annotations.find(std::string(ref_annotation));
    if (ref == descriptor.annotations.end() || ref->second.find_first_of(":/") == std::string::npos) {
      return std::nullopt;
    }
    try {
      return Reference::parse(ref->second).with_default_tag();
    } catch (const Error&) {  // the annotation may be anything
      return std::nullopt;
    }
  }

  /// The verified bytes of a blob.
  std::string read_blob(const Descriptor& descriptor, std::size_t limit) const {
    std::string bytes = spool_.read(blob_name(descriptor.digest), limit);
    if (static_cast<std::int64_t>(bytes.size()) != descriptor.size || sha256_of(bytes) != descriptor.digest) {
      throw bad(concat("blob ", descriptor.digest.text(), " does not match its digest"));
    }
    return bytes;
  }

  void load_descriptor(const Descriptor& descriptor, std::vector<Reference> names) {
    ManifestDocument document = parse_manifest(read_blob(descriptor, max_manifest_bytes), descriptor.media_type);
    Digest digest = descriptor.digest;
    for (int depth = 0; document.index; ++depth) {
      if (depth >= max_index_depth) throw bad("index of indexes of indexes refused");
      const Descriptor chosen = select_platform(*document.index, platform_);
      document = parse_manifest(read_blob(chosen, max_manifest_bytes), chosen.media_type);
    }
    const Manifest& manifest = *document.manifest;
    const std::string config = read_blob(manifest.config, max_config_bytes);
    const ImageDocument parsed = parse_image_document(config);
    if (!is_wanted(parsed)) return;
    const std::vector<Digest> diff_ids = diff_ids_of(parsed);
    if (diff_ids.size() != manifest.layers.size()) throw bad("layers from manifest don't match image configuration");
    std::vector<ArchivedLayer> layers;
    for (std::size_t i = 0; i < diff_ids.size(); ++i) {
      const Digest& blob = manifest.layers[i].digest;
      layers.push_back({blob_name(blob), blob, diff_ids[i], {}});
    }
    add(config, std::move(layers), std::move(names), digest);
  }

  void add(const std::string& config, std::vector<ArchivedLayer> layers, std::vector<Reference> names,
           const Digest& manifest_digest) {
    const LayerHold hold(images_.layers());
    Digest chain;
    for (ArchivedLayer& layer : layers) chain = layer.chain_id = storage::chain_id(chain, layer.diff_id);
    std::size_t present = layers.size();
    while (present > 0 && !try_hold(layers[present - 1].chain_id, hold)) --present;
    std::vector<std::unique_ptr<storage::LayerWriter>> writers;
    std::vector<storage::LayerWriter*> raw;
    for (std::size_t i = present; i < layers.size(); ++i) {
      writers.push_back(unpack(layers[i]));
      raw.push_back(writers.back().get());
    }
    failpoint("load.commit");
    const Digest base = present > 0 ? layers[present - 1].chain_id : Digest();
    if (!raw.empty()) images_.layers().commit_all(raw, base, hold.owner());
    const Image image = images_.add({config, {}, names});
    LoadedImage out{image.id, {}, manifest_digest};
    for (const Reference& name : names) out.names.push_back(name.familiar());
    loaded_.push_back(std::move(out));
  }

  bool try_hold(const Digest& chain_id, const LayerHold& hold) const {
    if (!images_.layers().find(chain_id)) return false;
    try {
      images_.layers().retain(chain_id, hold.owner());
      return true;
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::not_found) return false;  // removed this moment
      throw;
    }
  }

  std::unique_ptr<storage::LayerWriter> unpack(const ArchivedLayer& layer) const {
    const UniqueFd file = spool_.open(layer.file);
    const std::int64_t total = spool_.size_bytes(layer.file);
    if (!layer.blob.empty()) check_blob(layer, file.get());
    auto writer = images_.layers().begin();
    std::uint64_t shown = 0;
    decompress_fd(
        file.get(), [&](std::string_view plain) { writer->write(plain); },
        [&](std::uint64_t bytes_read) {
          if (stop_.stop_requested()) throw Error(ErrorKind::unavailable, "load was cancelled");
          constexpr std::uint64_t step = std::uint64_t{512} << 10;
          if (bytes_read - shown < step && static_cast<std::int64_t>(bytes_read) != total) return;
          shown = bytes_read;
          show(layer, {static_cast<std::int64_t>(bytes_read), total});
        });
    writer->finish(layer.diff_id);
    return writer;
  }

  /// A layer's blob is verified before it is unpacked: it is a file here, so nothing is gained by doing both at once.
  void check_blob(const ArchivedLayer& layer, int fd) const {
    Sha256 hash;
    std::string buffer(std::size_t{256} << 10, '\0');
    for (;;) {
      const ssize_t got = retry_on_eintr([&] { return ::read(fd, buffer.data(), buffer.size()); });
      if (got < 0) throw sys_error("read ", layer.file);
      if (got == 0) break;
      hash.update({buffer.data(), static_cast<std::size_t>(got)});
    }
    if (hash.finish() != layer.blob) throw bad(concat("blob ", layer.blob.text(), " does not match its digest"));
    if (::lseek(fd, 0, SEEK_SET) != 0) throw sys_error("lseek ", layer.file);
  }

  void show(const ArchivedLayer& layer, const ProgressDetail& detail) const {
    if (quiet_) return;
    ProgressMessage message;
    message.id = layer.diff_id.short_hex();
    message.status = "Loading layer";
    message.detail = detail;
    sink_(message);
  }

  void announce(const LoadedImage& image) const {
    ProgressMessage message;
    for (const std::string& name : image.names) {
      message.stream = concat("Loaded image: ", name, "\n");
      sink_(message);
    }
    if (!image.names.empty()) return;
    message.stream = concat("Loaded image ID: ", image.id.text(), "\n");
    sink_(message);
  }

  ImageStore& images_;
  const ArchiveSpool& spool_;
  const ProgressSink& sink_;
  const std::stop_token& stop_;
  const bool quiet_;
  const bool platform_given_;
  const Platform platform_;
  std::vector<LoadedImage> loaded_;
};

}  // namespace

std::vector<LoadedImage> load_archive(ImageStore& images, const LoadOptions& options, int fd, const ProgressSink& sink,
                                      std::stop_token stop) {
  const ArchiveSpool spool(fd, options.tmp_dir, stop);
  return Loader(images, options, spool, sink, stop).run();
}

}  // namespace mydocker::image
