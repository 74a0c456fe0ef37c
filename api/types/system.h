#pragma once

#include "api/types/container.h"
#include "api/types/image.h"
#include "api/types/json.h"
#include "api/types/volume.h"

/// version, info, df, auth on the wire (Engine API v1.51; WIRE 22, 28).
namespace mydocker::api {

/// What we advertise (WIRE 1.1) and the oldest dialect we serve.
inline constexpr std::string_view max_api_version = "1.51";
inline constexpr std::string_view min_api_version = "1.24";
/// Clients parse it as NN.N.N: the Docker Engine whose dialect this is.
inline constexpr std::string_view server_version = "28.5.0";

struct PlatformName {
  std::string name;

  static constexpr auto json_fields() { return std::tuple(field("Name", &PlatformName::name)); }
};

struct Component {
  std::string name;
  std::string version;
  StringMap details;

  static constexpr auto json_fields() {
    return std::tuple(field("Name", &Component::name), field("Version", &Component::version),
                      field_omit_empty("Details", &Component::details));
  }
};

/// GET /version.
struct Version {
  PlatformName platform;
  std::vector<Component> components;
  std::string version;
  std::string api_version;
  std::string min_api_version;
  std::string git_commit;
  std::string go_version;
  std::string os;
  std::string arch;
  std::string kernel_version;
  bool experimental = false;
  std::string build_time;

  static constexpr auto json_fields() {
    using T = Version;
    return std::tuple(field("Platform", &T::platform), field("Components", &T::components),
                      field("Version", &T::version), field("ApiVersion", &T::api_version),
                      field("MinAPIVersion", &T::min_api_version), field("GitCommit", &T::git_commit),
                      field("GoVersion", &T::go_version), field("Os", &T::os), field("Arch", &T::arch),
                      field("KernelVersion", &T::kernel_version), field_omit_empty("Experimental", &T::experimental),
                      field("BuildTime", &T::build_time));
  }
};

struct PluginsInfo {
  std::optional<StringList> volume;
  std::optional<StringList> network;
  std::optional<StringList> authorization;
  std::optional<StringList> log;

  static constexpr auto json_fields() {
    return std::tuple(field("Volume", &PluginsInfo::volume), field("Network", &PluginsInfo::network),
                      field("Authorization", &PluginsInfo::authorization), field("Log", &PluginsInfo::log));
  }
};

struct IndexInfo {
  std::string name;
  StringList mirrors;
  bool secure = true;
  bool official = false;

  static constexpr auto json_fields() {
    return std::tuple(field("Name", &IndexInfo::name), field("Mirrors", &IndexInfo::mirrors),
                      field("Secure", &IndexInfo::secure), field("Official", &IndexInfo::official));
  }
};

struct RegistryConfig {
  StringList insecure_registry_cidrs;
  std::map<std::string, IndexInfo> index_configs;
  StringList mirrors;

  static constexpr auto json_fields() {
    using T = RegistryConfig;
    return std::tuple(field("InsecureRegistryCIDRs", &T::insecure_registry_cidrs),
                      field("IndexConfigs", &T::index_configs), field("Mirrors", &T::mirrors));
  }
};

struct RuntimeInfo {
  std::string path;
  StringList runtime_args;

  static constexpr auto json_fields() {
    return std::tuple(field("path", &RuntimeInfo::path), field_omit_empty("runtimeArgs", &RuntimeInfo::runtime_args));
  }
};

struct SwarmInfo {
  std::string node_id;
  std::string node_addr;
  std::string local_node_state = "inactive";
  bool control_available = false;
  std::string error;
  std::optional<StringList> remote_managers;

  static constexpr auto json_fields() {
    using T = SwarmInfo;
    return std::tuple(field("NodeID", &T::node_id), field("NodeAddr", &T::node_addr),
                      field("LocalNodeState", &T::local_node_state), field("ControlAvailable", &T::control_available),
                      field("Error", &T::error), field("RemoteManagers", &T::remote_managers));
  }
};

struct Commit {
  std::string id;
  std::optional<std::string> expected;  ///< below 1.49 only

