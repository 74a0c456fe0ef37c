#pragma once

#include <string>
#include <vector>

#include "api/types/container.h"
#include "engine/options.h"
#include "image/image_config.h"

/// What makes a create request valid, and the defaults that Docker fills in (WIRE 12). Pure.
namespace mydocker::engine {

/// Facts of this host that limits are checked against. Read once, at the engine's start.
struct HostFacts {
  int cpu_count = 1;
  std::int64_t memory_bytes = 0;
  int cgroup_version = 1;  ///< 2 = pure unified hierarchy
  bool has_memory = true;
  bool has_swap_limit = true;
  bool has_cpu = true;
  bool has_cpuset = true;
  bool has_pids = true;
  bool has_blkio = true;
  bool has_blkio_weight = true;
  std::string online_cpus = "0";  ///< as in /sys/devices/system/cpu/online
  std::string memory_nodes = "0";
  std::string boot_id;
  std::string kernel_version;
  std::string operating_system;
  std::string host_name;
};
HostFacts read_host_facts();

/// Fills from the image what the request leaves open: Env, Cmd/Entrypoint, User, WorkingDir, Labels, ExposedPorts,
/// Volumes, StopSignal, Healthcheck, Shell (WIRE 12.1).
void merge_image_config(api::ContainerConfig& config, const image::ImageConfig& image);

/// Throws Error{invalid_argument} in Docker's words for what cannot be; Error{not_implemented} for what is not built.
void check_config(const api::ContainerConfig& config);
/// Checks and normalizes: afterwards HostConfig is what inspect prints. Returns the warnings of the reply.
std::vector<std::string> check_host_config(api::HostConfig& host, const api::ContainerConfig& config,
                                           const Options& options, const HostFacts& facts);
/// What the request says about its networks beside their names. Throws Error{invalid_argument} "invalid endpoint
/// settings:\n..." with every problem.
void check_endpoint_settings(const api::EndpointMap& endpoints, const std::string& network_mode);
/// `^/?[a-zA-Z0-9][a-zA-Z0-9_.-]+$`; returns it without the slash. Throws Error{invalid_argument}.
std::string check_name(const std::string& name);
/// The name that a link gives its target: as a container's, but one character will do. Throws Error{invalid_argument}.
void check_alias(const std::string& alias);

/// CPU list "0-2,7" -> {0,1,2,7}; throws Error{invalid_argument}.
std::vector<int> parse_cpu_list(const std::string& text);

/// "CAP_NET_ADMIN" for any spelling ("net_admin", "cap_net_admin", "ALL"); "" when unknown.
std::string normalize_capability(const std::string& name);

}  // namespace mydocker::engine
