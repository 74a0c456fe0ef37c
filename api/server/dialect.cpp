#include "api/server/dialect.h"

#include <algorithm>
#include <optional>

#include "engine/base/error.h"

namespace mydocker::api {
namespace {

/// The version that brought a change, as it is written in WIRE 1.4.
constexpr bool before(ApiVersion version, int minor) { return version < ApiVersion{1, minor}; }

void drop_foreign_options(Mount& mount) {
  if (mount.type != "bind") mount.bind_options.reset();
  if (mount.type != "volume") mount.volume_options.reset();
  if (mount.type != "tmpfs") mount.tmpfs_options.reset();
  if (mount.bind_options) mount.bind_options->create_mountpoint = false;
}

void fit_mount(Mount& mount, ApiVersion version) {
  if (before(version, 40) && mount.bind_options) mount.bind_options->non_recursive = false;
  if (before(version, 42)) drop_foreign_options(mount);
  if (before(version, 44) && mount.type == "bind" && mount.read_only) {
    if (!mount.bind_options) mount.bind_options.emplace();
    mount.bind_options->read_only_non_recursive = true;
    mount.bind_options->read_only_force_recursive = false;
  }
  if (before(version, 45) && mount.volume_options && !mount.volume_options->subpath.empty()) {
    throw Error(ErrorKind::invalid_argument, "VolumeOptions.Subpath needs API v1.45 or newer");
  }
  if (before(version, 48) && mount.type == "image") {
    throw Error(ErrorKind::invalid_argument, "Mount type \"Image\" needs API v1.48 or newer");
  }
}

/// "net.ipv4.conf.eth0.log_martians" as an option of the endpoint says it: "net.ipv4.conf.IFNAME.log_martians";
/// nullopt: not about one link.
std::optional<std::string> find_link_sysctl(const std::string& key) {
  constexpr std::string_view link = ".eth0.";
  const std::size_t at = key.find(link);
  if (at == std::string::npos || !key.starts_with("net.") ||
      std::count(key.begin(), key.begin() + static_cast<std::ptrdiff_t>(at), '.') != 2) {
    return std::nullopt;
  }
  return concat(key.substr(0, at), ".IFNAME.", key.substr(at + link.size()));
}

/// Sysctls of a container's link belong to its endpoint: from 1.48 on they have to be written there.
void move_link_sysctls(ContainerCreateRequest& request, ApiVersion version) {
  constexpr const char* option = "com.docker.network.endpoint.sysctls";
  HostConfig& host = request.host_config;
  const bool has_link =
      !(host.network_mode == "host" || host.network_mode == "none" || host.network_mode.starts_with("container:"));
  std::string moved;
  for (auto sysctl = host.sysctls.begin(); has_link && sysctl != host.sysctls.end();) {
    const std::optional<std::string> of_link = find_link_sysctl(sysctl->first);
    if (of_link && !before(version, 48)) {
      throw Error(ErrorKind::invalid_argument, concat("interface specific sysctl setting \"", sysctl->first,
                                                      "\" must be supplied using driver option '", option, "'"));
    }
    if (of_link) moved += concat(moved.empty() ? "" : ",", *of_link, "=", sysctl->second);
    sysctl = of_link ? host.sysctls.erase(sysctl) : std::next(sysctl);
  }
  if (moved.empty()) return;
  EndpointMap& endpoints = request.networking_config.endpoints_config;
  const bool by_default = host.network_mode.empty() || host.network_mode == "default" || host.network_mode == "bridge";
  const std::string network = !by_default ? host.network_mode : endpoints.contains("default") ? "default" : "bridge";
  std::optional<StringMap>& options = endpoints[network].driver_opts;
  if (!options) options.emplace();
  std::string& sysctls = (*options)[option];
  sysctls += concat(sysctls.empty() ? "" : ",", moved);
}

}  // namespace

void fit_create_request(ContainerCreateRequest& request, ApiVersion version) {
  HostConfig& host = request.host_config;
  if (before(version, 40) && host.ipc_mode.empty()) host.ipc_mode = "shareable";
  if (before(version, 42)) host.console_size = {};
  if (!before(version, 42)) host.kernel_memory_bytes = 0;  // the field was taken out of the API and is not read
  if (before(version, 43)) host.annotations.clear();
  if (before(version, 44) && request.healthcheck) request.healthcheck->start_interval_ns = 0;
  for (auto& [network, endpoint] : request.networking_config.endpoints_config) {
    if (before(version, 44)) endpoint.mac_address.clear();
    if (before(version, 48)) endpoint.gateway_priority = 0;
  }
  move_link_sysctls(request, version);
  for (Mount& mount : host.mounts) fit_mount(mount, version);
}

void fit_update_request(UpdateRequest& request, ApiVersion version) {
  if (!before(version, 42)) request.kernel_memory_bytes = 0;
}

void fit_container_list(std::vector<ContainerSummary>& list, ApiVersion version) {
  if (!before(version, 46)) return;
  for (ContainerSummary& container : list) container.host_config.annotations.clear();
}

void fit_network(NetworkInspect& network, ApiVersion version) {
  if (before(version, 48)) network.enable_ipv4.reset();
}

json::value fit_image_inspect(const ImageInspect& image, ApiVersion version) {
  json::value body = to_json(image);
  json::object& fields = body.as_object();
  if (before(version, 50)) {
    // The container fields that an image never has were printed all the same.
    json::object& config = fields["Config"].as_object();
    for (const char* name : {"Hostname", "Domainname", "Image"}) config[name] = "";
    for (const char* name : {"AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce"}) {
      config[name] = false;
    }
  }
  if (before(version, 45)) {
    fields["Container"] = "";
    fields["ContainerConfig"] = to_json(ContainerConfig{});
  }
  return body;
}

}  // namespace mydocker::api
