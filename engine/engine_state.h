#pragma once

#include <boost/asio/thread_pool.hpp>
#include <map>
#include <memory>
#include <string>

#include "engine/base/database.h"
#include "engine/base/trace.h"
#include "engine/container_store.h"
#include "engine/create_check.h"
#include "engine/engine.h"
#include "engine/events.h"
#include "engine/log_reader.h"
#include "engine/options.h"
#include "engine/tree_sizes.h"
#include "image/image_store.h"
#include "image/pull.h"
#include "network/networks.h"
#include "runtime/shim_client.h"
#include "storage/container_files.h"
#include "storage/container_layers.h"
#include "storage/layer_store.h"
#include "storage/paths.h"
#include "storage/size_ledger.h"
#include "storage/volume_store.h"

/// What the verbs share. Everything but the stores (thread-safe by themselves) is for the I/O thread only.
namespace mydocker::engine {

struct EngineState {
  EngineState(asio::any_io_executor executor, Options given);

  asio::any_io_executor io;
  Options options;  ///< its reloadable part changes: on the I/O thread alone, and is read there alone
  const HostFacts facts;
  const storage::Paths paths;
  std::string engine_id;  ///< stable over restarts

  std::unique_ptr<Database> database;
  std::unique_ptr<storage::LayerStore> layers;
  std::unique_ptr<storage::ContainerLayers> container_layers;
  std::unique_ptr<storage::ContainerFiles> container_files;
  std::unique_ptr<storage::VolumeStore> volumes;
  std::unique_ptr<storage::SizeLedger> size_ledger;
  std::unique_ptr<TreeSizes> tree_sizes;
  std::unique_ptr<image::ImageStore> images;
  std::shared_ptr<image::Puller> puller;  ///< replaced by a reload; who pulls keeps his own
  std::unique_ptr<network::Networks> networks;
  std::unique_ptr<runtime::SealedProgram> shim_program;

  ContainerStore containers;
  std::map<std::string, std::shared_ptr<Exec>> execs;  ///< by full ID; ended ones for five minutes
  EventBus events;
  std::map<std::string, std::string> plain_networks;  ///< "host", "none" -> network ID
  TraceBook traces;
  RequestBook requests;
  std::chrono::steady_clock::time_point began = std::chrono::steady_clock::now();
  LogWatcher log_watcher;
  bool stopping = false;
  bool pruning_containers = false;
  bool pruning_images = false;
  bool pruning_volumes = false;

  // Last, so that they end first: nothing that runs on them may outlive what it uses.
  asio::thread_pool disk_pool;      ///< spawns, shim calls, files; each call has its deadline
  asio::thread_pool transfer_pool;  ///< pulls, loads, saves, exports: as long as the network or the client takes
  asio::thread_pool database_pool;  ///< one thread
};

/// Directory of a container's shim.
std::string shim_dir(const EngineState& state, const std::string& id);
/// <exec-root>/netns/<12>: SandboxKey.
std::string sandbox_key(const EngineState& state, const std::string& id);

/// Publishes a container event with the usual attributes: labels, image, name.
void publish(EngineState& state, const Container& container, std::string action, api::StringMap extra = {});

/// Which containers use which images: what decides whether an image may go.
std::vector<image::ImageUse> list_image_uses(const EngineState& state);

/// Writes the record's row; returns when it is durable.
awaitable<void> save_record(EngineState& state, ContainerPtr container);
/// The state, in memory and in the record.
void set_state(Container& container, ContainerState value);

}  // namespace mydocker::engine
