#include "cli/container_options.h"

#include <unistd.h>

#include <algorithm>

#include "cli/options/mount.h"
#include "cli/options/publish.h"
#include "cli/options/resources.h"
#include "cli/options/settings.h"
#include "cli/options/words.h"
#include "cli/terminal.h"
#include "cli/units.h"
#include "engine/base/time.h"

namespace mydocker::cli {
namespace {

using api::StringList;
using enum FlagKind;

void check_positive_bytes(std::string_view value) { parse_size_bytes(value); }

constexpr Flag flags[] = {
    {"add-host", 0, list, "list", "Add a name and its address to the hosts file (host:ip)", check_extra_host},
    {"annotation", 0, list, "map", "Add an OCI annotation"},
    {"attach", 'a', list, "list", "Attach to STDIN, STDOUT or STDERR", check_attach},
    {"blkio-weight", 0, single, "uint16", "Block IO weight, 10 to 1000, 0 = off", check_uint16},
    {"blkio-weight-device", 0, list, "list", "Block IO weight of one device", check_weight},
    {"cap-add", 0, list, "list", "Add Linux capabilities"},
    {"cap-drop", 0, list, "list", "Drop Linux capabilities"},
    {"cgroup-parent", 0, single, "string", "Parent cgroup of the container"},
    {"cgroupns", 0, single, "string", "Cgroup namespace (host|private)"},
    {"cidfile", 0, single, "string", "Write the container ID to the file"},
    {"cpu-count", 0, single, "int", "CPU count (Windows only)", check_int, true},
    {"cpu-percent", 0, single, "int", "CPU percent (Windows only)", check_int, true},
    {"cpu-period", 0, single, "int", "Period of the CPU quota in microseconds", check_int},
    {"cpu-quota", 0, single, "int", "CPU time in one period, in microseconds", check_int},
    {"cpu-rt-period", 0, single, "int", "Real-time period in microseconds", check_int},
    {"cpu-rt-runtime", 0, single, "int", "Real-time runtime in microseconds", check_int},
    {"cpu-shares", 'c', single, "int", "CPU shares (relative weight)", check_int},
    {"cpus", 0, single, "decimal", "Number of CPUs", check_cpus},
    {"cpuset-cpus", 0, single, "string", "CPUs to run on (0-3, 0,1)"},
    {"cpuset-mems", 0, single, "string", "Memory nodes to use (0-3, 0,1)"},
    {"detach", 'd', boolean, "", "Run in the background and print the container ID"},
    {"detach-keys", 0, single, "string", "Key sequence that detaches"},
    {"device", 0, list, "list", "Add a host device"},
    {"device-cgroup-rule", 0, list, "list", "Add a rule to the list of allowed devices", check_device_rule},
    {"device-read-bps", 0, list, "list", "Limit bytes per second read from a device", check_throttle_bytes},
    {"device-read-iops", 0, list, "list", "Limit reads per second from a device", check_throttle_operations},
    {"device-write-bps", 0, list, "list", "Limit bytes per second written to a device", check_throttle_bytes},
    {"device-write-iops", 0, list, "list", "Limit writes per second to a device", check_throttle_operations},
    {"disable-content-trust", 0, boolean, "", "Skip image verification", nullptr, true},
    {"dns", 0, list, "list", "DNS servers", check_ip},
    {"dns-opt", 0, list, "list", "DNS options", nullptr, true},
    {"dns-option", 0, list, "list", "DNS options"},
    {"dns-search", 0, list, "list", "DNS search domains", check_search_domain},
    {"domainname", 0, single, "string", "NIS domain name"},
    {"entrypoint", 0, single, "string", "Replace the image's ENTRYPOINT"},
    {"env", 'e', list, "list", "Set environment variables", check_environment},
    {"env-file", 0, list, "list", "Read environment variables from a file"},
    {"expose", 0, list, "list", "Expose a port or a range of ports"},
    {"gpus", 0, single, "gpu-request", "GPU devices to add ('all' for all)", check_gpus},
    {"group-add", 0, list, "list", "Add supplementary groups"},
    {"health-cmd", 0, single, "string", "Command that checks the container's health"},
    {"health-interval", 0, single, "duration", "Time between two checks", check_duration},
    {"health-on-failure", 0, single, "string",
     "What happens to an unhealthy container (\"none\", \"kill\", \"restart\", \"stop\")"},
    {"health-retries", 0, single, "int", "Failures in a row that mean unhealthy", check_int},
    {"health-start-interval", 0, single, "duration", "Time between two checks while starting", check_duration},
    {"health-start-period", 0, single, "duration", "Time in which failures do not count", check_duration},
    {"health-timeout", 0, single, "duration", "Longest time of one check", check_duration},
    {"hostname", 'h', single, "string", "Host name inside the container"},
    {"init", 0, boolean, "", "Run an init that forwards signals and reaps processes"},
    {"interactive", 'i', boolean, "", "Keep STDIN open even if not attached"},
    {"io-maxbandwidth", 0, single, "bytes", "Maximum IO bandwidth (Windows only)", check_positive_bytes, true},
    {"io-maxiops", 0, single, "uint", "Maximum IOps (Windows only)", check_uint, true},
    {"ip", 0, single, "string", "IPv4 address (172.30.100.104)"},
    {"ip6", 0, single, "string", "IPv6 address (2001:db8::33)"},
    {"ipc", 0, single, "string", "IPC mode to use"},
    {"isolation", 0, single, "string", "Isolation technology"},
    {"kernel-memory", 0, single, "bytes", "Kernel memory limit", check_positive_bytes, true},
    {"label", 'l', list, "list", "Set labels", check_label},
    {"label-file", 0, list, "list", "Read labels from a file"},
    {"link", 0, list, "list", "Add a link to another container", check_link},
    {"link-local-ip", 0, list, "list", "Link-local addresses", check_ip},
    {"log-driver", 0, single, "string", "Log driver"},
    {"log-opt", 0, list, "list", "Log driver options"},
    {"mac-address", 0, single, "string", "MAC address (92:d0:c6:0a:29:33)"},
    {"memory", 'm', single, "bytes", "Memory limit", check_positive_bytes},
    {"memory-reservation", 0, single, "bytes", "Memory soft limit", check_positive_bytes},
    {"memory-swap", 0, single, "bytes", "Limit of memory and swap together, -1 = unlimited swap", check_bytes},
    {"memory-swappiness", 0, single, "int", "Memory swappiness (0 to 100)", check_int},
    {"mount", 0, list, "mount", "Attach a file system", check_mount},
    {"name", 0, single, "string", "Name of the container"},
    {"net", 0, list, "network", "Network to connect to", check_network, true},
    {"net-alias", 0, list, "list", "Alias on the network", nullptr, true},
    {"network", 0, list, "network", "Network to connect to", check_network},
    {"network-alias", 0, list, "list", "Alias on the network"},
    {"no-healthcheck", 0, boolean, "", "Turn the image's HEALTHCHECK off"},
    {"oom-kill-disable", 0, boolean, "", "Turn the OOM killer off"},
    {"oom-score-adj", 0, single, "int", "OOM preference of the host (-1000 to 1000)", check_int},
    {"pid", 0, single, "string", "PID namespace to use"},
    {"pids-limit", 0, single, "int", "Limit of processes, -1 = unlimited", check_int},
    {"platform", 0, single, "string", "Platform of the image"},
    {"privileged", 0, boolean, "", "Give extended privileges"},
    {"publish", 'p', list, "list", "Publish ports on the host"},
    {"publish-all", 'P', boolean, "", "Publish all exposed ports on random ports"},
    {"pull", 0, single, "string", "Pull the image before (\"always\", \"missing\", \"never\")"},
    {"quiet", 'q', boolean, "", "Do not show the pull"},
    {"read-only", 0, boolean, "", "Mount the root file system read-only"},
    {"restart", 0, single, "string", "Restart policy"},
    {"rm", 0, boolean, "", "Remove the container and its anonymous volumes when it exits"},
    {"runtime", 0, single, "string", "Runtime to use"},
    {"security-opt", 0, list, "list", "Security options"},
    {"shm-size", 0, single, "bytes", "Size of /dev/shm", check_positive_bytes},
    {"sig-proxy", 0, boolean, "", "Forward received signals to the process"},
    {"stop-signal", 0, single, "string", "Signal that stops the container"},
    {"stop-timeout", 0, single, "int", "Seconds to wait before killing it", check_int},
    {"storage-opt", 0, list, "list", "Storage driver options"},
    {"sysctl", 0, list, "map", "Sysctl settings", check_sysctl},
    {"tmpfs", 0, list, "list", "Mount a tmpfs directory"},
    {"tty", 't', boolean, "", "Allocate a pseudo-TTY"},
    {"ulimit", 0, list, "ulimit", "Resource limits", check_ulimit},
    {"user", 'u', single, "string", "User name or UID (<name|uid>[:<group|gid>])"},
    {"userns", 0, single, "string", "User namespace to use"},
    {"uts", 0, single, "string", "UTS namespace to use"},
    {"volume", 'v', list, "list", "Bind mount a directory or a volume"},
    {"volume-driver", 0, single, "string", "Volume driver"},
    {"volumes-from", 0, list, "list", "Mount the volumes of other containers"},
    {"workdir", 'w', single, "string", "Working directory inside the container"},
};

std::vector<std::string> merged(const Arguments& arguments, std::string_view first, std::string_view second) {
  std::vector<std::string> out = arguments.list(first);
  for (std::string& value : arguments.list(second)) out.push_back(std::move(value));
  return out;
}

void set_list(std::optional<StringList>& target, std::vector<std::string> values) {
  if (!values.empty()) target = std::move(values);
}

template <typename Target, typename Parse>
void set_parsed(std::optional<std::vector<Target>>& target, const std::vector<std::string>& values, Parse parse) {
  if (values.empty()) return;
  target.emplace();
  for (const std::string& value : values) target->push_back(parse(value));
}

std::int64_t bytes(const Arguments& arguments, std::string_view name) {
  if (!arguments.has(name)) return 0;
  const std::string value = arguments.text(name);
  return value == "-1" ? -1 : parse_size_bytes(value);
}

std::int64_t duration_ns(const Arguments& arguments, std::string_view name) {
  if (!arguments.has(name)) return 0;
  const std::int64_t value = parse_go_duration(arguments.text(name)).value_or(std::chrono::nanoseconds{0}).count();
  if (value < 0) throw invalid_option("--", name, " cannot be negative");
  return value;
}

// ~/.docker/config.json may name proxies for all containers.
void add_proxies(const ConfigFile& config, std::vector<std::string>& environment) {
  const auto found = config.proxies.find("default");
  if (found == config.proxies.end()) return;
  const ProxySettings& proxies = found->second;
  const std::pair<std::string_view, const std::string*> rows[] = {{"HTTP_PROXY", &proxies.http},
                                                                  {"HTTPS_PROXY", &proxies.https},
                                                                  {"NO_PROXY", &proxies.no},
                                                                  {"FTP_PROXY", &proxies.ftp},
                                                                  {"ALL_PROXY", &proxies.all}};
  for (const auto& [name, value] : rows) {
    for (const std::string& key : {std::string(name), to_lower(name)}) {
      const bool given = std::any_of(environment.begin(), environment.end(), [&](const std::string& entry) {
        return entry == key || entry.starts_with(key + "=");
      });
      if (!value->empty() && !given) environment.push_back(concat(key, "=", *value));
    }
  }
}

void set_streams(const Arguments& arguments, api::ContainerConfig& config) {
  config.tty = arguments.enabled("tty");
  config.open_stdin = arguments.enabled("interactive");
  const std::vector<std::string> attach = arguments.list("attach");
  const auto wants = [&](std::string_view stream) {
    return std::any_of(attach.begin(), attach.end(), [&](const std::string& word) { return to_lower(word) == stream; });
  };
  config.attach_stdin = attach.empty() ? config.open_stdin : wants("stdin");
  config.attach_stdout = attach.empty() || wants("stdout");
  config.attach_stderr = attach.empty() || wants("stderr");
  config.stdin_once = config.open_stdin && config.attach_stdin;
}

void set_health(const Arguments& arguments, api::ContainerConfig& config) {
  api::HealthConfig health;
  const std::string command = arguments.text("health-cmd");
  health.interval_ns = duration_ns(arguments, "health-interval");
  health.timeout_ns = duration_ns(arguments, "health-timeout");
  health.start_period_ns = duration_ns(arguments, "health-start-period");
  health.start_interval_ns = duration_ns(arguments, "health-start-interval");
  health.retries = arguments.integer("health-retries");
  if (health.retries < 0) throw invalid_option("--health-retries cannot be negative");
  const bool any = !command.empty() || health.interval_ns != 0 || health.timeout_ns != 0 ||
                   health.start_period_ns != 0 || health.start_interval_ns != 0 || health.retries != 0;
  if (arguments.enabled("no-healthcheck")) {
    if (any) throw invalid_option("--no-healthcheck conflicts with --health-* options");
    health.test = {"NONE"};
    config.healthcheck = health;
  } else if (any) {
    if (!command.empty()) health.test = {"CMD-SHELL", command};
    config.healthcheck = health;
  }
}

void set_config(const Arguments& arguments, const ConfigFile& file, api::ContainerConfig& config) {
  config.image = arguments.positionals.at(0);
  if (arguments.positionals.size() > 1) {
    config.cmd = std::vector<std::string>(arguments.positionals.begin() + 1, arguments.positionals.end());
  }
  config.hostname = arguments.text("hostname");
  config.domainname = arguments.text("domainname");
  config.user = arguments.text("user");
  config.working_dir = arguments.text("workdir");
  config.stop_signal = arguments.text("stop-signal");
  config.mac_address = "";
  if (arguments.has("stop-timeout")) config.stop_timeout_s = arguments.integer("stop-timeout");
  if (arguments.has("entrypoint")) config.entrypoint = std::vector<std::string>{arguments.text("entrypoint")};

  std::vector<std::string> environment;
  for (const std::string& path : arguments.list("env-file")) {
    for (std::string& entry : read_environment_file(path)) environment.push_back(std::move(entry));
  }
  for (const std::string& entry : arguments.list("env")) environment.push_back(resolve_environment(entry));
  add_proxies(file, environment);
  set_list(config.env, std::move(environment));

  std::vector<std::string> labels;
  for (const std::string& path : arguments.list("label-file")) {
    for (std::string& label : read_label_file(path)) labels.push_back(std::move(label));
  }
  for (std::string& label : arguments.list("label")) labels.push_back(std::move(label));
  config.labels = to_map(labels);
  set_streams(arguments, config);
  set_health(arguments, config);
}

void set_resources(const Arguments& arguments, api::Resources& resources) {
  resources.cpu_shares = arguments.integer("cpu-shares");
  resources.memory_bytes = bytes(arguments, "memory");
  resources.memory_reservation_bytes = bytes(arguments, "memory-reservation");
  resources.memory_swap_bytes = bytes(arguments, "memory-swap");
  resources.kernel_memory_bytes = bytes(arguments, "kernel-memory");
  if (const std::int64_t value = arguments.integer("memory-swappiness", -1); value != -1) {
    if (value < 0 || value > 100) {
      throw invalid_option("invalid value: ", value, ". Valid memory swappiness range is 0-100");
    }
    resources.memory_swappiness = value;
  }
  if (arguments.has("cpus")) resources.nano_cpus = parse_cpus(arguments.text("cpus"));
  resources.cgroup_parent = arguments.text("cgroup-parent");
  resources.blkio_weight = static_cast<std::uint16_t>(arguments.integer("blkio-weight"));
  set_parsed(resources.blkio_weight_device, arguments.list("blkio-weight-device"), parse_weight);
  set_parsed(resources.blkio_device_read_bps, arguments.list("device-read-bps"), parse_throttle_bytes);
  set_parsed(resources.blkio_device_write_bps, arguments.list("device-write-bps"), parse_throttle_bytes);
  set_parsed(resources.blkio_device_read_iops, arguments.list("device-read-iops"), parse_throttle_operations);
  set_parsed(resources.blkio_device_write_iops, arguments.list("device-write-iops"), parse_throttle_operations);
  resources.cpu_period_us = arguments.integer("cpu-period");
  resources.cpu_quota_us = arguments.integer("cpu-quota");
  resources.cpu_realtime_period_us = arguments.integer("cpu-rt-period");
  resources.cpu_realtime_runtime_us = arguments.integer("cpu-rt-runtime");
  resources.cpuset_cpus = arguments.text("cpuset-cpus");
  resources.cpuset_mems = arguments.text("cpuset-mems");
  set_parsed(resources.devices, arguments.list("device"), parse_device);
  set_list(resources.device_cgroup_rules, arguments.list("device-cgroup-rule"));
  if (arguments.has("gpus")) resources.device_requests.emplace().push_back(parse_gpus(arguments.text("gpus")));
  if (arguments.has("oom-kill-disable")) resources.oom_kill_disable = arguments.enabled("oom-kill-disable");
  if (arguments.has("pids-limit")) resources.pids_limit = arguments.integer("pids-limit");
  set_parsed(resources.ulimits, arguments.list("ulimit"), parse_ulimit);
}

void check_namespace_mode(std::string_view flag, std::string_view kind, const std::string& value, bool may_join) {
  const bool joins = may_join && value.starts_with("container:") && value.size() > 10;
  const bool is_private = flag == "cgroupns" && value == "private";
  if (value.empty() || value == "host" || joins || is_private) return;
  throw invalid_option("--", flag, ": invalid ", kind, " mode");
}

void set_namespaces(const Arguments& arguments, api::HostConfig& host) {
  host.ipc_mode = arguments.text("ipc");
  host.pid_mode = arguments.text("pid");
  host.uts_mode = arguments.text("uts");
  host.userns_mode = arguments.text("userns");
  host.cgroupns_mode = arguments.text("cgroupns");
  check_namespace_mode("pid", "PID", host.pid_mode, true);
  check_namespace_mode("uts", "UTS", host.uts_mode, false);
  check_namespace_mode("userns", "USER", host.userns_mode, false);
  check_namespace_mode("cgroupns", "CGROUP", host.cgroupns_mode, false);
}

bool is_user_defined(std::string_view network) {
  return !network.empty() && network != "default" && network != "bridge" && network != "host" && network != "none" &&
         !network.starts_with("container:");
}

// What --ip, --network-alias and so on say belongs to the first network.
void add_endpoint_flags(const Arguments& arguments, NetworkOption& network) {
  const auto ipam = [&]() -> api::EndpointIpamConfig& {
    return network.endpoint.ipam_config ? *network.endpoint.ipam_config : network.endpoint.ipam_config.emplace();
  };
  std::vector<std::string> aliases = merged(arguments, "network-alias", "net-alias");
  if (!aliases.empty()) {
    if (network.endpoint.aliases)
      throw invalid_option("conflicting options: cannot specify both --network-alias and per-network alias");
    network.endpoint.aliases = std::move(aliases);
  }
  if (network.endpoint.aliases && !is_user_defined(network.target)) {
    throw invalid_option("network-scoped aliases are only supported for user-defined networks");
  }
  if (arguments.has("ip")) ipam().ipv4_address = arguments.text("ip");
  if (arguments.has("ip6")) ipam().ipv6_address = arguments.text("ip6");
  for (const std::string& address : arguments.list("link-local-ip")) ipam().link_local_ips.push_back(address);
  if (const std::string mac = arguments.text("mac-address"); !mac.empty()) {
    if (!is_mac_address(mac)) throw invalid_option(mac, " is not a valid mac address");
    network.endpoint.mac_address = mac;
  }
}

void set_network(const Arguments& arguments, api::ContainerCreateRequest& request) {
  std::vector<std::string> names = merged(arguments, "network", "net");
  if (names.empty()) names.emplace_back("default");
  for (std::size_t at = 0; at < names.size(); ++at) {
    NetworkOption network = parse_network(names[at]);
    if (at == 0) {
      add_endpoint_flags(arguments, network);
      request.host_config.network_mode = network.target;
      request.mac_address = network.endpoint.mac_address;
    }
    if (!request.networking_config.endpoints_config.emplace(network.target, network.endpoint).second) {
      throw invalid_option("network \"", network.target, "\" is specified multiple times");
    }
  }
  // An entry that says nothing costs parsing and tells nothing: NetworkMode names the network.
  if (names.size() == 1) {
    const api::EndpointSettings& only = request.networking_config.endpoints_config.begin()->second;
    const bool says_nothing = !only.ipam_config && !only.aliases && !only.driver_opts && only.mac_address.empty() &&
                              only.gateway_priority == 0;
    if (says_nothing) request.networking_config.endpoints_config.clear();
  }
  for (const std::string& port : arguments.list("publish")) {
    add_published(port, request.host_config.port_bindings, request.exposed_ports);
  }
  for (const std::string& port : arguments.list("expose")) add_exposed(port, request.exposed_ports);
  api::HostConfig& host = request.host_config;
  host.publish_all_ports = arguments.enabled("publish-all");
  set_list(host.dns, arguments.list("dns"));
  set_list(host.dns_search, arguments.list("dns-search"));
  set_list(host.dns_options, merged(arguments, "dns-option", "dns-opt"));
  set_parsed(host.extra_hosts, arguments.list("add-host"), parse_extra_host);
  set_list(host.links, arguments.list("link"));
}

void set_mounts(const Arguments& arguments, api::ContainerCreateRequest& request) {
  std::vector<std::string> binds;
  api::NameSet volumes;
  for (const std::string& volume : arguments.list("volume")) add_volume(volume, binds, volumes);
  api::HostConfig& host = request.host_config;
  set_list(host.binds, std::move(binds));
  if (!volumes.empty()) request.volumes = std::move(volumes);
  for (const std::string& mount : arguments.list("mount")) host.mounts.push_back(parse_mount(mount));
  for (const std::string& tmpfs : arguments.list("tmpfs")) {
    const std::size_t colon = tmpfs.find(':');
    host.tmpfs[tmpfs.substr(0, colon)] = colon == std::string::npos ? "" : tmpfs.substr(colon + 1);
  }
  set_list(host.volumes_from, arguments.list("volumes-from"));
  host.volume_driver = arguments.text("volume-driver");
}

void set_host(const Arguments& arguments, api::HostConfig& host) {
  host.container_id_file = arguments.text("cidfile");
  host.log_config.type = arguments.text("log-driver");
  host.log_config.config = to_map(arguments.list("log-opt"));
  if (host.log_config.type == "none" && !host.log_config.config.empty()) {
    throw invalid_option("invalid logging opts for driver none");
  }
  host.health_on_failure = arguments.text("health-on-failure");
  host.restart_policy = parse_restart_policy(arguments.text("restart", "no"));
  host.auto_remove = arguments.enabled("rm");
  const std::string& policy = host.restart_policy.name;
  if (host.auto_remove && policy != "no" && !policy.empty()) {
    throw invalid_option("conflicting options: cannot specify both --restart and --rm");
  }
  host.annotations = to_map(arguments.list("annotation"));
  host.sysctls = to_map(arguments.list("sysctl"));
  for (const std::string& option : arguments.list("storage-opt")) {
    if (option.find('=') == std::string::npos) throw invalid_option("invalid storage option");
  }
  host.storage_opt = to_map(arguments.list("storage-opt"));
  apply_capabilities(arguments.list("cap-add"), arguments.list("cap-drop"), host);
  apply_security_options(arguments.list("security-opt"), host);
  set_list(host.group_add, arguments.list("group-add"));
  host.oom_score_adj = arguments.integer("oom-score-adj");
  host.privileged = arguments.enabled("privileged");
  host.readonly_rootfs = arguments.enabled("read-only");
  host.shm_size_bytes = bytes(arguments, "shm-size");
  host.runtime = arguments.text("runtime");
  host.isolation = arguments.text("isolation");
  if (arguments.has("init")) host.init = arguments.enabled("init");
}

}  // namespace

std::span<const Flag> container_flags() { return flags; }

api::ContainerCreateRequest make_create_request(const Arguments& arguments, const ConfigFile& config) {
  api::ContainerCreateRequest request;
  set_config(arguments, config, request);
  set_namespaces(arguments, request.host_config);
  set_host(arguments, request.host_config);
  set_resources(arguments, request.host_config);
  set_mounts(arguments, request);
  set_network(arguments, request);
  if (request.tty) {
    if (const auto size = terminal_size(STDOUT_FILENO)) request.host_config.console_size = {size->height, size->width};
  }
  return request;
}

}  // namespace mydocker::cli
