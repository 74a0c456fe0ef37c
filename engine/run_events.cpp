#include "engine/run_events.h"

#include "engine/container_view.h"

namespace mydocker::engine {
namespace {

void publish_networks(EngineState& state, const Container& container, const std::string& action) {
  for (const EndpointRecord& endpoint : container.record.endpoints) {
    state.events.publish("network", action, endpoint.network_id,
                         {{"container", container.id()}, {"name", endpoint.network_name}, {"type", "bridge"}});
  }
  const auto plain = state.plain_networks.find(container.record.host_config.network_mode);
  if (plain == state.plain_networks.end() || !container.record.endpoints.empty()) return;
  state.events.publish("network", action, plain->second,
                       {{"container", container.id()},
                        {"name", plain->first},
                        {"type", plain->first == "none" ? "null" : plain->first}});
}

std::vector<api::MountPoint> volumes_of(const EngineState& state, const Container& container) {
  std::vector<api::MountPoint> mounts = list_mount_points(plan_record_mounts(container.record), state.paths.volumes());
  std::erase_if(mounts, [](const api::MountPoint& mount) { return mount.type != "volume"; });
  return mounts;
}

}  // namespace

awaitable<void> load_network_names(EngineState& state) {
  const std::vector<network::NetworkRecord> records =
      co_await blocking(state.disk_pool, [&] { return state.networks->list(); });
  for (const network::NetworkRecord& record : records) {
    if (record.name == "host" || record.name == "none") state.plain_networks[record.name] = record.id;
  }
}

void publish_connected(EngineState& state, const Container& container) {
  publish_networks(state, container, "connect");
  for (const api::MountPoint& mount : volumes_of(state, container)) {
    state.events.publish("volume", "mount", mount.name,
                         {{"container", container.id()},
                          {"destination", mount.destination},
                          {"driver", "local"},
                          {"propagation", mount.propagation},
                          {"read/write", mount.read_write ? "true" : "false"}});
  }
}

void publish_disconnected(EngineState& state, const Container& container) {
  publish_networks(state, container, "disconnect");
  for (const api::MountPoint& mount : volumes_of(state, container)) {
    state.events.publish("volume", "unmount", mount.name, {{"container", container.id()}, {"driver", "local"}});
  }
}

}  // namespace mydocker::engine
