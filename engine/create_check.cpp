#include "engine/create_check.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <set>

#include "engine/base/error.h"
#include "engine/endpoint_options.h"
#include "engine/health.h"
#include "engine/log_plan.h"
#include "engine/resource_check.h"
#include "engine/resource_plan.h"
#include "engine/restart_policy.h"
#include "engine/signal_names.h"
#include "runtime/capabilities.h"
#include "runtime/systemd.h"

namespace mydocker::engine {
namespace {

constexpr std::int64_t nanoseconds_per_millisecond = 1'000'000;
constexpr std::size_t longest_hostname = 64;

[[noreturn]] void invalid(std::string message) { throw Error(ErrorKind::invalid_argument, std::move(message)); }

std::string key_of(const std::string& entry) { return entry.substr(0, entry.find('=')); }

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return static_cast<char>(std::toupper(static_cast<unsigned char>(c))); });
  return text;
}

void check_environment(const api::ContainerConfig& config) {
  if (!config.env) return;
  for (const std::string& entry : *config.env) {
    if (entry.empty() || entry.front() == '=') invalid(concat("invalid environment variable: ", entry));
    if (entry.find('\0') != std::string::npos) invalid("invalid environment variable: it holds a NUL byte");
  }
}

void check_health(const api::HealthConfig& health) {
  const auto check = [](std::int64_t value, std::string_view name) {
    if (value != 0 && value < nanoseconds_per_millisecond) {
      invalid(concat(name, " in Healthcheck cannot be less than 1ms"));
    }
  };
  check(health.interval_ns, "Interval");
  check(health.timeout_ns, "Timeout");
  check(health.start_period_ns, "StartPeriod");
  check(health.start_interval_ns, "StartInterval");
  if (health.retries < 0) invalid("Retries in Healthcheck cannot be negative");
}

void check_capability_list(const std::optional<api::StringList>& list, std::string_view option) {
  if (!list) return;
  for (const std::string& name : *list) {
    if (!normalize_capability(name).empty()) continue;
    const std::string full = upper(name).starts_with("CAP_") ? upper(name) : "CAP_" + upper(name);
    invalid(concat("invalid ", option, ": unknown capability: \"", full, "\""));
  }
}

bool is_container_mode(const std::string& mode) { return mode.starts_with("container:"); }

void check_network_mode(api::HostConfig& host, const api::ContainerConfig& config, const Options& options,
                        std::vector<std::string>& warnings) {
  if (host.network_mode.empty() || host.network_mode == "default") host.network_mode = "bridge";
  if (config.network_disabled) host.network_mode = "none";
  const bool publishes = !host.port_bindings.empty() || host.publish_all_ports;
  if (is_container_mode(host.network_mode)) {
    if (host.network_mode == "container:") invalid("invalid container format container:<name|id>");
    if (!config.hostname.empty()) invalid("conflicting options: hostname and the network mode");
    if (host.links && !host.links->empty())
      invalid(
          "conflicting options: container type network can't be used with links. This would result in undefined "
          "behavior");
    if (host.dns && !host.dns->empty()) invalid("conflicting options: dns and the network mode");
    if (host.extra_hosts && !host.extra_hosts->empty()) {
      invalid("conflicting options: custom host-to-IP mapping and the network mode");
    }
    if (publishes) invalid("conflicting options: port publishing and the container type network mode");
    if (!config.exposed_ports.empty())
      invalid("conflicting options: port exposing and the container type network mode");
  }
  if (host.network_mode == "host" && !host.port_bindings.empty()) {
    warnings.emplace_back("Published ports are discarded when using host network mode");
  }
  if (host.network_mode == "host" && host.links && !host.links->empty()) {
    invalid(
        "conflicting options: host type networking can't be used with links. This would result in undefined behavior");
  }
  if (!config.mac_address.empty() && (host.network_mode == "host" || is_container_mode(host.network_mode))) {
    invalid("conflicting options: mac-address and the network mode");
  }
  if (host.extra_hosts) {
    for (const std::string& entry : *host.extra_hosts) {
      if (entry.find_first_of(":=") == std::string::npos || entry.find_first_of(":=") == 0) {
        invalid(concat("bad format for add-host: \"", entry, "\""));
      }
    }
  }
  static_cast<void>(options);
}

