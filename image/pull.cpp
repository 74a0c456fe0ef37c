#include "image/pull.h"

#include <fcntl.h>

#include <exception>
#include <utility>

#include "engine/base/failpoint.h"
#include "engine/base/sys.h"
#include "image/archive.h"
#include "image/layer_fetch.h"
#include "image/layer_hold.h"
#include "image/limits.h"
#include "image/registry_client.h"
#include "storage/layer_store.h"

namespace mydocker::image {

namespace {

constexpr std::string_view hub_name = "docker.io";
constexpr std::string_view hub_endpoint = "registry-1.docker.io";

ProgressMessage status_line(std::string text, std::string id = "") {
  ProgressMessage out;
  out.status = std::move(text);
  out.id = std::move(id);
  return out;
}

std::vector<WantedLayer> wanted_layers(const Manifest& manifest, const ImageDocument& document) {
  const std::vector<Digest> diff_ids = diff_ids_of(document);
  if (diff_ids.size() != manifest.layers.size()) {
    throw Error(ErrorKind::internal, "layers from manifest don't match image configuration");
  }
  std::vector<WantedLayer> out;
  Digest chain;
  for (std::size_t i = 0; i < diff_ids.size(); ++i) {
    chain = storage::chain_id(chain, diff_ids[i]);
    out.push_back({manifest.layers[i], diff_ids[i], chain});
  }
  return out;
}

/// What a reference leads to at the registry.
struct Resolved {
  RegistryClient::Document top;  ///< an index or the manifest itself: its digest is what people see
  Manifest manifest;
  bool from_index = false;
};

Resolved resolve_manifest(RegistryClient& client, const Reference& reference, const Platform& platform) {
  Resolved out;
  out.top = reference.digest().empty() ? client.get_manifest(reference.tag()) : client.get_manifest(reference.digest());
  ManifestDocument document = parse_manifest(out.top.bytes, out.top.media_type);
  for (int depth = 0; document.index; ++depth) {
    if (depth >= max_index_depth) throw Error(ErrorKind::internal, "index of indexes of indexes refused");
    out.from_index = true;
    const Descriptor chosen = select_platform(*document.index, platform);
    if (chosen.size > static_cast<std::int64_t>(max_manifest_bytes)) {
      throw Error(ErrorKind::internal, concat("manifest ", chosen.digest.text(), " is too large"));
    }
    const RegistryClient::Document inner = client.get_manifest(chosen.digest);
    if (static_cast<std::int64_t>(inner.bytes.size()) != chosen.size) {
      throw Error(ErrorKind::internal, concat("manifest ", chosen.digest.text(), ": size differs from its descriptor"));
    }
    parse_manifest(inner.bytes, inner.media_type);  // what the Content-Type says must fit as well
    document = parse_manifest(inner.bytes, chosen.media_type);
  }
  out.manifest = *std::move(document.manifest);
  return out;
}

void check_platform(const ImageDocument& document, const PullRequest& request, const Reference& reference,
                    bool from_index) {
  if (!document.os.empty() && document.os != "linux") {
    throw Error(ErrorKind::invalid_argument,
                concat("image operating system \"", to_valid_utf8(document.os), "\" cannot be used on this platform"));
  }
  if (request.platform.empty() || from_index) return;
  const Platform wanted = parse_platform(request.platform);
  const Platform offered{document.architecture, document.os, document.os_version, document.variant};
  if (matches(wanted, offered)) return;
  throw Error(ErrorKind::not_found,
              concat("image with reference ", reference.familiar(), " was found but its platform (", to_string(offered),
                     ") does not match the specified platform (", to_string(wanted), ")"));
}

}  // namespace

class Puller::Impl {
 public:
  Impl(ImageStore& images, PullerOptions options)
      : images_(images), options_(std::move(options)), slots_(options_.max_concurrent_downloads) {}

  PullResult pull(PullRequest request, const ProgressSink& sink, const std::stop_token& stop) {
    if (!request.all_tags) request.reference = request.reference.with_default_tag();
    if (request.reference.familiar() == bundled_reference) return load_bundled(request.reference, sink, stop);
    std::optional<RegistryClient> client;
    for (const std::string& mirror : options_.mirrors) {
      if (request.reference.host() != hub_name) break;
      try {
        // Credentials are the hub's, not the mirror's.
        client.emplace(options_, request.reference, mirror, RegistryAuth{}, stop);
        client->connect();
        return pull_all(*client, request, sink, stop);
      } catch (const Error&) {  // a mirror is only a shortcut: what the registry itself says counts
        if (stop.stop_requested()) throw;
      }
    }
    const bool hub = request.reference.host() == hub_name;
    client.emplace(options_, request.reference, hub ? std::string(hub_endpoint) : request.reference.host(),
                   request.auth, stop);
    client->connect();
    return pull_all(*client, request, sink, stop);
  }

  void check_login(const RegistryAuth& auth, std::string_view endpoint, const std::stop_token& stop) {
    RegistryClient client(options_, Reference(), std::string(endpoint), auth, stop);
    client.check_login();
  }