  static constexpr auto json_fields() {
    return std::tuple(field("ID", &Commit::id), field_omit_empty("Expected", &Commit::expected));
  }
};

struct AddressPool {
  std::string base;
  std::int64_t size = 0;

  static constexpr auto json_fields() {
    return std::tuple(field("Base", &AddressPool::base), field("Size", &AddressPool::size));
  }
};

struct FirewallInfo {
  std::string driver;

  static constexpr auto json_fields() { return std::tuple(field("Driver", &FirewallInfo::driver)); }
};

/// GET /info.
struct Info {
  std::string id;  ///< stable across restarts
  std::int64_t containers = 0;
  std::int64_t containers_running = 0;
  std::int64_t containers_paused = 0;
  std::int64_t containers_stopped = 0;
  std::int64_t images = 0;
  std::string driver;
  std::vector<StringList> driver_status;  ///< pairs
  PluginsInfo plugins;
  bool memory_limit = false;
  bool swap_limit = false;
  bool cpu_cfs_period = false;
  bool cpu_cfs_quota = false;
  bool cpu_shares = false;
  bool cpu_set = false;
  bool pids_limit = false;
  bool ipv4_forwarding = false;
  bool debug = false;
  std::int64_t file_descriptors = 0;
  bool oom_kill_disable = false;
  std::int64_t goroutines = 0;  ///< our threads
  std::string system_time;      ///< RFC 3339
  std::string logging_driver;
  std::string cgroup_driver;
  std::string cgroup_version;
  std::int64_t event_listeners = 0;
  std::string kernel_version;
  std::string operating_system;
  std::string os_version;
  std::string os_type;
  std::string architecture;  ///< uname naming: x86_64
  std::string index_server_address;
  RegistryConfig registry_config;
  std::int64_t cpus = 0;
  std::int64_t memory_bytes = 0;
  std::optional<StringList> generic_resources;
  std::string docker_root_dir;
  std::string http_proxy;
  std::string https_proxy;
  std::string no_proxy;
  std::string name;
  StringList labels;
  bool experimental_build = false;
  std::string server_version;
  std::map<std::string, RuntimeInfo> runtimes;
  std::string default_runtime;
  SwarmInfo swarm;
  bool live_restore_enabled = true;
  std::string isolation;
  std::string init_binary;
  Commit containerd_commit;
  Commit runc_commit;
  Commit init_commit;
  StringList security_options;  ///< "name=seccomp,profile=builtin"
  std::vector<AddressPool> default_address_pools;
  std::optional<FirewallInfo> firewall_backend;  ///< from 1.49
  std::optional<bool> bridge_nf_iptables;        ///< below 1.50
  std::optional<bool> bridge_nf_ip6tables;       ///< below 1.50
  StringList cdi_spec_dirs;
  std::optional<StringList> warnings;

