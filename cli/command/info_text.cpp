#include "cli/command/info_text.h"

#include <sys/utsname.h>

#include <algorithm>
#include <ctime>

#include "cli/options/words.h"
#include "cli/table.h"
#include "cli/units.h"
#include "engine/base/time.h"

namespace mydocker::cli {
namespace {

// "1.41" against "1.51", part by part.
bool is_older(std::string_view left, std::string_view right) {
  const auto number = [](const std::string& text) { return std::atoi(text.c_str()); };
  const auto a = split(left, '.');
  const auto b = split(right, '.');
  return std::lexicographical_compare(
      a.begin(), a.end(), b.begin(), b.end(),
      [&](const std::string& x, const std::string& y) { return number(x) < number(y); });
}

std::string go_arch() {
  utsname names{};
  ::uname(&names);
  const std::string machine = names.machine;
  if (machine == "x86_64") return "amd64";
  if (machine == "aarch64") return "arm64";
  return machine;
}

// "2026-05-07T21:09:36.000000000+00:00" -> "Thu May  7 21:09:36 2026"; what is no time stays as it is.
std::string build_time_text(const std::string& text) {
  const auto time = parse_rfc3339(text);
  if (!time) return text;
  const auto seconds = static_cast<std::time_t>(to_unix_seconds(*time));
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char out[40];
  std::strftime(out, sizeof out, "%a %b %e %H:%M:%S %Y", &parts);
  return out;
}

std::string detail(const api::Component& component, const std::string& name) {
  const auto found = component.details.find(name);
  return found == component.details.end() ? "" : found->second;
}

// An engine older than 18.09 names no components.
std::vector<api::Component> components_of(const api::Version& server) {
  if (!server.components.empty()) return server.components;
  return {{"Engine",
           server.version,
           {{"ApiVersion", server.api_version},
            {"MinAPIVersion", server.min_api_version},
            {"GitCommit", server.git_commit},
            {"GoVersion", server.go_version},
            {"Os", server.os},
            {"Arch", server.arch},
            {"BuildTime", server.build_time},
            {"Experimental", server.experimental ? "true" : "false"}}}};
}

std::string line(std::string_view name, std::string_view value) { return concat(name, ":\t", value, "\n"); }

void add_component(std::string& out, const api::Component& component) {
  out += concat(" ", component.name, ":\n");
  out += line("  Version", component.version);
  if (component.name != "Engine") {
    for (const auto& [name, value] : component.details) out += line(concat("  ", name), value);
    return;
  }
  out += line("  API version",
              concat(detail(component, "ApiVersion"), " (minimum version ", detail(component, "MinAPIVersion"), ")"));
  if (const std::string go = detail(component, "GoVersion"); !go.empty()) out += line("  Go version", go);
  out += line("  Git commit", detail(component, "GitCommit"));
  out += line("  Built", build_time_text(detail(component, "BuildTime")));
  out += line("  OS/Arch", concat(detail(component, "Os"), "/", detail(component, "Arch")));
  out += line("  Experimental", detail(component, "Experimental"));
}

std::string yes_no(bool value) { return value ? "true" : "false"; }

/// Lines of `info`, indented by one blank.
class InfoText {
 public:
  void add(std::string_view name, std::string_view value) { out_ += concat(" ", name, ": ", value, "\n"); }
  void add(std::string_view name, std::int64_t value) { add(name, std::to_string(value)); }
  void add_if(std::string_view name, std::string_view value) {
    if (!value.empty()) add(name, value);
  }
  void raw(std::string_view text) { out_ += text; }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

void add_plugins(InfoText& out, const api::PluginsInfo& plugins) {
  const auto words = [](const std::optional<api::StringList>& list) {
    return join(list.value_or(api::StringList{}), " ");
  };
  out.raw(" Plugins:\n");
  out.raw(concat("  Volume: ", words(plugins.volume), "\n"));
  out.raw(concat("  Network: ", words(plugins.network), "\n"));
  if (plugins.authorization && !plugins.authorization->empty())
    out.raw(concat("  Authorization: ", words(plugins.authorization), "\n"));
  out.raw(concat("  Log: ", words(plugins.log), "\n"));
}

void add_security(InfoText& out, const api::StringList& options) {
  if (options.empty()) return;
  out.raw(" Security Options:\n");
  for (const std::string& option : options) {
    for (const std::string& part : split(option, ',')) {
      const std::size_t equals = part.find('=');
      const std::string key = part.substr(0, equals);
      std::string value = equals == std::string::npos ? "" : part.substr(equals + 1);
      if (key == "name") {
        out.raw(concat("  ", value, "\n"));
      } else if (!key.empty()) {
        out.raw(concat("   ", to_upper(key.substr(0, 1)), key.substr(1), ": ", value, "\n"));
      }
    }
  }
}

void add_registry(InfoText& out, const api::RegistryConfig& registry) {
  std::vector<std::string> insecure;
  for (const auto& [name, index] : registry.index_configs) {
    if (!index.secure) insecure.push_back(name);
  }
  for (const std::string& cidr : registry.insecure_registry_cidrs) insecure.push_back(cidr);
  if (!insecure.empty()) {
    out.raw(" Insecure Registries:\n");
    for (const std::string& entry : insecure) out.raw(concat("  ", entry, "\n"));
  }
  if (!registry.mirrors.empty()) {
    out.raw(" Registry Mirrors:\n");
    for (const std::string& mirror : registry.mirrors) out.raw(concat("  ", mirror, "\n"));
  }
}

}  // namespace

ClientFacts client_facts(const Session& session, const std::string& server_api_version) {
  ClientFacts out;
  out.version = std::string(client_version);
  out.default_api_version = std::string(api::max_api_version);
  const bool older = !server_api_version.empty() && is_older(server_api_version, api::max_api_version);
  out.api_version = older ? server_api_version : out.default_api_version;
  out.git_commit = "mydocker";
  out.go_version = "none (C++20)";
  out.os = "linux";
  out.arch = go_arch();
  out.context = session.context_name;
  return out;
}

std::string version_text(const ClientFacts& client, const std::optional<api::Version>& server) {
  std::string api_version = client.api_version;
  if (client.api_version != client.default_api_version)
    api_version += concat(" (downgraded from ", client.default_api_version, ")");
  std::string out = "Client:\n";
  out += line(" Version", client.version);
  out += line(" API version", api_version);
  out += line(" Go version", client.go_version);
  out += line(" Git commit", client.git_commit);
  out += line(" OS/Arch", concat(client.os, "/", client.arch));
  out += line(" Context", client.context);
  if (server) {
    out += concat("\nServer:", server->platform.name.empty() ? "" : concat(" ", server->platform.name), "\n");
    for (const api::Component& component : components_of(*server)) add_component(out, component);
  }
  return align_tabs(out, {.least_width = 20, .padding = 1});
}

json::value server_version_json(const api::Version& server) {
  json::value out = to_json(server);
  json::array components;
  for (const api::Component& component : components_of(server)) components.push_back(to_json(component));
  out.get_object()["Components"] = std::move(components);
  return out;
}

std::string client_info_text(const ClientFacts& client, bool debug) {
  return concat("Client:\n Version:    ", client.version, "\n Context:    ", client.context,
                "\n Debug Mode: ", yes_no(debug), "\n");
}

json::value client_info_json(const ClientFacts& client, bool debug) {
  json::object out{{"Debug", debug}};
  const json::value facts = to_json(client);
  for (const auto& entry : facts.get_object()) out[entry.key()] = entry.value();
  out["Plugins"] = json::array();
  out["Warnings"] = nullptr;
  return out;
}

std::string server_info_text(const api::Info& info) {
  InfoText out;
  out.add("Containers", info.containers);
  out.raw(concat("  Running: ", info.containers_running, "\n  Paused: ", info.containers_paused,
                 "\n  Stopped: ", info.containers_stopped, "\n"));
  out.add("Images", info.images);
  out.add_if("Server Version", info.server_version);
  out.add("Storage Driver", info.driver);
  for (const api::StringList& pair : info.driver_status) {
    if (pair.size() == 2) out.raw(concat("  ", pair[0], ": ", pair[1], "\n"));
  }
  out.add_if("Logging Driver", info.logging_driver);
  out.add_if("Cgroup Driver", info.cgroup_driver);
  out.add_if("Cgroup Version", info.cgroup_version);
  add_plugins(out, info.plugins);
  out.add("Swarm", info.swarm.local_node_state);
  std::vector<std::string> runtimes;
  for (const auto& [name, runtime] : info.runtimes) runtimes.push_back(name);
  if (!runtimes.empty()) {
    out.add("Runtimes", join(runtimes, " "));
    out.add("Default Runtime", info.default_runtime);
  }
  out.add_if("Init Binary", info.init_binary);
  out.add_if("containerd version", info.containerd_commit.id);
  out.add_if("runc version", info.runc_commit.id);
  out.add("init version", info.init_commit.id);
  add_security(out, info.security_options);
  out.add_if("Kernel Version", info.kernel_version);
  out.add_if("Operating System", info.operating_system);
  out.add_if("OSType", info.os_type);
  out.add_if("Architecture", info.architecture);
  out.add("CPUs", info.cpus);
  out.add("Total Memory", binary_size(static_cast<double>(info.memory_bytes)));
  out.add_if("Name", info.name);
  out.add_if("ID", info.id);
  out.add("Docker Root Dir", info.docker_root_dir);
  out.add("Debug Mode", yes_no(info.debug));
  if (info.debug) {
    out.raw(concat("  File Descriptors: ", info.file_descriptors, "\n  Goroutines: ", info.goroutines,
                   "\n  System Time: ", info.system_time, "\n  EventsListeners: ", info.event_listeners, "\n"));
  }
  out.add_if("HTTP Proxy", info.http_proxy);
  out.add_if("HTTPS Proxy", info.https_proxy);
  out.add_if("No Proxy", info.no_proxy);
  if (!info.labels.empty()) {
    out.raw(" Labels:\n");
    for (const std::string& label : info.labels) out.raw(concat("  ", label, "\n"));
  }
  out.add("Experimental", yes_no(info.experimental_build));
  add_registry(out, info.registry_config);
  out.add("Live Restore Enabled", yes_no(info.live_restore_enabled));
  if (!info.default_address_pools.empty()) {
    out.raw(" Default Address Pools:\n");
    for (const api::AddressPool& pool : info.default_address_pools)
      out.raw(concat("   Base: ", pool.base, ", Size: ", pool.size, "\n"));
  }
  if (info.firewall_backend) out.add("Firewall Backend", info.firewall_backend->driver);
  return out.take();
}

}  // namespace mydocker::cli
