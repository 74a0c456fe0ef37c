#include "engine/base/sys.h"
#include "engine/engine.h"
#include "engine/engine_state.h"
#include "engine/lifecycle.h"
#include "image/image_config.h"
#include "storage/layer_store.h"

#include <thread>

/// ImageCommit: a container's changes become a layer upon its image's (WIRE 16).
namespace mydocker::engine {
namespace {

image::HealthConfig to_image_health(const api::HealthConfig& health) {
  image::HealthConfig out;
  if (!health.test.empty()) out.test = health.test;
  out.interval = health.interval_ns;
  out.timeout = health.timeout_ns;
  out.start_period = health.start_period_ns;
  out.start_interval = health.start_interval_ns;
  out.retries = health.retries;
  return out;
}

image::ImageConfig to_image_config(const api::ContainerConfig& config) {
  image::ImageConfig out;
  out.user = config.user;
  out.exposed_ports = config.exposed_ports;
  out.env = config.env;
  if (config.entrypoint) out.entrypoint = *config.entrypoint;
  if (config.cmd) out.cmd = *config.cmd;
  if (config.volumes) out.volumes = *config.volumes;
  out.working_dir = config.working_dir;
  if (!config.labels.empty()) out.labels = config.labels;
  out.stop_signal = config.stop_signal;
  out.stop_timeout = config.stop_timeout_s;
  if (config.healthcheck) out.healthcheck = to_image_health(*config.healthcheck);
  out.on_build = config.on_build;
  if (!config.shell.empty()) out.shell = config.shell;
  return out;
}

/// The container's changes as a committed layer. Blocks: one thread packs, this one unpacks.
storage::Layer store_changes(EngineState& state, const std::string& id, const Digest& parent,
                             const std::string& owner) {
  Pipe pipe = make_pipe();
  std::exception_ptr failure;
  std::thread packer([&] {
    try {
      state.container_layers->diff_tar(id, pipe.write.get());
    } catch (...) {  // thrown on below, by the thread that waits
      failure = std::current_exception();
    }
    pipe.write.reset();
  });
  std::exception_ptr unpack_failure;
  std::optional<storage::Layer> layer;
  try {
    const std::unique_ptr<storage::LayerWriter> writer = state.layers->begin();
    std::string buffer(std::size_t{256} << 10, '\0');
    for (;;) {
      const ssize_t got = retry_on_eintr([&] { return ::read(pipe.read.get(), buffer.data(), buffer.size()); });
      if (got < 0) throw sys_error("read the container's changes");
      if (got == 0) break;
      writer->write(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
    }
    packer.join();
    if (failure) std::rethrow_exception(failure);
    layer = writer->commit(parent, {}, owner);
  } catch (...) {  // the packer must have ended before the pipe goes
    unpack_failure = std::current_exception();
  }
  pipe.read.reset();
  if (packer.joinable()) packer.join();
  if (unpack_failure) std::rethrow_exception(unpack_failure);
  return *layer;
}

image::ImageDocument make_document(const std::optional<image::Image>& base, const ContainerRecord& record,
                                   const CommitRequest& request, const storage::Layer& layer) {
  image::ImageDocument document = base ? *base->document : image::make_empty_document();
  document.created = to_rfc3339(now());
  document.author = request.author;
  document.comment = request.comment;
  document.docker_version.clear();
  api::ContainerConfig config = request.config.value_or(record.config);
  if (request.config && base) merge_image_config(config, to_image_config(record.config));
  document.config = to_image_config(config);
  image::apply_changes(document.config, request.changes);
  document.rootfs.diff_ids.push_back(layer.diff_id.text());
  image::HistoryEntry step;
  step.created = document.created;
  step.author = request.author;
  step.comment = request.comment;
  step.created_by = record.path;
  for (const std::string& word : record.args) step.created_by += " " + word;
  document.history.push_back(std::move(step));
  return document;
}

/// The image of the layer; its ID. Blocks.
std::string add_image(EngineState& state, const ContainerRecord& record, const CommitRequest& request,
                      const storage::Layer& layer, const std::vector<image::Reference>& references) {
  image::NewImage made;
  std::optional<image::Image> base;
  if (!record.image_id.empty()) base = state.images->find_by_id(Digest::parse(record.image_id));
  made.config_json = image::make_document_json(make_document(base, record, request, layer));
  if (base) made.parent = base->id;
  made.references = references;
  return state.images->add(made).id.text();
}

}  // namespace

awaitable<std::string> Engine::commit(CommitRequest request) {
  EngineState& state = *state_;
  const ContainerPtr container = state.containers.get(request.container);
  std::vector<image::Reference> references;
  if (!request.repository.empty()) {
    references.push_back(image::Reference::parse(request.repository, request.tag).with_default_tag());
  }
  const Turn turn = co_await container->turns.take();
  check_allowed(Verb::files, container->state, container->id(), container->name());
  const std::shared_ptr<runtime::ShimClient> shim = container->shim;
  const bool pauses = request.pause && shim && container->state == ContainerState::running;
  const ContainerRecord record = container->record;
  const std::string image_id = co_await blocking(state.transfer_pool, [&] {
    const std::string owner = "pull:commit-" + random_hex(8);
    const bool paused = pauses && ask_freezer([&] { shim->pause_briefly(); });
    std::exception_ptr failure;
    std::optional<storage::Layer> layer;
    try {
      layer =
          store_changes(state, record.id, record.chain_id.empty() ? Digest() : Digest::parse(record.chain_id), owner);
    } catch (...) {  // thrown on when the container runs again
      failure = std::current_exception();
    }
    if (paused) ask_freezer([&] { shim->unpause(); });
    if (failure) std::rethrow_exception(failure);
    // Whatever happens now: what nobody else owns goes again.
    std::string id;
    try {
      id = add_image(state, record, request, *layer, references);
    } catch (...) {
      state.layers->release_owner(owner);
      throw;
    }
    state.layers->release_owner(owner);
    return id;
  });
  for (const image::Reference& reference : references) {
    state.events.publish("image", "tag", image_id, {{"name", reference.familiar()}});
  }
  const std::string reference = references.empty() ? "" : references.front().familiar();
  publish(state, *container, "commit", {{"comment", request.comment}, {"imageID", image_id}, {"imageRef", reference}});
  co_return image_id;
}

}  // namespace mydocker::engine
