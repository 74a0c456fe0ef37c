#pragma once

#include "api/types/endpoint.h"
#include "api/types/host_config.h"
#include "api/types/json.h"

/// Containers on the wire (Engine API v1.51; WIRE 10-16).
namespace mydocker::api {

/// Config.Healthcheck; durations in nanoseconds, 0 = default (WIRE 29).
struct HealthConfig {
  StringList test;  ///< empty = the image's
  std::int64_t interval_ns = 0;
  std::int64_t timeout_ns = 0;
  std::int64_t start_period_ns = 0;
  std::int64_t start_interval_ns = 0;
  std::int64_t retries = 0;

  static constexpr auto json_fields() {
    using T = HealthConfig;
    return std::tuple(field_omit_empty("Test", &T::test), field_omit_empty("Interval", &T::interval_ns),
                      field_omit_empty("Timeout", &T::timeout_ns), field_omit_empty("StartPeriod", &T::start_period_ns),
                      field_omit_empty("StartInterval", &T::start_interval_ns),
                      field_omit_empty("Retries", &T::retries));
  }
};

/// Config of ContainerCreate, ContainerInspect and commit (WIRE 12.1).
struct ContainerConfig {
  std::string hostname;
  std::string domainname;
  std::string user;
  bool attach_stdin = false;
  bool attach_stdout = false;
  bool attach_stderr = false;
  NameSet exposed_ports;
  bool tty = false;
  bool open_stdin = false;
  bool stdin_once = false;
  std::optional<StringList> env;
  std::optional<CommandLine> cmd;
  std::optional<HealthConfig> healthcheck;
  bool args_escaped = false;
  std::string image;
  std::optional<NameSet> volumes;
  std::string working_dir;
  std::optional<CommandLine> entrypoint;
  bool network_disabled = false;
  std::string mac_address;
  std::optional<StringList> on_build;
  StringMap labels;
  std::string stop_signal;
  std::optional<std::int64_t> stop_timeout_s;  ///< -1 = for ever
  CommandLine shell;

  static constexpr auto json_fields() {
    using T = ContainerConfig;
    return std::tuple(field("Hostname", &T::hostname), field("Domainname", &T::domainname), field("User", &T::user),
                      field("AttachStdin", &T::attach_stdin), field("AttachStdout", &T::attach_stdout),
                      field("AttachStderr", &T::attach_stderr), field_omit_empty("ExposedPorts", &T::exposed_ports),
                      field("Tty", &T::tty), field("OpenStdin", &T::open_stdin), field("StdinOnce", &T::stdin_once),
                      field("Env", &T::env), field("Cmd", &T::cmd), field_omit_empty("Healthcheck", &T::healthcheck),
                      field_omit_empty("ArgsEscaped", &T::args_escaped), field("Image", &T::image),
                      field("Volumes", &T::volumes), field("WorkingDir", &T::working_dir),
                      field("Entrypoint", &T::entrypoint), field_omit_empty("NetworkDisabled", &T::network_disabled),
                      field_omit_empty("MacAddress", &T::mac_address), field("OnBuild", &T::on_build),
                      field("Labels", &T::labels), field_omit_empty("StopSignal", &T::stop_signal),
                      field_omit_empty("StopTimeout", &T::stop_timeout_s), field_omit_empty("Shell", &T::shell));
  }
};

struct NetworkingConfig {
  EndpointMap endpoints_config;

  static constexpr auto json_fields() {
    return std::tuple(field("EndpointsConfig", &NetworkingConfig::endpoints_config));
  }
};

/// The body of POST /containers/create: Config's fields at the top level, and two objects beside them.
struct ContainerCreateRequest : ContainerConfig {
  HostConfig host_config;
  NetworkingConfig networking_config;

  static constexpr auto json_fields() {
    return std::tuple_cat(ContainerConfig::json_fields(),
                          std::tuple(field("HostConfig", &ContainerCreateRequest::host_config),
                                     field("NetworkingConfig", &ContainerCreateRequest::networking_config)));
  }
};

struct ContainerCreateResponse {
  std::string id;
  StringList warnings;