 private:
  PullResult pull_all(RegistryClient& client, const PullRequest& request, const ProgressSink& sink,
                      const std::stop_token& stop) {
    if (!request.all_tags) {
      const PullResult result = pull_one(client, request, request.reference, sink, stop);
      say_status(result.up_to_date, request.reference, sink);
      return result;
    }
    PullResult result;
    bool all_up_to_date = true;
    for (const std::string& tag : client.list_tags()) {
      result = pull_one(client, request, request.reference.with_tag(tag), sink, stop);
      all_up_to_date = all_up_to_date && result.up_to_date;
    }
    if (result.image_id.empty()) {
      throw Error(ErrorKind::not_found, concat("repository ", request.reference.familiar_repository(), " has no tags"));
    }
    result.up_to_date = all_up_to_date;
    say_status(all_up_to_date, request.reference, sink);
    return result;
  }

  static void say_status(bool up_to_date, const Reference& reference, const ProgressSink& sink) {
    sink(status_line(concat(up_to_date ? "Status: Image is up to date for " : "Status: Downloaded newer image for ",
                            reference.familiar())));
  }

  PullResult pull_one(RegistryClient& client, const PullRequest& request, const Reference& reference,
                      const ProgressSink& sink, const std::stop_token& stop) {
    const Resolved found = resolve_manifest(client, reference, parse_platform(request.platform));
    sink(status_line(concat("Pulling from ", reference.path()),
                     reference.digest().empty() ? reference.tag() : reference.digest().text()));
    PullResult result{found.manifest.config.digest, found.top.digest, false};
    const std::optional<Image> before = images_.find(reference.familiar());
    result.up_to_date = before && before->id == result.image_id;
    const LayerHold hold(images_.layers());
    NewImage image;
    image.references.push_back(reference.without_tag_and_digest().with_digest(found.top.digest));
    if (reference.digest().empty()) image.references.push_back(reference);
    if (const auto existing = images_.find_by_id(result.image_id); existing && hold_existing(*existing, hold)) {
      check_platform(*existing->document, request, reference, found.from_index);
      image.config_json = images_.config_json(result.image_id);
    } else {
      image.config_json = client.get_blob(found.manifest.config, max_config_bytes);
      const ImageDocument document = parse_image_document(image.config_json);
      check_platform(document, request, reference, found.from_index);
      const PullContext context{options_, images_.layers(), slots_, transfers_};
      fetch_layers(context, client, wanted_layers(found.manifest, document), hold.owner(), sink, stop);
    }
    failpoint("pull.add");
    images_.add(image);
    sink(status_line(concat("Digest: ", found.top.digest.text())));
    return result;
  }

  /// false: it is being removed right now.
  bool hold_existing(const Image& image, const LayerHold& hold) {
    if (image.chain_id.empty()) return true;
    try {
      images_.layers().retain(image.chain_id, hold.owner());
      return true;
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::not_found) return false;
      throw;
    }
  }

  PullResult load_bundled(const Reference& reference, const ProgressSink& sink, const std::stop_token& stop) {
    if (options_.bundled_image.empty() || !path_exists(options_.bundled_image)) {
      throw Error(ErrorKind::not_found, concat("the bundled image ", bundled_reference, " is not installed"));
    }
    const UniqueFd file = open_file(options_.bundled_image, O_RDONLY);
    sink(status_line(concat("Pulling from ", reference.path()), reference.tag()));
    const std::optional<Image> before = images_.find(reference.familiar());
    const LoadOptions load{.tmp_dir = options_.tmp_dir, .platform = "", .quiet = true};
    const ProgressSink only_layers = [&](const ProgressMessage& message) {
      if (!message.id.empty()) sink(message);
    };
    const std::vector<LoadedImage> loaded = load_archive(images_, load, file.get(), only_layers, stop);
    const std::optional<Image> image = images_.find(reference.familiar());
    if (!image) throw Error(ErrorKind::internal, concat(options_.bundled_image, " holds no ", bundled_reference));
    PullResult result{image->id, loaded.front().manifest_digest, before && before->id == image->id};
    if (!result.up_to_date) {
      for (const Digest& diff_id : image->diff_ids) {
        ProgressMessage done = status_line("Pull complete", diff_id.short_hex());
        done.detail.emplace();
        sink(done);
      }
    }
    if (!result.manifest_digest.empty()) sink(status_line(concat("Digest: ", result.manifest_digest.text())));
    say_status(result.up_to_date, reference, sink);
    return result;
  }

  ImageStore& images_;
  const PullerOptions options_;
  DownloadSlots slots_;
  LayerTransfers transfers_;
};

Puller::Puller(ImageStore& images, PullerOptions options) : impl_(std::make_unique<Impl>(images, std::move(options))) {}

Puller::~Puller() = default;

PullResult Puller::pull(const PullRequest& request, const ProgressSink& sink, std::stop_token stop) {
  return impl_->pull(request, sink, stop);
}

void Puller::check_login(const RegistryAuth& auth, std::stop_token stop) {
  std::string_view endpoint = auth.server_address;
  if (const std::size_t scheme = endpoint.find("://"); scheme != std::string_view::npos) {
    endpoint.remove_prefix(scheme + 3);
  }
  endpoint = endpoint.substr(0, endpoint.find('/'));
  if (endpoint.empty() || endpoint == hub_name || endpoint == "index.docker.io") endpoint = hub_endpoint;
  impl_->check_login(auth, endpoint, stop);
}

}  // namespace mydocker::image