void check_namespaces(api::HostConfig& host, const api::ContainerConfig& config, const HostFacts& facts) {
  if (!host.uts_mode.empty() && host.uts_mode != "host") invalid(concat("invalid UTS mode: ", host.uts_mode));
  if (host.uts_mode == "host" && !config.hostname.empty()) invalid("conflicting options: hostname and the UTS mode");
  if (!host.userns_mode.empty() && host.userns_mode != "host") invalid(concat("invalid USER mode: ", host.userns_mode));
  if (!host.pid_mode.empty() && host.pid_mode != "host" &&
      (!is_container_mode(host.pid_mode) || host.pid_mode == "container:")) {
    invalid(concat("invalid PID mode: ", host.pid_mode));
  }
  if (host.ipc_mode.empty()) host.ipc_mode = "private";
  const std::set<std::string> ipc_modes = {"none", "private", "shareable", "host"};
  if (!ipc_modes.contains(host.ipc_mode) && (!is_container_mode(host.ipc_mode) || host.ipc_mode == "container:")) {
    invalid(concat("invalid IPC mode: ", host.ipc_mode));
  }
  if (host.cgroupns_mode.empty()) {
    host.cgroupns_mode = host.privileged && facts.cgroup_version == 1 ? "host" : "private";
  }
  if (host.cgroupns_mode != "private" && host.cgroupns_mode != "host") {
    invalid(concat("invalid cgroup namespace mode: ", host.cgroupns_mode));
  }
  if (!host.cgroup.empty()) invalid(concat("invalid Cgroup: ", host.cgroup));
  if (!host.isolation.empty() && host.isolation != "default") {
    invalid(concat("invalid isolation '", host.isolation, "' on linux"));
  }
}

void check_security(const api::HostConfig& host) {
  check_capability_list(host.cap_add, "CapAdd");
  check_capability_list(host.cap_drop, "CapDrop");
  if (host.oom_score_adj < -1000 || host.oom_score_adj > 1000) {
    invalid(concat("Invalid value ", host.oom_score_adj, ", range for oom score adj is [-1000, 1000]"));
  }
  if (host.security_opt) {
    for (const std::string& option : *host.security_opt) {
      if (option == "no-new-privileges") continue;
      const std::size_t separator = option.find_first_of("=:");
      const std::string key = option.substr(0, separator);
      if (separator == std::string::npos || (key != "seccomp" && key != "apparmor" && key != "label" &&
                                             key != "no-new-privileges" && key != "systempaths")) {
        invalid(concat("invalid --security-opt 2: \"", option, "\""));
      }
      const std::string value = option.substr(separator + 1);
      if (key == "no-new-privileges" && value != "true" && value != "false") {
        invalid(concat("invalid --security-opt 2: \"", option, "\""));
      }
    }
  }
}

bool is_mac_address(const std::string& text) {
  if (text.size() != 17) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool good = i % 3 == 2 ? text[i] == ':' : std::isxdigit(static_cast<unsigned char>(text[i])) != 0;
    if (!good) return false;
  }
  return true;
}

bool is_port_key(const std::string& key) {
  const std::size_t slash = key.find('/');
  const std::string protocol = slash == std::string::npos ? "tcp" : key.substr(slash + 1);
  int port = 0;
  const char* end = key.data() + std::min(slash, key.size());
  const auto [stop, error] = std::from_chars(key.data(), end, port);
  return error == std::errc{} && stop == end && port >= 0 && port <= 65535 &&
         (protocol == "tcp" || protocol == "udp" || protocol == "sctp");
}

