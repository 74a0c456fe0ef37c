#include <fnmatch.h>
#include <unistd.h>
#include <algorithm>

#include "engine/engine.h"
#include "engine/engine_state.h"
#include "engine/list_filters.h"
#include "engine/pipe_download.h"
#include "engine/progress_channel.h"
#include "engine/prune_filter.h"
#include "image/archive.h"
#include "image/pull.h"
#include "image/reference.h"

/// Images (WIRE 19-21). The work is image's; here it meets the API and the events.
namespace mydocker::engine {
namespace {

image::RegistryAuth to_registry_auth(const api::AuthConfig& auth) {
  return image::RegistryAuth{.username = auth.username,
                             .password = auth.password,
                             .identity_token = auth.identity_token,
                             .registry_token = auth.registry_token,
                             .server_address = auth.server_address};
}

/// Image events carry the labels of the image, as those of containers do.
void publish_image(EngineState& state, std::string action, const std::string& id, const std::string& name,
                   api::StringMap labels = {}) {
  labels["name"] = name;
  state.events.publish("image", std::move(action), id, std::move(labels));
}

/// {} where there is no such image (any more). Blocks.
api::StringMap find_labels(const EngineState& state, const std::string& name) {
  const std::optional<image::Image> image = state.images->find(name);
  return image ? image->config().labels.value_or(api::StringMap{}) : api::StringMap{};
}

api::HealthConfig to_api_health(const image::HealthConfig& health) {
  api::HealthConfig out;
  if (health.test) out.test = *health.test;
  out.interval_ns = health.interval;
  out.timeout_ns = health.timeout;
  out.start_period_ns = health.start_period;
  out.start_interval_ns = health.start_interval;
  out.retries = health.retries;
  return out;
}

template <typename Target, typename Source>
std::optional<Target> convert(const std::optional<Source>& source) {
  return source ? std::optional<Target>(Target(*source)) : std::nullopt;
}

api::ImageConfig to_api_config(const image::ImageConfig& config) {
  api::ImageConfig out;
  out.user = config.user;
  out.exposed_ports = config.exposed_ports;
  out.env = config.env;
  out.cmd = convert<api::CommandLine>(config.cmd);
  if (config.healthcheck) out.healthcheck = to_api_health(*config.healthcheck);
  out.args_escaped = config.args_escaped;
  if (!config.volumes.empty()) out.volumes = config.volumes;
  out.working_dir = config.working_dir;
  out.entrypoint = convert<api::CommandLine>(config.entrypoint);
  out.on_build = config.on_build;
  out.labels = config.labels;
  out.stop_signal = config.stop_signal;
  if (config.shell) out.shell = api::CommandLine(*config.shell);
  return out;
}

bool matches_reference(const image::Image& image, const std::vector<std::string>& patterns) {
  return std::any_of(image.repo_tags.begin(), image.repo_tags.end(), [&](const std::string& tag) {
    const std::string repository = tag.substr(0, tag.rfind(':'));
    return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
      return ::fnmatch(pattern.c_str(), tag.c_str(), FNM_PATHNAME) == 0 ||
             ::fnmatch(pattern.c_str(), repository.c_str(), FNM_PATHNAME) == 0;
    });
  });
}

/// The filters of the image list, bound to the images they name. Blocks.
struct ImageFilter {
  ImageFilter(const Filters& filters, const image::ImageStore& images) {
    for (const auto& [key, values] : filters) {
      if (values.empty()) continue;
      if (key == "dangling") {
        dangling = parse_bool_filter(key, values);
      } else if (key == "label") {
        labels = values;
      } else if (key == "reference") {
        references = values;
      } else if (key == "before") {
        before = images.get(values.front()).created;
      } else if (key == "since") {
        since = images.get(values.front()).created;
      } else if (key == "until") {
        until = parse_until_filter(values.front());
      } else {
        throw Error(ErrorKind::invalid_argument, concat("invalid filter '", key, "'"));
      }
    }
  }

  bool accepts(const image::Image& image) const {
    if (dangling && *dangling != image.repo_tags.empty()) return false;
    if (!labels.empty() && !has_labels(image.config().labels.value_or(api::StringMap{}), labels)) return false;
    if (!references.empty() && !matches_reference(image, references)) return false;
    if (before && image.created >= *before) return false;
    if (since && image.created <= *since) return false;
    return !until || image.created <= *until;
  }

  std::optional<bool> dangling;
  std::vector<std::string> labels;
  std::vector<std::string> references;
  std::optional<Timestamp> before;
  std::optional<Timestamp> since;
  std::optional<Timestamp> until;
};

