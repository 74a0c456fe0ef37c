#include "engine/container_view.h"

#include <algorithm>
#include <charconv>

#include "engine/base/digest.h"
#include "engine/health.h"

namespace mydocker::engine {
namespace {

api::EndpointSettings find_asked(const ContainerRecord& record, const std::string& network) {
  const auto asked = record.endpoint_settings.find(network);
  return asked != record.endpoint_settings.end() ? asked->second : api::EndpointSettings{};
}

api::EndpointSettings make_endpoint(const EndpointRecord& endpoint, const ContainerRecord& record) {
  api::EndpointSettings out = find_asked(record, endpoint.network_name);
  out.network_id = endpoint.network_id;
  out.endpoint_id = endpoint.endpoint_id;
  out.gateway = endpoint.gateway;
  out.ip_address = endpoint.address;
  out.ip_prefix_length = endpoint.prefix_length;
  out.mac_address = endpoint.mac;
  return out;
}

api::EndpointMap make_endpoints(const Container& container, const ViewContext& context) {
  const ContainerRecord& record = container.record;
  api::EndpointMap map;
  for (const EndpointRecord& endpoint : record.endpoints) map[endpoint.network_name] = make_endpoint(endpoint, record);
  const std::string& mode = record.host_config.network_mode;
  if (map.empty() && !mode.starts_with("container:")) map[mode] = find_asked(record, mode);
  const auto plain = context.plain_networks->find(mode);
  if (plain == context.plain_networks->end() || record.started_at == 0 || !record.endpoints.empty()) return map;
  map[mode].network_id = plain->second;
  if (is_alive(container.state)) map[mode].endpoint_id = make_plain_endpoint_id(record, plain->second);
  return map;
}

api::PortMap make_port_map(const ContainerRecord& record) {
  api::PortMap map;
  for (const auto& [port, nothing] : record.config.exposed_ports) map[port] = std::nullopt;
  for (const auto& [port, bindings] : record.ports) map[port] = bindings;
  return map;
}

api::NetworkSettings make_network_settings(const Container& container, const ViewContext& context) {
  const ContainerRecord& record = container.record;
  api::NetworkSettings out;
  out.networks = make_endpoints(container, context);
  if (!is_alive(container.state)) return out;
  out.ports = make_port_map(record);
  const std::string& mode = record.host_config.network_mode;
  if (mode.starts_with("container:")) return out;
  out.sandbox_id = record.id;
  out.sandbox_key = mode == "host" ? "/proc/1/ns/net" : context.sandbox_key;
  for (const EndpointRecord& endpoint : record.endpoints) {
    if (endpoint.network_name != "bridge") continue;  // the top-level fields mirror the default bridge alone
    out.endpoint_id = endpoint.endpoint_id;
    out.gateway = endpoint.gateway;
    out.ip_address = endpoint.address;
    out.ip_prefix_length = endpoint.prefix_length;
    out.mac_address = endpoint.mac;
  }
  return out;
}

api::ContainerState make_state(const Container& container) {
  const ContainerRecord& record = container.record;
  const StateFlags flags = derive_flags(container.state);
  api::ContainerState out;
  out.status = to_string(container.state);
  out.running = flags.running;
  out.paused = flags.paused;
  out.restarting = flags.restarting;
  out.dead = flags.dead;
  out.oom_killed = record.oom_killed;
  out.pid = record.pid;
  out.exit_code = record.exit_code;
  out.error = record.error;
  out.started_at = from_unix_nanoseconds(record.started_at);
  out.finished_at = from_unix_nanoseconds(record.finished_at);
  out.health = record.health;
  return out;
}

api::GraphDriver make_graph_driver(const ContainerRecord& record, const storage::Paths& paths) {
  api::GraphDriver driver;
  driver.name = "overlay2";
  driver.data = api::StringMap{{"UpperDir", paths.upper(record.id)}, {"WorkDir", paths.work(record.id)}};
  return driver;
}

std::uint16_t to_port(std::string_view text) {
  std::uint16_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::vector<api::Port> make_ports(const Container& container) {
  std::vector<api::Port> ports;
  if (!is_alive(container.state)) return ports;
  for (const auto& [key, bindings] : make_port_map(container.record)) {
    const std::size_t slash = key.find('/');
    api::Port port;
    port.private_port = to_port(std::string_view(key).substr(0, slash));
    port.type = slash == std::string::npos ? "tcp" : key.substr(slash + 1);
    if (!bindings) {
      ports.push_back(port);
      continue;
    }
    for (const api::PortBinding& binding : *bindings) {
      port.ip = binding.host_ip;
      port.public_port = to_port(binding.host_port);
      ports.push_back(port);
    }
  }
  return ports;
}

}  // namespace

std::vector<PlannedMount> plan_record_mounts(const ContainerRecord& record) {
  std::vector<PlannedMount> mounts = plan_mounts(record.host_config, record.config, record.inherited_mounts);
  for (PlannedMount& mount : mounts) {
    if (const auto named = record.volume_names.find(mount.target); named != record.volume_names.end()) {
      mount.source = named->second;
    }
  }
  return mounts;
}

std::string make_status_text(const Container& container, Timestamp time) {
  const ContainerRecord& record = container.record;
  const auto since = [&](std::int64_t instant) { return human_duration(time - from_unix_nanoseconds(instant)); };
  switch (container.state) {
    case ContainerState::running: {
      const std::string health = health_text(container);
      return concat("Up ", since(record.started_at), health.empty() ? "" : concat(" (", health, ")"));
    }
    case ContainerState::paused:
      return concat("Up ", since(record.started_at), " (Paused)");
    case ContainerState::restarting:
      return concat("Restarting (", record.exit_code, ") ", since(record.finished_at), " ago");
    case ContainerState::exited:
      return concat("Exited (", record.exit_code, ") ", since(record.finished_at), " ago");
    case ContainerState::created:
      return "Created";
    case ContainerState::removing:
      return "Removal In Progress";
    case ContainerState::dead:
      return "Dead";
  }
  return "";
}

std::string make_command_text(const ContainerRecord& record) {
  std::string text = record.path;
  for (const std::string& word : record.args) {
    const bool blank = word.find_first_of(" \t\n") != std::string::npos;
    text += blank ? concat(" '", word, "'") : " " + word;
  }
  return text;
}

std::string make_plain_endpoint_id(const ContainerRecord& record, const std::string& network_id) {
  return sha256_of(concat(record.id, network_id)).hex();
}

api::ContainerInspect make_inspect(const Container& container, const ViewContext& context) {
  const ContainerRecord& record = container.record;
  const std::string directory = context.paths->container(record.id);
  api::ContainerInspect out;
  out.id = record.id;
  out.created = from_unix_nanoseconds(record.created);
  out.path = record.path;
  out.args = record.args;
  out.state = make_state(container);
  out.image = record.image_id;
  out.resolv_conf_path = directory + "/resolv.conf";
  out.hostname_path = directory + "/hostname";
  out.hosts_path = directory + "/hosts";
  if (record.host_config.log_config.type == "json-file") out.log_path = concat(directory, "/", record.id, "-json.log");
  out.name = "/" + record.name;
  out.restart_count = record.restart_count;
  out.driver = "overlay2";
  out.platform = "linux";
  for (const auto& [id, exec] : container.execs) {
    if (!exec->running) continue;
    if (!out.exec_ids) out.exec_ids.emplace();
    out.exec_ids->push_back(id);
  }
  out.host_config = record.host_config;
  out.graph_driver = make_graph_driver(record, *context.paths);
  out.mounts = list_mount_points(plan_record_mounts(record), context.paths->volumes());
  out.config = record.config;
  out.network_settings = make_network_settings(container, context);
  return out;
}

api::ContainerSummary make_summary(const Container& container, const ViewContext& context) {
  const ContainerRecord& record = container.record;
  api::ContainerSummary out;
  out.id = record.id;
  out.names = {"/" + record.name};
  out.image = record.config.image;
  out.image_id = record.image_id;
  out.command = make_command_text(record);
  out.created_s = record.created / 1'000'000'000;
  out.ports = make_ports(container);
  out.labels = record.config.labels;
  out.state = to_string(container.state);
  out.status = make_status_text(container, context.now);
  out.host_config.network_mode = record.host_config.network_mode;
  out.host_config.annotations = record.host_config.annotations;
  out.network_settings.networks = make_endpoints(container, context);
  out.mounts = list_mount_points(plan_record_mounts(record), context.paths->volumes());
  return out;
}

}  // namespace mydocker::engine