void check_ports(api::HostConfig& host) {
  api::PortMap normalized;
  for (auto& [key, bindings] : host.port_bindings) {
    if (!is_port_key(key)) invalid(concat("invalid port specification: \"", key, "\""));
    if (bindings) {
      for (const api::PortBinding& binding : *bindings) {
        if (binding.host_port.find_first_not_of("0123456789-") != std::string::npos) {
          invalid(concat("invalid port specification: \"", binding.host_port, "\""));
        }
        const std::string first = binding.host_port.substr(0, binding.host_port.find('-'));
        if (first.size() > 5 || (!first.empty() && std::stoi(first) > 65535)) {
          invalid(concat("invalid port specification: \"", binding.host_port, "\""));
        }
      }
    }
    normalized[key.find('/') == std::string::npos ? key + "/tcp" : key] = bindings;
  }
  host.port_bindings = std::move(normalized);
}

void check_cgroup_parent(const api::HostConfig& host, const Options& options) {
  if (host.cgroup_parent.empty() || options.cgroup_driver != "systemd") return;
  if (!runtime::is_slice_name(host.cgroup_parent)) {
    invalid("cgroup-parent for systemd cgroup should be a valid slice named as \"xxx.slice\"");
  }
}

/// Nobody here can fulfil one: there are no device drivers.
void check_device_requests(const api::HostConfig& host) {
  if (!host.device_requests || host.device_requests->empty()) return;
  const api::DeviceRequest& first = host.device_requests->front();
  std::string capabilities;
  for (const api::StringList& set : first.capabilities.value_or(std::vector<api::StringList>{})) {
    std::string words;
    for (const std::string& word : set) words += (words.empty() ? "" : " ") + word;
    capabilities += concat(capabilities.empty() ? "" : " ", "[", words, "]");
  }
  invalid(concat("DeviceRequests: could not select device driver \"", first.driver, "\" with capabilities: [",
                 capabilities, "]"));
}

/// A key must belong to a namespace of the container's own: any other is the host's.
void check_sysctls(const api::HostConfig& host) {
  static const std::set<std::string> ipc_keys = {"kernel.msgmax", "kernel.msgmnb",         "kernel.msgmni",
                                                 "kernel.sem",    "kernel.shmall",         "kernel.shmmax",
                                                 "kernel.shmmni", "kernel.shm_rmid_forced"};
  for (const auto& [written, value] : host.sysctls) {
    std::string key = written;
    if (key.find('/') != std::string::npos && key.find('.') == std::string::npos) {
      std::replace(key.begin(), key.end(), '/', '.');
    }
    if (key.find("..") != std::string::npos || key.find('/') != std::string::npos) {
      invalid(concat("sysctl '", written, "' is not whitelisted"));
    }
    if (ipc_keys.contains(key) || key.starts_with("fs.mqueue.")) {
      if (host.ipc_mode == "host") invalid(concat("sysctl \"", key, "\" is not allowed in the hosts ipc namespace"));
    } else if (key.starts_with("net.")) {
      if (host.network_mode == "host") {
        invalid(concat("sysctl \"", key, "\" not allowed in host network namespace"));
      }
    } else if (key != "kernel.domainname") {
      invalid(concat("sysctl '", written, "' is not whitelisted"));
    }
  }
}

void check_runtime(api::HostConfig& host, const Options& options) {
  if (host.runtime.empty()) host.runtime = options.default_runtime;
  const bool own = host.runtime == "mydocker" || host.runtime == "runc";
  if (!own && !options.runtimes.contains(host.runtime)) {
    invalid(concat("unknown or invalid runtime name: ", host.runtime));
  }
}

bool has_name_characters(const std::string& name) {
  const auto alphanumeric = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  return !name.empty() && alphanumeric(name.front()) && std::all_of(name.begin(), name.end(), [&](char c) {
    return alphanumeric(c) || c == '_' || c == '.' || c == '-';
  });
}

}  // namespace