  static constexpr auto json_fields() {
    return std::tuple(field("Id", &ContainerCreateResponse::id), field("Warnings", &ContainerCreateResponse::warnings));
  }
};

struct HealthLogEntry {
  Timestamp start;
  Timestamp end;
  std::int64_t exit_code = 0;
  std::string output;

  static constexpr auto json_fields() {
    return std::tuple(field("Start", &HealthLogEntry::start), field("End", &HealthLogEntry::end),
                      field("ExitCode", &HealthLogEntry::exit_code), field("Output", &HealthLogEntry::output));
  }
};

struct Health {
  std::string status;  ///< starting, healthy, unhealthy
  std::int64_t failing_streak = 0;
  std::vector<HealthLogEntry> log;  ///< oldest first, at most 5

  static constexpr auto json_fields() {
    return std::tuple(field("Status", &Health::status), field("FailingStreak", &Health::failing_streak),
                      field("Log", &Health::log));
  }
};

/// State of ContainerInspect. The booleans are derived from the engine's one enum (STYLE 3.8).
struct ContainerState {
  std::string status;  ///< created running paused restarting removing exited dead
  bool running = false;
  bool paused = false;
  bool restarting = false;
  bool oom_killed = false;
  bool dead = false;
  std::int64_t pid = 0;
  std::int64_t exit_code = 0;
  std::string error;
  Timestamp started_at;
  Timestamp finished_at;
  std::optional<Health> health;

  static constexpr auto json_fields() {
    using T = ContainerState;
    return std::tuple(field("Status", &T::status), field("Running", &T::running), field("Paused", &T::paused),
                      field("Restarting", &T::restarting), field("OOMKilled", &T::oom_killed), field("Dead", &T::dead),
                      field("Pid", &T::pid), field("ExitCode", &T::exit_code), field("Error", &T::error),
                      field("StartedAt", &T::started_at), field("FinishedAt", &T::finished_at),
                      field_omit_empty("Health", &T::health));
  }
};

/// Mounts[] of inspect and list.
struct MountPoint {
  std::string type;
  std::string name;
  std::string source;
  std::string destination;
  std::string driver;
  std::string mode;
  bool read_write = true;
  std::string propagation;

  static constexpr auto json_fields() {
    using T = MountPoint;
    return std::tuple(field_omit_empty("Type", &T::type), field_omit_empty("Name", &T::name),
                      field("Source", &T::source), field("Destination", &T::destination),
                      field_omit_empty("Driver", &T::driver), field("Mode", &T::mode), field("RW", &T::read_write),
                      field("Propagation", &T::propagation));
  }
};

struct SecondaryAddress {
  std::string address;
  std::int64_t prefix_length = 0;

  static constexpr auto json_fields() {
    return std::tuple(field("Addr", &SecondaryAddress::address), field("PrefixLen", &SecondaryAddress::prefix_length));
  }
};

/// NetworkSettings of ContainerInspect. The address fields at this level mirror the default bridge's endpoint only.
struct NetworkSettings {
  std::string bridge;
  std::string sandbox_id;
  std::string sandbox_key;  ///< a path that open + setns work on while the container lives
  PortMap ports;
  bool hairpin_mode = false;
  std::string link_local_ipv6_address;
  std::int64_t link_local_ipv6_prefix_length = 0;
  std::optional<std::vector<SecondaryAddress>> secondary_ip_addresses;
  std::optional<std::vector<SecondaryAddress>> secondary_ipv6_addresses;
  std::string endpoint_id;
  std::string gateway;
  std::string global_ipv6_address;
  std::int64_t global_ipv6_prefix_length = 0;
  std::string ip_address;
  std::int64_t ip_prefix_length = 0;
  std::string ipv6_gateway;
  std::string mac_address;
  EndpointMap networks;

