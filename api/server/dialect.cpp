#include "api/server/dialect.h"

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