void check_endpoint_settings(const api::EndpointMap& endpoints, const std::string& network_mode) {
  std::vector<std::string> problems;
  const bool predefined = network_mode == "bridge" || network_mode == "host" || network_mode == "none";
  for (const auto& [name, settings] : endpoints) {
    const std::string network = name == "default" ? "bridge" : name;
    if ((network_mode == "host" || network_mode == "none" || is_container_mode(network_mode)) &&
        network != network_mode && !(is_container_mode(network_mode) && is_container_mode(network))) {
      invalid(concat("conflicting options: cannot attach both user-defined and non-user-defined network-modes: ",
                     network, " and ", network_mode));
    }
    const auto refuse = [&problems](bool given, std::string_view why) {
      if (given) problems.emplace_back(why);
    };
    if (predefined && network == network_mode) {
      refuse(settings.aliases && !settings.aliases->empty(),
             "network-scoped aliases are only supported for user-defined networks");
      refuse(settings.ipam_config &&
                 (!settings.ipam_config->ipv4_address.empty() || !settings.ipam_config->ipv6_address.empty()),
             "user specified IP address is supported on user defined networks only");
    }
    refuse(settings.ipam_config && !settings.ipam_config->ipv6_address.empty(),
           "IPAMConfig.IPv6Address is not supported");
    refuse(settings.ipam_config && !settings.ipam_config->link_local_ips.empty(),
           "IPAMConfig.LinkLocalIPs is not supported");
    refuse(settings.links && !settings.links->empty(), "Links of an endpoint are not supported");
    try {
      parse_endpoint_options(settings.driver_opts.value_or(api::StringMap{}));
    } catch (const Error& error) {
      problems.push_back(error.message());
    }
    refuse(!settings.mac_address.empty() && !is_mac_address(settings.mac_address),
           "invalid MAC address: " + settings.mac_address);
  }
  if (problems.empty()) return;
  std::string text = "invalid endpoint settings:";
  for (const std::string& problem : problems) text += "\n" + problem;
  invalid(text);
}

std::string normalize_capability(const std::string& name) {
  std::string full = upper(name);
  if (full == "ALL" || full == "CAP_ALL") return "ALL";
  if (!full.starts_with("CAP_")) full = "CAP_" + full;
  return runtime::find_capability(full).has_value() ? full : "";
}

void check_alias(const std::string& alias) {
  if (!has_name_characters(alias)) {
    invalid(concat("Invalid link alias (", alias, "), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"));
  }
}

std::string check_name(const std::string& name) {
  const std::string bare = name.starts_with("/") ? name.substr(1) : name;
  if (bare.size() < 2 || !has_name_characters(bare)) {
    invalid(concat("Invalid container name (", name, "), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"));
  }
  return bare;
}

void merge_image_config(api::ContainerConfig& config, const image::ImageConfig& image) {
  if (config.user.empty()) config.user = image.user;
  for (const auto& [port, nothing] : image.exposed_ports) config.exposed_ports.emplace(port, nothing);
  if (image.env) {
    std::set<std::string> given;
    if (!config.env) config.env.emplace();
    for (const std::string& entry : *config.env) given.insert(key_of(entry));
    for (const std::string& entry : *image.env) {
      if (!given.contains(key_of(entry))) config.env->push_back(entry);
    }
  }
  // null = the image's; [] = none, the image's Cmd kept; [""] = none and the image's Cmd dropped.
  const bool entrypoint_given = config.entrypoint && !config.entrypoint->empty();
  if (!entrypoint_given && (!config.cmd || config.cmd->empty()) && image.cmd) config.cmd = api::CommandLine(*image.cmd);
  if (!config.entrypoint && image.entrypoint) config.entrypoint = api::CommandLine(*image.entrypoint);
  if (entrypoint_given && config.entrypoint->size() == 1 && config.entrypoint->front().empty())
    config.entrypoint.reset();
  if (!image.volumes.empty()) {
    if (!config.volumes) config.volumes.emplace();
    for (const auto& [path, nothing] : image.volumes) config.volumes->emplace(path, nothing);
  }
  if (config.working_dir.empty()) config.working_dir = image.working_dir;
  if (image.labels) {
    for (const auto& [key, value] : *image.labels) config.labels.emplace(key, value);
  }
  if (config.stop_signal.empty()) config.stop_signal = image.stop_signal;
  if (!config.stop_timeout_s && image.stop_timeout) config.stop_timeout_s = image.stop_timeout;
  if (config.shell.empty() && image.shell) config.shell = api::CommandLine(*image.shell);
  if (!config.on_build && image.on_build) config.on_build = image.on_build;
  if (image.healthcheck) {
    if (!config.healthcheck) config.healthcheck.emplace();
    api::HealthConfig& health = *config.healthcheck;
    if (health.test.empty() && image.healthcheck->test) health.test = *image.healthcheck->test;
    if (health.interval_ns == 0) health.interval_ns = image.healthcheck->interval;
    if (health.timeout_ns == 0) health.timeout_ns = image.healthcheck->timeout;
    if (health.start_period_ns == 0) health.start_period_ns = image.healthcheck->start_period;
    if (health.start_interval_ns == 0) health.start_interval_ns = image.healthcheck->start_interval;
    if (health.retries == 0) health.retries = image.healthcheck->retries;
  }
}