api::ImageSummary to_summary(const image::Image& image, int api_minor) {
  constexpr int dangling_as_none_below = 43;
  constexpr int virtual_size_below = 44;
  api::ImageSummary out;
  out.id = image.id.text();
  out.created_s = to_unix_seconds(image.created);
  out.labels = image.config().labels;
  out.parent_id = image.parent.text();
  out.repo_digests = image.repo_digests;
  out.repo_tags = image.repo_tags;
  out.size_bytes = image.size_bytes;
  if (api_minor < dangling_as_none_below && image.dangling()) {
    out.repo_tags = {"<none>:<none>"};
    out.repo_digests = {"<none>@<none>"};
  }
  if (api_minor < virtual_size_below) out.virtual_size_bytes = image.size_bytes;
  return out;
}

/// How many bytes of each image lie in layers that another image has as well. Blocks.
std::map<std::string, std::int64_t> measure_shared(EngineState& state) {
  std::map<std::string, std::int64_t> layer_bytes;
  for (const storage::Layer& layer : state.layers->list()) layer_bytes[layer.chain_id.text()] = layer.size_bytes;
  std::map<std::string, int> uses;
  std::map<std::string, std::vector<std::string>> chains;
  for (const image::Image& image : state.images->list()) {
    Digest chain;
    for (const Digest& diff_id : image.diff_ids) {
      chain = storage::chain_id(chain, diff_id);
      ++uses[chain.text()];
      chains[image.id.text()].push_back(chain.text());
    }
  }
  std::map<std::string, std::int64_t> shared;
  for (const auto& [id, layers] : chains) {
    for (const std::string& layer : layers) shared[id] += uses[layer] > 1 ? layer_bytes[layer] : 0;
  }
  return shared;
}

}  // namespace

std::unique_ptr<ProgressStream> Engine::pull(PullRequest request) {
  EngineState& state = *state_;
  image::PullRequest wanted;
  wanted.reference = image::Reference::parse(request.from_image, request.tag);
  wanted.all_tags = wanted.reference.tag().empty() && wanted.reference.digest().empty();
  wanted.platform = request.platform;
  wanted.auth = to_registry_auth(request.auth);
  const std::string name = wanted.reference.familiar();
  const std::string repository = wanted.reference.familiar_repository();
  const auto labels = std::make_shared<api::StringMap>();
  return start_progress(
      state,
      [&state, puller = state.puller, wanted, name, labels](const image::ProgressSink& sink, std::stop_token stop) {
        puller->pull(wanted, sink, std::move(stop));
        if (!wanted.all_tags) *labels = find_labels(state, name);
      },
      [&state, name, repository, labels] { publish_image(state, "pull", name, repository, *labels); });
}

std::unique_ptr<ProgressStream> Engine::load(UniqueFd body, bool quiet) {
  EngineState& state = *state_;
  const auto input = std::make_shared<UniqueFd>(std::move(body));
  const auto loaded = std::make_shared<std::vector<image::LoadedImage>>();
  const auto labels = std::make_shared<std::vector<api::StringMap>>();
  const image::LoadOptions options{.tmp_dir = state.paths.tmp(), .platform = "", .quiet = quiet};
  return start_progress(
      state,
      [&state, input, loaded, labels, options](const image::ProgressSink& sink, std::stop_token stop) {
        *loaded = image::load_archive(*state.images, options, input->get(), sink, std::move(stop));
        for (const image::LoadedImage& image : *loaded) labels->push_back(find_labels(state, image.id.text()));
        input->reset();
      },
      [&state, loaded, labels] {
        for (std::size_t i = 0; i < loaded->size(); ++i) {
          const std::string id = loaded->at(i).id.text();
          publish_image(state, "load", id, id, labels->at(i));
        }
      });
}

std::unique_ptr<ProgressStream> Engine::import(UniqueFd body, ImportRequest request) {
  EngineState& state = *state_;
  image::ImportOptions options;
  if (!request.repository.empty()) options.reference = image::Reference::parse(request.repository, request.tag);
  options.changes = std::move(request.changes);
  options.message = std::move(request.message);
  options.platform = std::move(request.platform);
  const auto input = std::make_shared<UniqueFd>(std::move(body));
  const auto made = std::make_shared<std::string>();
  return start_progress(
      state,
      [&state, input, options, made, source = request.source](const image::ProgressSink& sink, std::stop_token stop) {
        const image::Image image =
            source == "-" ? image::import_archive(*state.images, options, input->get(), sink, std::move(stop))
                          : image::import_url(*state.images, options, source, sink, std::move(stop));
        *made = image.id.text();
        input->reset();
      },
      [&state, made, tag = options.reference ? options.reference->familiar() : ""] {
        if (!tag.empty()) publish_image(state, "tag", *made, tag);
        publish_image(state, "import", *made, *made);
      });
}

awaitable<void> Engine::check_login(api::AuthConfig auth) {
  EngineState& state = *state_;
  const image::RegistryAuth credentials = to_registry_auth(auth);
  const std::shared_ptr<image::Puller> puller = state.puller;
  co_await blocking(state.transfer_pool, [&] { puller->check_login(credentials); });
}

