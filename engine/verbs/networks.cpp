#include <algorithm>

#include "engine/container_view.h"
#include "engine/engine.h"
#include "engine/engine_state.h"
#include "engine/list_filters.h"
#include "engine/prune_filter.h"

/// NetworkList, NetworkInspect (WIRE 24).
namespace mydocker::engine {
namespace {

api::NetworkInspect to_api(const network::NetworkRecord& record) {
  api::NetworkInspect out;
  out.name = record.name;
  out.id = record.id;
  out.created = record.created;
  out.scope = record.scope;
  out.driver = record.driver;
  out.enable_ipv4 = record.enable_ipv4;
  out.enable_ipv6 = record.enable_ipv6;
  out.ipam.driver = "default";
  if (!record.ipam_options.empty()) out.ipam.options = record.ipam_options;
  if (!record.ipam.empty()) out.ipam.config.emplace();
  for (const network::IpamConfig& config : record.ipam) {
    out.ipam.config->push_back(
        api::IpamConfig{config.subnet, config.ip_range, config.gateway, config.auxiliary_addresses});
  }
  out.internal = record.internal;
  out.attachable = record.attachable;
  out.options = record.options;
  out.labels = record.labels;
  return out;
}

template <typename Test>
bool any_of(const std::vector<std::string>& values, Test test) {
  return std::any_of(values.begin(), values.end(), test);
}

bool accepts(const Filters& filters, const network::NetworkRecord& record, bool used) {
  for (const auto& [key, values] : filters) {
    if (values.empty()) continue;
    bool good = true;
    if (key == "name") {
      good = any_of(values, [&](const std::string& v) { return matches_name(v, record.name); });
    } else if (key == "id") {
      good = any_of(values, [&](const std::string& v) { return record.id.starts_with(v); });
    } else if (key == "driver") {
      good = any_of(values, [&](const std::string& v) { return v == record.driver; });
    } else if (key == "scope") {
      good = any_of(values, [&](const std::string& v) { return v == record.scope; });
    } else if (key == "label") {
      good = has_labels(record.labels, values);
    } else if (key == "type") {
      good = any_of(values, [&](const std::string& v) { return v == (record.predefined ? "builtin" : "custom"); });
    } else if (key == "dangling") {
      good = any_of(values,
                    [&](const std::string& v) { return (v == "true" || v == "1") == (!record.predefined && !used); });
    } else {
      throw Error(ErrorKind::invalid_argument, concat("invalid filter '", key, "'"));
    }
    if (!good) return false;
  }
  return true;
}

}  // namespace

awaitable<std::vector<api::NetworkInspect>> Engine::list_networks(Filters filters) {
  EngineState& state = *state_;
  const std::vector<network::NetworkRecord> records =
      co_await blocking(state.disk_pool, [&] { return state.networks->list(); });
  std::vector<api::NetworkInspect> out;
  for (const network::NetworkRecord& record : records) {
    const bool used = state.containers.count([&](const Container& container) {
      return std::any_of(container.record.endpoints.begin(), container.record.endpoints.end(),
                         [&](const EndpointRecord& endpoint) { return endpoint.network_id == record.id; });
    }) != 0;
    if (accepts(filters, record, used)) out.push_back(to_api(record));
  }
  co_return out;
}

awaitable<api::NetworkInspect> Engine::inspect_network(std::string name) {
  EngineState& state = *state_;
  const network::NetworkRecord record = co_await blocking(state.disk_pool, [&] { return state.networks->get(name); });
  api::NetworkInspect out = to_api(record);
  for (const ContainerPtr& container : state.containers.list()) {
    if (!is_alive(container->state)) continue;
    const bool plain = container->record.host_config.network_mode == record.name && container->record.endpoints.empty();
    if (plain) {
      out.containers[container->id()] = api::EndpointResource{
          .name = container->name(), .endpoint_id = make_plain_endpoint_id(container->record, record.id)};
    }
    for (const EndpointRecord& endpoint : container->record.endpoints) {
      if (endpoint.network_id != record.id) continue;
      out.containers[container->id()] =
          api::EndpointResource{.name = container->name(),
                                .endpoint_id = endpoint.endpoint_id,
                                .mac_address = endpoint.mac,
                                .ipv4_address = concat(endpoint.address, "/", endpoint.prefix_length),
                                .ipv6_address = ""};
    }
  }
  co_return out;
}

api::NetworksPruneReport Engine::prune_networks(const Filters& filters) {
  const PruneFilter checked(filters);
  state_->events.publish("network", "prune", "", {{"reclaimed", "0"}});
  return {};
}

}  // namespace mydocker::engine