void check_config(const api::ContainerConfig& config) {
  check_environment(config);
  if (config.hostname.size() > longest_hostname) invalid(concat("invalid hostname: ", config.hostname));
  for (const char c : config.hostname + config.domainname) {
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f)
      invalid("invalid hostname: it holds a blank or control character");
  }
  if (!config.working_dir.empty() && config.working_dir.front() != '/') {
    invalid(concat("the working directory '", config.working_dir, "' is invalid, it needs to be an absolute path"));
  }
  if (!config.stop_signal.empty()) parse_signal(config.stop_signal);
  if (config.healthcheck) check_health(*config.healthcheck);
  if (!config.mac_address.empty() && !is_mac_address(config.mac_address)) {
    invalid(concat("invalid MAC address: ", config.mac_address));
  }
  for (const auto& [port, nothing] : config.exposed_ports) {
    const std::string first = port.substr(0, port.find('-'));  // ranges come expanded from clients
    if (!is_port_key(port)) invalid(concat("invalid port specification: \"", port, "\""));
  }
}

std::vector<std::string> check_host_config(api::HostConfig& host, const api::ContainerConfig& config,
                                           const Options& options, const HostFacts& facts) {
  std::vector<std::string> warnings;
  check_memory(host, facts, warnings);
  check_cpu(host, facts);
  check_block_io(host, facts);
  if (host.pids_limit && *host.pids_limit <= 0) host.pids_limit.reset();
  check_network_mode(host, config, options, warnings);
  check_namespaces(host, config, facts);
  check_security(host);
  check_ports(host);
  check_log_config(host.log_config, options);
  check_runtime(host, options);
  check_cgroup_parent(host, options);
  check_health_action(host, config);
  check_restart_policy(host.restart_policy.name, host.restart_policy.maximum_retries);
  if (host.restart_policy.name.empty()) host.restart_policy.name = "no";
  if (host.auto_remove && host.restart_policy.name != "no") {
    invalid("can't create 'AutoRemove' container with restart policy");
  }
  if (host.shm_size_bytes < 0) invalid("SHM size can not be less than 0");
  if (host.shm_size_bytes == 0) host.shm_size_bytes = options.default_shm_size_bytes;
  if (!host.storage_opt.empty()) {
    invalid("--storage-opt is supported only for overlay over xfs with 'pquota' mount option");
  }
  if (host.annotations.contains(""))
    invalid("invalid Annotations: the empty string is not permitted as an annotation key");
  check_device_requests(host);
  check_sysctls(host);
  if (host.cpu_percent > 0) {
    warnings.emplace_back("Percentage of CPU usage (CpuPercent) is a setting of Windows and has no effect.");
    host.cpu_percent = 0;
  }
  if (host.cpu_count > 0) {
    warnings.emplace_back("The number of CPUs (CpuCount) is a setting of Windows and has no effect.");
    host.cpu_count = 0;
  }
  for (const std::string& rule : host.device_cgroup_rules.value_or(api::StringList{})) parse_device_rule(rule);
  if (options.init && !host.init) host.init = true;
  if (host.privileged) {
    host.masked_paths.reset();
    host.readonly_paths.reset();
  }
  return warnings;
}

}  // namespace mydocker::engine