awaitable<std::unique_ptr<Download>> Engine::save(std::vector<std::string> names) {
  EngineState& state = *state_;
  auto plan = std::make_shared<image::SavePlan>(
      co_await blocking(state.disk_pool, [&] { return image::plan_save(*state.images, names); }));
  for (const image::SavePlan::Entry& entry : plan->entries) {
    publish_image(state, "save", entry.image.id.text(), entry.image.id.text(),
                  entry.image.config().labels.value_or(api::StringMap{}));
  }
  co_return start_download(state, [&state, plan](int out) { image::save_archive(*state.images, *plan, out); });
}

awaitable<std::vector<api::ImageSummary>> Engine::list_images(ImageListOptions options) {
  EngineState& state = *state_;
  std::map<std::string, std::int64_t> containers;
  for (const ContainerPtr& container : state.containers.list()) ++containers[container->record.image_id];
  constexpr int counts_containers_since = 51;
  co_return co_await blocking(state.disk_pool, [&] {
    const ImageFilter filter(options.filters, *state.images);
    std::map<std::string, std::int64_t> shared;
    if (options.shared_size) shared = measure_shared(state);
    std::vector<api::ImageSummary> out;
    for (const image::Image& image : state.images->list()) {
      if (!filter.accepts(image)) continue;
      if (!options.all && image.repo_tags.empty() && !state.images->children(image.id).empty()) continue;
      api::ImageSummary summary = to_summary(image, options.api_minor);
      if (options.api_minor >= counts_containers_since) summary.containers = containers[summary.id];
      if (options.shared_size) summary.shared_size_bytes = shared[summary.id];
      out.push_back(std::move(summary));
    }
    return out;
  });
}

awaitable<api::ImageInspect> Engine::inspect_image(std::string name, int api_minor) {
  EngineState& state = *state_;
  const image::Image image = co_await blocking(state.disk_pool, [&] { return state.images->get(name); });
  const image::ImageDocument& document = *image.document;
  api::ImageInspect out;
  out.id = image.id.text();
  out.repo_tags = image.repo_tags;
  out.repo_digests = image.repo_digests;
  out.parent = image.parent.text();
  out.comment = document.comment;
  out.created = image.created;
  out.docker_version = document.docker_version;
  out.author = document.author;
  out.config = to_api_config(document.config);
  out.architecture = document.architecture;
  out.variant = document.variant;
  out.os = document.os;
  out.os_version = document.os_version;
  out.size_bytes = image.size_bytes;
  if (constexpr int virtual_size_below = 44; api_minor < virtual_size_below) out.virtual_size_bytes = image.size_bytes;
  out.graph_driver.name = "overlay2";
  out.graph_driver.data = api::StringMap{};
  for (const Digest& diff_id : image.diff_ids) out.root_fs.layers.push_back(diff_id.text());
  out.metadata.last_tag_time = image.last_tagged;
  co_return out;
}

awaitable<std::vector<api::HistoryItem>> Engine::image_history(std::string name) {
  EngineState& state = *state_;
  const std::vector<image::HistoryItem> items =
      co_await blocking(state.disk_pool, [&] { return state.images->history(name); });
  std::vector<api::HistoryItem> out;
  for (const image::HistoryItem& item : items) {
    api::HistoryItem line;
    line.id = item.id;
    line.created_s = to_unix_seconds(item.created);
    line.created_by = item.created_by;
    line.comment = item.comment;
    line.size_bytes = item.size_bytes;
    if (!item.tags.empty()) line.tags = item.tags;
    out.push_back(std::move(line));
  }
  co_return out;
}

awaitable<void> Engine::tag_image(std::string name, std::string repository, std::string tag) {
  EngineState& state = *state_;
  const image::Reference target = image::Reference::parse(repository, tag).with_default_tag();
  const image::Image image = co_await blocking(state.disk_pool, [&] { return state.images->tag(name, target); });
  publish_image(state, "tag", image.id.text(), target.familiar(), image.config().labels.value_or(api::StringMap{}));
}

awaitable<std::vector<api::DeleteItem>> Engine::remove_image(std::string name, bool force, bool no_prune) {
  EngineState& state = *state_;
  const std::vector<image::ImageUse> uses = list_image_uses(state);
  const image::RemoveOptions options{.force = force, .noprune = no_prune};
  std::string id;
  api::StringMap labels;
  const std::vector<image::DeletedItem> items = co_await blocking(state.disk_pool, [&] {
    if (const std::optional<image::Image> image = state.images->find(name)) id = image->id.text();
    labels = find_labels(state, name);
    return state.images->remove(name, options, uses);
  });
  std::vector<api::DeleteItem> out;
  for (const image::DeletedItem& item : items) {
    out.push_back(api::DeleteItem{item.untagged, item.deleted});
    if (!item.untagged.empty()) publish_image(state, "untag", id, id, labels);
  }
  for (const image::DeletedItem& item : items) {
    if (!item.deleted.empty() && !item.is_layer) publish_image(state, "delete", item.deleted, item.deleted);
  }
  co_return out;
}

}  // namespace mydocker::engine