  static constexpr auto json_fields() {
    using T = Info;
    return std::tuple_cat(
        std::tuple(
            field("ID", &T::id), field("Containers", &T::containers),
            field("ContainersRunning", &T::containers_running), field("ContainersPaused", &T::containers_paused),
            field("ContainersStopped", &T::containers_stopped), field("Images", &T::images),
            field("Driver", &T::driver), field("DriverStatus", &T::driver_status), field("Plugins", &T::plugins),
            field("MemoryLimit", &T::memory_limit), field("SwapLimit", &T::swap_limit),
            field("CpuCfsPeriod", &T::cpu_cfs_period), field("CpuCfsQuota", &T::cpu_cfs_quota),
            field("CPUShares", &T::cpu_shares), field("CPUSet", &T::cpu_set), field("PidsLimit", &T::pids_limit),
            field("IPv4Forwarding", &T::ipv4_forwarding), field_omit_empty("BridgeNfIptables", &T::bridge_nf_iptables),
            field_omit_empty("BridgeNfIp6tables", &T::bridge_nf_ip6tables), field("Debug", &T::debug),
            field("NFd", &T::file_descriptors), field("OomKillDisable", &T::oom_kill_disable),
            field("NGoroutines", &T::goroutines), field("SystemTime", &T::system_time),
            field("LoggingDriver", &T::logging_driver), field("CgroupDriver", &T::cgroup_driver),
            field("CgroupVersion", &T::cgroup_version), field("NEventsListener", &T::event_listeners),
            field("KernelVersion", &T::kernel_version), field("OperatingSystem", &T::operating_system),
            field("OSVersion", &T::os_version), field("OSType", &T::os_type), field("Architecture", &T::architecture),
            field("IndexServerAddress", &T::index_server_address), field("RegistryConfig", &T::registry_config)),
        std::tuple(field("NCPU", &T::cpus), field("MemTotal", &T::memory_bytes),
                   field("GenericResources", &T::generic_resources), field("DockerRootDir", &T::docker_root_dir),
                   field("HttpProxy", &T::http_proxy), field("HttpsProxy", &T::https_proxy),
                   field("NoProxy", &T::no_proxy), field("Name", &T::name), field("Labels", &T::labels),
                   field("ExperimentalBuild", &T::experimental_build), field("ServerVersion", &T::server_version),
                   field("Runtimes", &T::runtimes), field("DefaultRuntime", &T::default_runtime),
                   field("Swarm", &T::swarm), field("LiveRestoreEnabled", &T::live_restore_enabled),
                   field("Isolation", &T::isolation), field("InitBinary", &T::init_binary),
                   field("ContainerdCommit", &T::containerd_commit), field("RuncCommit", &T::runc_commit),
                   field("InitCommit", &T::init_commit), field("SecurityOptions", &T::security_options),
                   field_omit_empty("DefaultAddressPools", &T::default_address_pools),
                   field_omit_empty("FirewallBackend", &T::firewall_backend),
                   field_omit_empty("CDISpecDirs", &T::cdi_spec_dirs), field("Warnings", &T::warnings)));
  }
};

/// GET /system/df (up to 1.51). A list that `type` did not ask for is null.
struct DiskUsage {
  std::int64_t layers_size_bytes = 0;
  std::optional<std::vector<ImageSummary>> images;
  std::optional<std::vector<ContainerSummary>> containers;
  std::optional<std::vector<Volume>> volumes;
  std::optional<std::vector<EmptyObject>> build_cache;  ///< the classic builder keeps none: []
  std::int64_t builder_size_bytes = 0;

  static constexpr auto json_fields() {
    using T = DiskUsage;
    return std::tuple(field("LayersSize", &T::layers_size_bytes), field("Images", &T::images),
                      field("Containers", &T::containers), field("Volumes", &T::volumes),
                      field("BuildCache", &T::build_cache), field("BuilderSize", &T::builder_size_bytes));
  }
};

/// The body of POST /auth, and what X-Registry-Auth carries (WIRE 22). Never logged.
struct AuthConfig {
  std::string username;
  std::string password;
  std::string auth;
  std::string email;
  std::string server_address;
  std::string identity_token;  ///< OAuth2 refresh token
  std::string registry_token;  ///< bearer token, sent as it is

  static constexpr auto json_fields() {
    using T = AuthConfig;
    return std::tuple(field_omit_empty("username", &T::username), field_omit_empty("password", &T::password),
                      field_omit_empty("auth", &T::auth), field_omit_empty("email", &T::email),
                      field_omit_empty("serveraddress", &T::server_address),
                      field_omit_empty("identitytoken", &T::identity_token),
                      field_omit_empty("registrytoken", &T::registry_token));
  }
};

struct AuthResponse {
  std::string status;
  std::string identity_token;

  static constexpr auto json_fields() {
    return std::tuple(field("Status", &AuthResponse::status), field("IdentityToken", &AuthResponse::identity_token));
  }
};

}  // namespace mydocker::api
