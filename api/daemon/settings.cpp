#include "api/daemon/settings.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "api/types/system.h"
#include "engine/base/error.h"

namespace mydocker::daemon {
namespace {

[[noreturn]] void refuse(const std::string& why) { throw Error(ErrorKind::invalid_argument, why); }

bool to_bool(const std::string& value) {
  if (value == "true" || value == "1" || value == "t" || value == "T" || value == "TRUE" || value == "True")
    return true;
  if (value == "false" || value == "0" || value == "f" || value == "F" || value == "FALSE" || value == "False") {
    return false;
  }
  refuse(concat("\"", value, "\" is neither true nor false"));
}

std::int64_t to_number(const std::string& value, std::int64_t low, std::int64_t high) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (value.empty() || error != std::errc{} || end != value.data() + value.size() || number < low || number > high) {
    refuse(concat("\"", value, "\" is not a number from ", low, " to ", high));
  }
  return number;
}

/// "64m", "1g", "67108864".
std::int64_t to_bytes(const std::string& value) {
  std::string digits = value;
  if (digits.size() > 1 && (digits.back() == 'b' || digits.back() == 'B')) digits.pop_back();
  std::int64_t factor = 1;
  if (!digits.empty()) {
    switch (digits.back() | 0x20) {
      case 'k':
        factor = std::int64_t{1} << 10;
        break;
      case 'm':
        factor = std::int64_t{1} << 20;
        break;
      case 'g':
        factor = std::int64_t{1} << 30;
        break;
      default:
        break;
    }
    if (factor > 1) digits.pop_back();
  }
  return to_number(digits, 1, std::int64_t{1} << 32) * factor;
}

std::string to_absolute_path(const std::string& value) {
  if (!value.starts_with('/')) refuse(concat("\"", value, "\" is not an absolute path"));
  std::string path = value;
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

std::string to_address(const std::string& value) {
  in_addr ipv4{};
  in6_addr ipv6{};
  if (::inet_pton(AF_INET, value.c_str(), &ipv4) != 1 && ::inet_pton(AF_INET6, value.c_str(), &ipv6) != 1) {
    refuse(concat(value, " is not an ip address"));
  }
  return value;
}

std::pair<std::string, std::string> to_pair(const std::string& value) {
  const std::size_t equals = value.find('=');
  if (equals == std::string::npos || equals == 0) refuse(concat("\"", value, "\" is not of the form name=value"));
  return {value.substr(0, equals), value.substr(equals + 1)};
}

// --- one function a setting ----------------------------------------------------------------------------------------

void set_host(Config& config, const std::string& value) {
  if (value.starts_with("unix://")) {
    if (!value.substr(7).starts_with('/')) refuse(concat("\"", value, "\": the socket needs an absolute path"));
  } else if (!value.starts_with("fd://") && !value.starts_with("tcp://")) {
    refuse(concat("invalid bind address (", value, "): must be unix:///path, tcp://host:port or fd://"));
  }
  config.hosts.push_back(value);
}

void set_group(Config& config, const std::string& value) {
  config.group = value;
  config.group_was_set = true;
}

void set_log_level(Config& config, const std::string& value) { config.log_level = log::parse_level(value); }

void set_debug(Config& config, const std::string& value) {
  config.engine.debug = to_bool(value);
  if (config.engine.debug) config.log_level = log::Level::debug;
}

void set_config_file(Config& config, const std::string& value) {
  config.config_file = value;
  config.config_file_was_set = true;
}

void set_bip(Config& config, const std::string& value) {
  const std::size_t slash = value.find('/');
  if (slash == std::string::npos) refuse(concat("invalid CIDR address: ", value));
  to_address(value.substr(0, slash));
  to_number(value.substr(slash + 1), 1, 30);
  config.engine.bridge_ip = value;
}

/// "base=172.80.0.0/16,size=24".
void add_address_pool(Config& config, const std::string& value) {
  bool has_base = false;
  bool has_size = false;
  for (std::size_t begin = 0; begin <= value.size();) {
    const std::size_t end = std::min(value.find(',', begin), value.size());
    const auto [key, text] = to_pair(value.substr(begin, end - begin));
    if (key == "base") {
      has_base = true;
      to_address(text.substr(0, text.find('/')));
    } else if (key == "size") {
      has_size = true;
      to_number(text, 1, 32);
    } else {
      refuse(concat("unexpected key '", key, "' in '", value, "'"));
    }
    begin = end + 1;
  }
  if (!has_base || !has_size) refuse(concat("invalid pool '", value, "': needs base and size"));
  config.engine.default_address_pools.push_back(value);
}

void set_cgroup_driver(Config& config, const std::string& value) {
  if (value != "cgroupfs" && value != "systemd") {
    refuse(concat("native.cgroupdriver option ", value, " not supported: use cgroupfs or systemd"));
  }
  config.engine.cgroup_driver = value;
}

void add_exec_option(Config& config, const std::string& value) {
  const auto [key, text] = to_pair(value);
  if (key != "native.cgroupdriver") refuse(concat("Unknown option: \"", key, "\""));
  set_cgroup_driver(config, text);
}

/// "crun=/usr/bin/crun"; from the configuration file "crun={"path": ..., "runtimeArgs": [...]}".
void add_runtime(Config& config, const std::string& value) {
  const auto [name, text] = to_pair(value);
  if (name == "mydocker") refuse("runtime name 'mydocker' is reserved");
  engine::OciRuntime runtime;
  if (text.starts_with('{')) {
    const auto given = from_json<api::RuntimeInfo>(parse_json(text), name);
    if (given.path.empty())
      refuse(concat("runtime '", name, "' needs a path: runtime types of containerd are not known"));
    runtime = {.path = given.path, .arguments = given.runtime_args};
  } else {
    runtime.path = text;
  }
  if (config.engine.runtimes.contains(name)) refuse(concat("runtime '", name, "' was already registered"));
  config.engine.runtimes[name] = std::move(runtime);
}

/// "nofile=1024:2048", "nofile=1024".
void add_ulimit(Config& config, const std::string& value) {
  const auto [name, limits] = to_pair(value);
  const std::size_t colon = limits.find(':');
  const std::int64_t soft = to_number(limits.substr(0, colon), -1, INT64_MAX);
  const std::int64_t hard = colon == std::string::npos ? soft : to_number(limits.substr(colon + 1), -1, INT64_MAX);
  if (hard != -1 && (soft == -1 || soft > hard)) {
    refuse(concat("ulimit soft limit must be less than or equal to hard limit: ", soft, " > ", hard));
  }
  config.engine.default_ulimits[name] = {soft, hard};
}

/// Docker takes host:port; a scheme in front would be taken for a host's name.
void set_metrics_address(Config& config, const std::string& value) {
  const std::size_t colon = value.rfind(':');
  if (colon == std::string::npos || value.find("://") != std::string::npos) {
    refuse(concat("\"", value, "\" is not of the form address:port"));
  }
  to_number(value.substr(colon + 1), 1, 65535);
  config.metrics_address = value;
}

void set_log_driver(Config& config, const std::string& value) { config.engine.log_driver = value; }

void add_log_option(Config& config, const std::string& value) {
  const auto [key, text] = to_pair(value);
  config.engine.log_options[key] = text;
}

void set_shutdown_timeout(Config& config, const std::string& value) {
  config.engine.shutdown_timeout_seconds = static_cast<int>(to_number(value, -1, 3600));
}

void add_label(Config& config, const std::string& value) {
  to_pair(value);
  config.engine.labels.push_back(value);
}

void set_downloads(Config& config, const std::string& value) {
  config.engine.max_concurrent_downloads = static_cast<int>(to_number(value, 1, 64));
}

/// For settings of which this engine knows one value alone.
template <const char* only>
void require(Config&, const std::string& value) {
  if (value != only) refuse(concat("\"", value, "\" is not supported: this engine knows \"", only, "\" only"));
}
constexpr char yes[] = "true";
constexpr char no[] = "false";
constexpr char overlay2[] = "overlay2";

void set_tls_verify(Config& config, const std::string& value) { config.tls_verify = to_bool(value); }

/// Docker's --tls without --tlsverify lets anyone in who reaches the port: there is no such mode here.
void set_tls(Config&, const std::string& value) { to_bool(value); }

void add_feature(Config& config, const std::string& value) {
  const auto [name, text] = to_pair(value);
  config.engine.features[name] = to_bool(text);
}

void ignore_boolean(Config&, const std::string& value) { to_bool(value); }

void refuse_unbuilt(Config&, const std::string&) { refuse("is not implemented yet"); }

constexpr Setting settings[] = {
    {"add-runtime", 0, "runtimes", Takes::many, add_runtime, "Register an OCI runtime: name=path"},
    {"bip", 0, "bip", Takes::one, set_bip, "Address of the default bridge: 172.17.0.1/16"},
    {"bridge", 'b', "bridge", Takes::one,
     [](Config& config, const std::string& value) { config.engine.bridge = value; }, "Name of the default bridge"},
    {"cgroup-parent", 0, "cgroup-parent", Takes::one,
     [](Config& config, const std::string& value) { config.engine.cgroup_parent = value; },
     "Parent cgroup of all containers: a path, or a slice of systemd"},
    {"config-file", 0, "", Takes::one, set_config_file, "Configuration file (default /etc/mydocker/daemon.json)"},
    {"data-root", 0, "data-root", Takes::one,
     [](Config& config, const std::string& value) { config.engine.data_root = to_absolute_path(value); },
     "Root directory of persistent state (default /var/lib/mydocker)"},
    {"debug", 'D', "debug", Takes::boolean, set_debug, "Log at debug level"},
    {"default-address-pool", 0, "default-address-pools", Takes::many, add_address_pool,
     "Address pool of networks: base=172.80.0.0/16,size=24"},
    {"default-runtime", 0, "default-runtime", Takes::one,
     [](Config& config, const std::string& value) { config.engine.default_runtime = value; },
     "OCI runtime of containers"},
    {"default-shm-size", 0, "default-shm-size", Takes::one,
     [](Config& config, const std::string& value) { config.engine.default_shm_size_bytes = to_bytes(value); },
     "Size of /dev/shm (default 64m)"},
    {"default-ulimit", 0, "default-ulimits", Takes::many, add_ulimit, "Limit of containers: name=soft:hard"},
    {"dns", 0, "dns", Takes::many,
     [](Config& config, const std::string& value) { config.engine.dns.push_back(to_address(value)); },
     "DNS server of containers"},
    {"dns-opt", 0, "dns-opts", Takes::many,
     [](Config& config, const std::string& value) { config.engine.dns_options.push_back(value); }, "DNS option"},
    {"dns-search", 0, "dns-search", Takes::many,
     [](Config& config, const std::string& value) { config.engine.dns_search.push_back(value); }, "DNS search domain"},
    {"exec-opt", 0, "exec-opts", Takes::many, add_exec_option,
     "Runtime option: native.cgroupdriver=cgroupfs or systemd"},
    {"exec-root", 0, "exec-root", Takes::one,
     [](Config& config, const std::string& value) { config.engine.exec_root = to_absolute_path(value); },
     "Root directory of run-time state (default /run/mydocker)"},
    {"feature", 0, "features", Takes::many, add_feature,
     "Feature switch: name=true; shown by a reload, changes nothing"},
    {"group", 'G', "group", Takes::one, set_group, "Group that may use the socket (default docker)"},
    {"help", 0, "", Takes::boolean, [](Config& config, const std::string& value) { config.show_help = to_bool(value); },
     "Print this text"},
    {"host", 'H', "hosts", Takes::many, set_host,
     "Socket to listen on: unix:///path, tcp://host:port with --tlsverify, fd://"},
    {"icc", 0, "icc", Takes::boolean,
     [](Config& config, const std::string& value) { config.engine.icc = to_bool(value); },
     "Containers of the default bridge reach each other (default true)"},
    {"init", 0, "init", Takes::boolean,
     [](Config& config, const std::string& value) { config.engine.init = to_bool(value); },
     "Run an init as PID 1 of each container"},
    {"insecure-registry", 0, "insecure-registries", Takes::many,
     [](Config& config, const std::string& value) { config.engine.insecure_registries.push_back(value); },
     "Registry that may speak plain HTTP"},
    {"ip", 0, "ip", Takes::one,
     [](Config& config, const std::string& value) { config.engine.default_host_ip = to_address(value); },
     "Host address of published ports (default 0.0.0.0)"},
    {"ip-forward", 0, "ip-forward", Takes::boolean, require<yes>, "Forwarding of our bridges: true only"},
    {"ip-masq", 0, "ip-masq", Takes::boolean,
     [](Config& config, const std::string& value) { config.engine.ip_masquerade = to_bool(value); },
     "Masquerade what leaves the bridge (default true)"},
    {"ip6tables", 0, "ip6tables", Takes::boolean, ignore_boolean, "Accepted; the engine has nftables rules of its own"},
    {"iptables", 0, "iptables", Takes::boolean, require<yes>, "Firewall rules of the engine: true only"},
    {"ipv6", 0, "ipv6", Takes::boolean, require<no>, "IPv6 on the default bridge: false only"},
    {"label", 0, "labels", Takes::many, add_label, "Label of this engine: key=value"},
    {"live-restore", 0, "live-restore", Takes::boolean, require<yes>, "Containers outlive the engine: true only"},
    {"log-driver", 0, "log-driver", Takes::one, set_log_driver, "Log driver of containers (default json-file)"},
    {"log-level", 'l', "log-level", Takes::one, set_log_level, "debug, info, warn, error, fatal (default info)"},
    {"log-opt", 0, "log-opts", Takes::many, add_log_option, "Option of the log driver: name=value"},
    {"max-concurrent-downloads", 0, "max-concurrent-downloads", Takes::one, set_downloads,
     "Layers that a pull fetches at once (default 3)"},
    {"max-concurrent-uploads", 0, "max-concurrent-uploads", Takes::one,
     [](Config& config, const std::string& value) {
       config.engine.max_concurrent_uploads = static_cast<int>(to_number(value, 1, 64));
     },
     "Layers that a push sends at once (default 5)"},
    {"max-download-attempts", 0, "max-download-attempts", Takes::one,
     [](Config& config, const std::string& value) {
       config.engine.max_download_attempts = static_cast<int>(to_number(value, 1, 100));
     },
     "Attempts at each layer of a pull (default 5)"},
    {"metrics-addr", 0, "metrics-addr", Takes::one, set_metrics_address,
     "Serve GET /metrics, and nothing else, in plain HTTP: 127.0.0.1:9323"},
    {"mtu", 0, "mtu", Takes::one,
     [](Config& config, const std::string& value) {
       config.engine.mtu = static_cast<int>(to_number(value, 68, 65535));
     },
     "MTU of the default bridge (default 1500)"},
    {"no-new-privileges", 0, "no-new-privileges", Takes::boolean,
     [](Config& config, const std::string& value) { config.engine.no_new_privileges = to_bool(value); },
     "Containers gain no privileges by default"},
    {"pidfile", 'p', "pidfile", Takes::one,
     [](Config& config, const std::string& value) { config.pidfile = to_absolute_path(value); },
     "PID file (default <exec-root>/mydockerd.pid)"},
    {"registry-mirror", 0, "registry-mirrors", Takes::many,
     [](Config& config, const std::string& value) { config.engine.registry_mirrors.push_back(value); },
     "Mirror of Docker Hub"},
    {"seccomp-profile", 0, "seccomp-profile", Takes::one,
     [](Config& config, const std::string& value) { config.engine.seccomp_profile = value == "builtin" ? "" : value; },
     "Path of the default seccomp profile, \"unconfined\" or \"builtin\""},
    {"selinux-enabled", 0, "selinux-enabled", Takes::boolean, require<no>, "SELinux: false only"},
    {"shutdown-timeout", 0, "shutdown-timeout", Takes::one, set_shutdown_timeout,
     "Seconds that running calls get at the end (default 15)"},
    {"storage-driver", 's', "storage-driver", Takes::one, require<overlay2>, "Storage driver: overlay2"},
    {"tls", 0, "tls", Takes::boolean, set_tls, "Accepted; TCP needs --tlsverify"},
    {"tlscacert", 0, "tlscacert", Takes::one,
     [](Config& config, const std::string& value) { config.tls_ca = to_absolute_path(value); },
     "Authority of the clients' certificates (default /etc/mydocker/tls/ca.pem)"},
    {"tlscert", 0, "tlscert", Takes::one,
     [](Config& config, const std::string& value) { config.tls_certificate = to_absolute_path(value); },
     "Certificate of the engine (default /etc/mydocker/tls/cert.pem)"},
    {"tlskey", 0, "tlskey", Takes::one,
     [](Config& config, const std::string& value) { config.tls_key = to_absolute_path(value); },
     "Key of that certificate (default /etc/mydocker/tls/key.pem)"},
    {"tlsverify", 0, "tlsverify", Takes::boolean, set_tls_verify,
     "Serve TCP clients that show a certificate of the authority"},
    {"userland-proxy", 0, "userland-proxy", Takes::boolean, ignore_boolean, "Accepted; no proxy program exists"},
    {"userns-remap", 0, "userns-remap", Takes::one, refuse_unbuilt, "Not implemented yet"},
    {"validate", 0, "", Takes::boolean,
     [](Config& config, const std::string& value) { config.validate = to_bool(value); },
     "Check the configuration and exit"},
    {"version", 'v', "", Takes::boolean,
     [](Config& config, const std::string& value) { config.show_version = to_bool(value); }, "Print the version"},
};

}  // namespace

bool is_reloadable(std::string_view key) {
  static constexpr std::string_view keys[] = {"debug",
                                              "default-runtime",
                                              "default-shm-size",
                                              "features",
                                              "insecure-registries",
                                              "labels",
                                              "live-restore",
                                              "log-level",
                                              "max-concurrent-downloads",
                                              "max-concurrent-uploads",
                                              "max-download-attempts",
                                              "registry-mirrors",
                                              "runtimes",
                                              "shutdown-timeout"};
  return std::find(std::begin(keys), std::end(keys), key) != std::end(keys);
}

std::span<const Setting> all_settings() { return settings; }

}  // namespace mydocker::daemon