  static constexpr auto json_fields() {
    using T = NetworkSettings;
    return std::tuple(
        field("Bridge", &T::bridge), field("SandboxID", &T::sandbox_id), field("SandboxKey", &T::sandbox_key),
        field("Ports", &T::ports), field("HairpinMode", &T::hairpin_mode),
        field("LinkLocalIPv6Address", &T::link_local_ipv6_address),
        field("LinkLocalIPv6PrefixLen", &T::link_local_ipv6_prefix_length),
        field("SecondaryIPAddresses", &T::secondary_ip_addresses),
        field("SecondaryIPv6Addresses", &T::secondary_ipv6_addresses), field("EndpointID", &T::endpoint_id),
        field("Gateway", &T::gateway), field("GlobalIPv6Address", &T::global_ipv6_address),
        field("GlobalIPv6PrefixLen", &T::global_ipv6_prefix_length), field("IPAddress", &T::ip_address),
        field("IPPrefixLen", &T::ip_prefix_length), field("IPv6Gateway", &T::ipv6_gateway),
        field("MacAddress", &T::mac_address), field("Networks", &T::networks));
  }
};

struct GraphDriver {
  std::optional<StringMap> data;  ///< LowerDir, UpperDir, MergedDir, WorkDir
  std::string name;

  static constexpr auto json_fields() {
    return std::tuple(field("Data", &GraphDriver::data), field("Name", &GraphDriver::name));
  }
};

/// GET /containers/{id}/json (WIRE 14).
struct ContainerInspect {
  std::string id;
  Timestamp created;
  std::string path;
  StringList args;
  ContainerState state;
  std::string image;  ///< image ID; config.image is the reference as given
  std::string resolv_conf_path;
  std::string hostname_path;
  std::string hosts_path;
  std::string log_path;
  std::string name;  ///< with a leading slash
  std::int64_t restart_count = 0;
  std::string driver;
  std::string platform;
  std::string mount_label;
  std::string process_label;
  std::string app_armor_profile;
  std::optional<StringList> exec_ids;  ///< running ones; null when there are none
  HostConfig host_config;
  GraphDriver graph_driver;
  std::optional<std::int64_t> size_rw_bytes;  ///< both sizes only with ?size=1, then also when 0
  std::optional<std::int64_t> size_root_fs_bytes;
  std::vector<MountPoint> mounts;
  ContainerConfig config;
  NetworkSettings network_settings;

  static constexpr auto json_fields() {
    using T = ContainerInspect;
    return std::tuple(
        field("Id", &T::id), field("Created", &T::created), field("Path", &T::path), field("Args", &T::args),
        field("State", &T::state), field("Image", &T::image), field("ResolvConfPath", &T::resolv_conf_path),
        field("HostnamePath", &T::hostname_path), field("HostsPath", &T::hosts_path), field("LogPath", &T::log_path),
        field("Name", &T::name), field("RestartCount", &T::restart_count), field("Driver", &T::driver),
        field("Platform", &T::platform), field("MountLabel", &T::mount_label), field("ProcessLabel", &T::process_label),
        field("AppArmorProfile", &T::app_armor_profile), field("ExecIDs", &T::exec_ids),
        field("HostConfig", &T::host_config), field("GraphDriver", &T::graph_driver),
        field_omit_empty("SizeRw", &T::size_rw_bytes), field_omit_empty("SizeRootFs", &T::size_root_fs_bytes),
        field("Mounts", &T::mounts), field("Config", &T::config), field("NetworkSettings", &T::network_settings));
  }
};

/// Ports[] of the list.
struct Port {
  std::string ip;  ///< "" = not published
  std::uint16_t private_port = 0;
  std::uint16_t public_port = 0;
  std::string type;  ///< tcp, udp, sctp

  bool operator==(const Port&) const = default;
  static constexpr auto json_fields() {
    return std::tuple(field_omit_empty("IP", &Port::ip), field("PrivatePort", &Port::private_port),
                      field_omit_empty("PublicPort", &Port::public_port), field("Type", &Port::type));
  }
};

struct SummaryHostConfig {
  std::string network_mode;
  StringMap annotations;

