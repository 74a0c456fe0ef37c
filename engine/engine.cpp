#include "engine/engine.h"

#include <fcntl.h>
#include <stdlib.h>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "engine/base/atomic_file.h"
#include "engine/base/json.h"
#include "engine/base/sys.h"
#include "engine/engine_state.h"
#include "engine/log_plan.h"

namespace mydocker::engine {
namespace {

constexpr std::size_t disk_threads = 8;
constexpr std::size_t transfer_threads = 8;

std::unique_ptr<Database> open_database(const storage::Paths& paths) {
  paths.prepare();
  return std::make_unique<Database>(paths.state_db());
}

/// Made once for a data-root.
std::string load_engine_id(const std::string& data_root) {
  const std::string path = data_root + "/engine-id";
  if (const std::optional<std::string> known = find_file_at(AT_FDCWD, path)) return known->substr(0, known->find('\n'));
  std::string id = random_hex(16);
  for (const std::size_t dash : {20U, 16U, 12U, 8U}) id.insert(dash, "-");
  write_file_atomically(path, id + "\n");
  return id;
}

storage::WorkerOptions worker_options(const Options& options) {
  storage::WorkerOptions worker;
  worker.program = options.programs_dir + "/mydocker-worker";
  if (const char* failpoints = ::secure_getenv("MYDOCKER_FAILPOINTS")) {
    worker.environment.push_back(concat("MYDOCKER_FAILPOINTS=", failpoints));
  }
  return worker;
}

image::PullerOptions puller_options(const Options& options, const storage::Paths& paths) {
  image::PullerOptions puller;
  puller.insecure_registries = options.insecure_registries;
  puller.mirrors = options.registry_mirrors;
  puller.max_concurrent_downloads = static_cast<unsigned>(options.max_concurrent_downloads);
  puller.max_download_attempts = static_cast<unsigned>(options.max_download_attempts);
  puller.bundled_image = options.bundled_image;
  puller.tmp_dir = paths.tmp();
  puller.http_proxy = options.http_proxy;
  puller.https_proxy = options.https_proxy;
  puller.no_proxy = options.no_proxy;
  return puller;
}

network::Options network_options(const Options& options) {
  network::Options network;
  network.bridge_name = options.bridge;
  network.bip = options.bridge_ip;
  network.mtu = static_cast<std::uint32_t>(options.mtu);
  network.icc = options.icc;
  network.ip_masq = options.ip_masquerade;
  network.default_host_ip = options.default_host_ip;
  return network;
}

std::string list_text(const std::vector<std::string>& values) {
  json::array list;
  for (const std::string& value : values) list.emplace_back(value);
  return write_json(list);
}

/// What holds after a reload, as Docker's event tells it: text and JSON in text.
api::StringMap reload_attributes(const Options& options, const std::string& host_name) {
  json::object runtimes;
  for (const auto& [name, runtime] : options.runtimes) runtimes[name] = json::object{{"path", runtime.path}};
  json::object features;
  for (const auto& [name, on] : options.features) features[name] = on;
  return {{"name", host_name},
          {"debug", options.debug ? "true" : "false"},
          {"default-runtime", options.default_runtime},
          {"default-shm-size", std::to_string(options.default_shm_size_bytes)},
          {"features", write_json(features)},
          {"insecure-registries", list_text(options.insecure_registries)},
          {"labels", list_text(options.labels)},
          {"live-restore", "true"},
          {"max-concurrent-downloads", std::to_string(options.max_concurrent_downloads)},
          {"max-concurrent-uploads", std::to_string(options.max_concurrent_uploads)},
          {"max-download-attempts", std::to_string(options.max_download_attempts)},
          {"registry-mirrors", list_text(options.registry_mirrors)},
          {"runtimes", write_json(runtimes)},
          {"shutdown-timeout", std::to_string(options.shutdown_timeout_seconds)}};
}

awaitable<void> watch_logs(EngineState& state) {
  asio::posix::stream_descriptor descriptor(state.io, duplicate_fd(state.log_watcher.fd()).release());
  for (;;) {
    co_await descriptor.async_wait(asio::posix::stream_descriptor::wait_read, asio::use_awaitable);
    state.log_watcher.dispatch();
  }
}

}  // namespace

EngineState::EngineState(asio::any_io_executor executor, Options given)
    : io(std::move(executor)),
      options(std::move(given)),
      facts(read_host_facts()),
      paths(options.data_root),
      database(open_database(paths)),
      events(io),
      disk_pool(disk_threads),
      transfer_pool(transfer_threads),
      database_pool(1) {
  api::LogConfig log_defaults;
  check_log_config(log_defaults, options);
  engine_id = load_engine_id(options.data_root);
  events.keep_in(EventJournal(options.data_root + "/events.log"));
  ContainerStore::prepare_tables(*database);
  layers = std::make_unique<storage::LayerStore>(*database, paths, worker_options(options));
  container_layers = std::make_unique<storage::ContainerLayers>(*layers, paths, worker_options(options));
  container_files = std::make_unique<storage::ContainerFiles>(worker_options(options));
  volumes = std::make_unique<storage::VolumeStore>(*database, paths, worker_options(options));
  size_ledger = std::make_unique<storage::SizeLedger>(*database);
  tree_sizes = std::make_unique<TreeSizes>(io, disk_pool, *size_ledger);
  images = std::make_unique<image::ImageStore>(*database, *layers);
  puller = std::make_shared<image::Puller>(*images, puller_options(options, paths));
  networks = std::make_unique<network::Networks>(*database, network_options(options));
  shim_program = std::make_unique<runtime::SealedProgram>(options.programs_dir + "/mydocker-shim");
}

Engine::Engine(asio::any_io_executor io, Options options)
    : state_(std::make_unique<EngineState>(std::move(io), std::move(options))) {
  spawn(state_->io, "watch logs", watch_logs(*state_));
}

Engine::~Engine() {
  state_->disk_pool.join();
  state_->transfer_pool.join();
  state_->database_pool.join();
}

awaitable<void> Engine::shutdown() {
  EngineState& state = *state_;
  state.stopping = true;
  state.events.close();
  // Whoever changes a container holds its turn: when every turn was ours once, no verb is under way.
  for (const ContainerPtr& container : state.containers.list()) {
    container->changed.notify_all();
    const Turn turn = co_await container->turns.take();
  }
}

void Engine::reload(const Options& fresh) {
  EngineState& state = *state_;
  Options& options = state.options;
  options.registry_mirrors = fresh.registry_mirrors;
  options.insecure_registries = fresh.insecure_registries;
  options.max_concurrent_downloads = fresh.max_concurrent_downloads;
  options.max_concurrent_uploads = fresh.max_concurrent_uploads;
  options.max_download_attempts = fresh.max_download_attempts;
  options.runtimes = fresh.runtimes;
  options.default_runtime = fresh.default_runtime;
  options.default_shm_size_bytes = fresh.default_shm_size_bytes;
  options.shutdown_timeout_seconds = fresh.shutdown_timeout_seconds;
  options.labels = fresh.labels;
  options.features = fresh.features;
  options.debug = fresh.debug;
  state.puller = std::make_shared<image::Puller>(*state.images, puller_options(options, state.paths));
  state.events.publish("daemon", "reload", state.engine_id, reload_attributes(options, state.facts.host_name));
}

std::string shim_dir(const EngineState& state, const std::string& id) {
  return state.options.exec_root + "/shims/" + id;
}

std::string sandbox_key(const EngineState& state, const std::string& id) {
  return state.options.exec_root + "/netns/" + id.substr(0, 12);
}

std::vector<image::ImageUse> list_image_uses(const EngineState& state) {
  std::vector<image::ImageUse> uses;
  for (const ContainerPtr& container : state.containers.list()) {
    if (container->record.image_id.empty()) continue;
    uses.push_back({container->id(), Digest::parse(container->record.image_id), is_alive(container->state)});
  }
  return uses;
}

void publish(EngineState& state, const Container& container, std::string action, api::StringMap extra) {
  api::StringMap attributes = container.record.config.labels;
  attributes["image"] = container.record.config.image;
  attributes["name"] = container.name();
  extra.merge(attributes);
  state.events.publish("container", std::move(action), container.id(), std::move(extra), container.record.config.image);
}

awaitable<void> save_record(EngineState& state, ContainerPtr container) {
  const ContainerRecord record = container->record;
  co_await blocking(state.database_pool, [&] { ContainerStore::update_row(*state.database, record); });
}

void set_state(Container& container, ContainerState value) {
  container.state = value;
  container.record.state = to_string(value);
}

}  // namespace mydocker::engine