  static constexpr auto json_fields() {
    return std::tuple(field_omit_empty("NetworkMode", &SummaryHostConfig::network_mode),
                      field_omit_empty("Annotations", &SummaryHostConfig::annotations));
  }
};

struct SummaryNetworkSettings {
  EndpointMap networks;

  static constexpr auto json_fields() { return std::tuple(field("Networks", &SummaryNetworkSettings::networks)); }
};

/// One element of GET /containers/json (WIRE 15).
struct ContainerSummary {
  std::string id;
  StringList names;  ///< with leading slashes
  std::string image;
  std::string image_id;
  std::string command;
  std::int64_t created_s = 0;
  std::vector<Port> ports;
  std::int64_t size_rw_bytes = 0;
  std::int64_t size_root_fs_bytes = 0;
  StringMap labels;
  std::string state;
  std::string status;
  SummaryHostConfig host_config;
  SummaryNetworkSettings network_settings;
  std::vector<MountPoint> mounts;

  static constexpr auto json_fields() {
    using T = ContainerSummary;
    return std::tuple(field("Id", &T::id), field("Names", &T::names), field("Image", &T::image),
                      field("ImageID", &T::image_id), field("Command", &T::command), field("Created", &T::created_s),
                      field("Ports", &T::ports), field_omit_empty("SizeRw", &T::size_rw_bytes),
                      field_omit_empty("SizeRootFs", &T::size_root_fs_bytes), field("Labels", &T::labels),
                      field("State", &T::state), field("Status", &T::status), field("HostConfig", &T::host_config),
                      field("NetworkSettings", &T::network_settings), field("Mounts", &T::mounts));
  }
};

/// GET /containers/{id}/top.
struct TopResponse {
  StringList titles;
  std::vector<StringList> processes;

  static constexpr auto json_fields() {
    return std::tuple(field("Titles", &TopResponse::titles), field("Processes", &TopResponse::processes));
  }
};

/// One element of GET /containers/{id}/changes.
struct Change {
  std::string path;
  std::uint8_t kind = 0;  ///< 0 modified, 1 added, 2 deleted

  static constexpr auto json_fields() { return std::tuple(field("Path", &Change::path), field("Kind", &Change::kind)); }
};

struct WaitError {
  std::string message;

  static constexpr auto json_fields() { return std::tuple(field("Message", &WaitError::message)); }
};

/// POST /containers/{id}/wait (WIRE 10).
struct WaitResponse {
  std::optional<WaitError> error;
  std::int64_t status_code = 0;

  static constexpr auto json_fields() {
    return std::tuple(field_omit_empty("Error", &WaitResponse::error), field("StatusCode", &WaitResponse::status_code));
  }
};

/// POST /containers/{id}/update: zero or absent = unchanged.
struct UpdateRequest : Resources {
  RestartPolicy restart_policy;

  static constexpr auto json_fields() {
    return std::tuple_cat(Resources::json_fields(), std::tuple(field("RestartPolicy", &UpdateRequest::restart_policy)));
  }
};

struct UpdateResponse {
  std::optional<StringList> warnings;

  static constexpr auto json_fields() { return std::tuple(field("Warnings", &UpdateResponse::warnings)); }
};

struct ContainersPruneReport {
  std::optional<StringList> containers_deleted;
  std::uint64_t space_reclaimed_bytes = 0;

  static constexpr auto json_fields() {
    return std::tuple(field("ContainersDeleted", &ContainersPruneReport::containers_deleted),
                      field("SpaceReclaimed", &ContainersPruneReport::space_reclaimed_bytes));
  }
};

/// X-Docker-Container-Path-Stat of the archive calls; `mode` has Go's os.FileMode bits (WIRE 11).
struct PathStat {
  std::string name;
  std::int64_t size_bytes = 0;
  std::uint32_t mode = 0;
  Timestamp modified_at;
  std::string link_target;

  static constexpr auto json_fields() {
    using T = PathStat;
    return std::tuple(field("name", &T::name), field("size", &T::size_bytes), field("mode", &T::mode),
                      field("mtime", &T::modified_at), field("linkTarget", &T::link_target));
  }
};

}  // namespace mydocker::api
