#pragma once

#include "api/types/json.h"

/// HostConfig of ContainerCreate and ContainerInspect, with everything below it (Engine API v1.51; WIRE 12.2, 12.3).
/// A member is std::optional where Docker prints null, or where an absent value differs from a zero one.
/// The structs keep what the client sent; defaults and checks are the engine's.
namespace mydocker::api {

/// One host side of a published port.
struct PortBinding {
  std::string host_ip;
  std::string host_port;  ///< "", "0" = ephemeral; "8000-8010" = a range

  bool operator==(const PortBinding&) const = default;
  static constexpr auto json_fields() {
    return std::tuple(field("HostIp", &PortBinding::host_ip), field("HostPort", &PortBinding::host_port));
  }
};

/// "80/tcp" -> bindings; null in NetworkSettings.Ports = exposed, not published.
using PortMap = std::map<std::string, std::optional<std::vector<PortBinding>>>;

struct LogConfig {
  std::string type;
  StringMap config;

  static constexpr auto json_fields() {
    return std::tuple(field("Type", &LogConfig::type), field("Config", &LogConfig::config));
  }
};

struct RestartPolicy {
  std::string name;                  ///< "", "no", "always", "unless-stopped" or "on-failure"
  std::int64_t maximum_retries = 0;  ///< 0 = no limit; for "on-failure" only

  bool operator==(const RestartPolicy&) const = default;
  static constexpr auto json_fields() {
    return std::tuple(field("Name", &RestartPolicy::name), field("MaximumRetryCount", &RestartPolicy::maximum_retries));
  }
};

struct WeightDevice {
  std::string path;
  std::uint16_t weight = 0;

  static constexpr auto json_fields() {
    return std::tuple(field("Path", &WeightDevice::path), field("Weight", &WeightDevice::weight));
  }
};

struct ThrottleDevice {
  std::string path;
  std::uint64_t rate = 0;  ///< bytes or operations per second

  static constexpr auto json_fields() {
    return std::tuple(field("Path", &ThrottleDevice::path), field("Rate", &ThrottleDevice::rate));
  }
};

struct DeviceMapping {
  std::string path_on_host;
  std::string path_in_container;
  std::string cgroup_permissions;

  static constexpr auto json_fields() {
    return std::tuple(field("PathOnHost", &DeviceMapping::path_on_host),
                      field("PathInContainer", &DeviceMapping::path_in_container),
                      field("CgroupPermissions", &DeviceMapping::cgroup_permissions));
  }
};

struct DeviceRequest {
  std::string driver;
  std::int64_t count = 0;
  std::optional<StringList> device_ids;
  std::optional<std::vector<StringList>> capabilities;
  std::optional<StringMap> options;

  static constexpr auto json_fields() {
    return std::tuple(field("Driver", &DeviceRequest::driver), field("Count", &DeviceRequest::count),
                      field("DeviceIDs", &DeviceRequest::device_ids),
                      field("Capabilities", &DeviceRequest::capabilities), field("Options", &DeviceRequest::options));
  }
};

struct Ulimit {
  std::string name;
  std::int64_t hard = 0;  ///< -1 = unlimited
  std::int64_t soft = 0;

  bool operator==(const Ulimit&) const = default;
  static constexpr auto json_fields() {
    return std::tuple(field("Name", &Ulimit::name), field("Hard", &Ulimit::hard), field("Soft", &Ulimit::soft));
  }
};

/// The cgroup part of HostConfig; also the body of ContainerUpdate.
struct Resources {
  std::int64_t cpu_shares = 0;
  std::int64_t memory_bytes = 0;
  std::int64_t nano_cpus = 0;  ///< 1e9 = one CPU
  std::string cgroup_parent;
  std::uint16_t blkio_weight = 0;
  std::optional<std::vector<WeightDevice>> blkio_weight_device;
  std::optional<std::vector<ThrottleDevice>> blkio_device_read_bps;
  std::optional<std::vector<ThrottleDevice>> blkio_device_write_bps;
  std::optional<std::vector<ThrottleDevice>> blkio_device_read_iops;
  std::optional<std::vector<ThrottleDevice>> blkio_device_write_iops;
  std::int64_t cpu_period_us = 0;
  std::int64_t cpu_quota_us = 0;
  std::int64_t cpu_realtime_period_us = 0;
  std::int64_t cpu_realtime_runtime_us = 0;
  std::string cpuset_cpus;
  std::string cpuset_mems;
  std::optional<std::vector<DeviceMapping>> devices;
  std::optional<StringList> device_cgroup_rules;
  std::optional<std::vector<DeviceRequest>> device_requests;
  std::int64_t kernel_memory_bytes = 0;
  std::int64_t kernel_memory_tcp_bytes = 0;
  std::int64_t memory_reservation_bytes = 0;
  std::int64_t memory_swap_bytes = 0;  ///< memory + swap; 0 = twice the memory, -1 = unlimited
  std::optional<std::int64_t> memory_swappiness;
  std::optional<bool> oom_kill_disable;
  std::optional<std::int64_t> pids_limit;
  std::optional<std::vector<Ulimit>> ulimits;
  std::int64_t cpu_count = 0;              ///< Windows
  std::int64_t cpu_percent = 0;            ///< Windows
  std::uint64_t io_maximum_iops = 0;       ///< Windows
  std::uint64_t io_maximum_bandwidth = 0;  ///< Windows

  static constexpr auto json_fields() {
    using T = Resources;
    return std::tuple(
        field("CpuShares", &T::cpu_shares), field("Memory", &T::memory_bytes), field("NanoCpus", &T::nano_cpus),
        field("CgroupParent", &T::cgroup_parent), field("BlkioWeight", &T::blkio_weight),
        field("BlkioWeightDevice", &T::blkio_weight_device), field("BlkioDeviceReadBps", &T::blkio_device_read_bps),
        field("BlkioDeviceWriteBps", &T::blkio_device_write_bps),
        field("BlkioDeviceReadIOps", &T::blkio_device_read_iops),
        field("BlkioDeviceWriteIOps", &T::blkio_device_write_iops), field("CpuPeriod", &T::cpu_period_us),
        field("CpuQuota", &T::cpu_quota_us), field("CpuRealtimePeriod", &T::cpu_realtime_period_us),
        field("CpuRealtimeRuntime", &T::cpu_realtime_runtime_us), field("CpusetCpus", &T::cpuset_cpus),
        field("CpusetMems", &T::cpuset_mems), field("Devices", &T::devices),
        field("DeviceCgroupRules", &T::device_cgroup_rules), field("DeviceRequests", &T::device_requests),
        field_omit_empty("KernelMemory", &T::kernel_memory_bytes),
        field_omit_empty("KernelMemoryTCP", &T::kernel_memory_tcp_bytes),
        field("MemoryReservation", &T::memory_reservation_bytes), field("MemorySwap", &T::memory_swap_bytes),
        field("MemorySwappiness", &T::memory_swappiness), field("OomKillDisable", &T::oom_kill_disable),
        field("PidsLimit", &T::pids_limit), field("Ulimits", &T::ulimits), field("CpuCount", &T::cpu_count),
        field("CpuPercent", &T::cpu_percent), field("IOMaximumIOps", &T::io_maximum_iops),
        field("IOMaximumBandwidth", &T::io_maximum_bandwidth));
  }
};

struct BindOptions {
  std::string propagation;
  bool non_recursive = false;
  bool create_mountpoint = false;
  bool read_only_non_recursive = false;
  bool read_only_force_recursive = false;

  static constexpr auto json_fields() {
    return std::tuple(field_omit_empty("Propagation", &BindOptions::propagation),
                      field_omit_empty("NonRecursive", &BindOptions::non_recursive),
                      field_omit_empty("CreateMountpoint", &BindOptions::create_mountpoint),
                      field_omit_empty("ReadOnlyNonRecursive", &BindOptions::read_only_non_recursive),
                      field_omit_empty("ReadOnlyForceRecursive", &BindOptions::read_only_force_recursive));
  }
};

struct VolumeDriverConfig {
  std::string name;
  StringMap options;

  static constexpr auto json_fields() {
    return std::tuple(field_omit_empty("Name", &VolumeDriverConfig::name),
                      field_omit_empty("Options", &VolumeDriverConfig::options));
  }
};

struct VolumeOptions {
  bool no_copy = false;
  StringMap labels;
  std::string subpath;
  std::optional<VolumeDriverConfig> driver_config;

  static constexpr auto json_fields() {
    return std::tuple(field_omit_empty("NoCopy", &VolumeOptions::no_copy),
                      field_omit_empty("Labels", &VolumeOptions::labels),
                      field_omit_empty("Subpath", &VolumeOptions::subpath),
                      field_omit_empty("DriverConfig", &VolumeOptions::driver_config));
  }
};

struct ImageMountOptions {
  std::string subpath;

  static constexpr auto json_fields() { return std::tuple(field_omit_empty("Subpath", &ImageMountOptions::subpath)); }
};

struct TmpfsOptions {
  std::int64_t size_bytes = 0;
  std::uint32_t mode = 0;  ///< 0 = not given: 01777
  std::vector<StringList> options;

  static constexpr auto json_fields() {
    return std::tuple(field_omit_empty("SizeBytes", &TmpfsOptions::size_bytes),
                      field_omit_empty("Mode", &TmpfsOptions::mode),
                      field_omit_empty("Options", &TmpfsOptions::options));
  }
};

/// HostConfig.Mounts[] (WIRE 12.3).
struct Mount {
  std::string type;  ///< bind, volume, tmpfs, image (npipe, cluster: refused)
  std::string source;
  std::string target;
  bool read_only = false;
  std::string consistency;  ///< ignored
  std::optional<BindOptions> bind_options;
  std::optional<VolumeOptions> volume_options;
  std::optional<ImageMountOptions> image_options;
  std::optional<TmpfsOptions> tmpfs_options;

  static constexpr auto json_fields() {
    return std::tuple(field_omit_empty("Type", &Mount::type), field_omit_empty("Source", &Mount::source),
                      field_omit_empty("Target", &Mount::target), field_omit_empty("ReadOnly", &Mount::read_only),
                      field_omit_empty("Consistency", &Mount::consistency),
                      field_omit_empty("BindOptions", &Mount::bind_options),
                      field_omit_empty("VolumeOptions", &Mount::volume_options),
                      field_omit_empty("ImageOptions", &Mount::image_options),
                      field_omit_empty("TmpfsOptions", &Mount::tmpfs_options));
  }
};

struct HostConfig : Resources {
  std::optional<StringList> binds;
  std::string container_id_file;
  LogConfig log_config;
  std::string network_mode;
  PortMap port_bindings;
  RestartPolicy restart_policy;
  bool auto_remove = false;
  std::string volume_driver;
  std::optional<StringList> volumes_from;
  ConsoleSize console_size;
  StringMap annotations;
  std::optional<StringList> cap_add;
  std::optional<StringList> cap_drop;
  std::string cgroupns_mode;
  std::optional<StringList> dns;
  std::optional<StringList> dns_options;
  std::optional<StringList> dns_search;
  std::optional<StringList> extra_hosts;
  std::optional<StringList> group_add;
  std::string ipc_mode;
  std::string cgroup;
  std::optional<StringList> links;
  std::int64_t oom_score_adj = 0;
  std::string pid_mode;
  bool privileged = false;
  bool publish_all_ports = false;
  bool readonly_rootfs = false;
  std::optional<StringList> security_opt;
  StringMap storage_opt;
  StringMap tmpfs;
  std::string uts_mode;
  std::string userns_mode;
  std::int64_t shm_size_bytes = 0;
  StringMap sysctls;
  std::string runtime;
  std::string isolation;
  std::vector<Mount> mounts;
  std::optional<StringList> masked_paths;
  std::optional<StringList> readonly_paths;
  std::optional<bool> init;
  std::string health_on_failure;  ///< "", none, kill, restart, stop; an extension

  static constexpr auto json_fields() {
    using T = HostConfig;
    return std::tuple_cat(
        std::tuple(field("Binds", &T::binds), field("ContainerIDFile", &T::container_id_file),
                   field("LogConfig", &T::log_config), field("NetworkMode", &T::network_mode),
                   field("PortBindings", &T::port_bindings), field("RestartPolicy", &T::restart_policy),
                   field("AutoRemove", &T::auto_remove), field("VolumeDriver", &T::volume_driver),
                   field("VolumesFrom", &T::volumes_from), field("ConsoleSize", &T::console_size),
                   field_omit_empty("Annotations", &T::annotations), field("CapAdd", &T::cap_add),
                   field("CapDrop", &T::cap_drop), field("CgroupnsMode", &T::cgroupns_mode), field("Dns", &T::dns),
                   field("DnsOptions", &T::dns_options), field("DnsSearch", &T::dns_search),
                   field("ExtraHosts", &T::extra_hosts), field("GroupAdd", &T::group_add),
                   field("IpcMode", &T::ipc_mode), field("Cgroup", &T::cgroup), field("Links", &T::links),
                   field("OomScoreAdj", &T::oom_score_adj), field("PidMode", &T::pid_mode),
                   field("Privileged", &T::privileged), field("PublishAllPorts", &T::publish_all_ports),
                   field("ReadonlyRootfs", &T::readonly_rootfs), field("SecurityOpt", &T::security_opt),
                   field_omit_empty("StorageOpt", &T::storage_opt), field_omit_empty("Tmpfs", &T::tmpfs),
                   field("UTSMode", &T::uts_mode), field("UsernsMode", &T::userns_mode),
                   field("ShmSize", &T::shm_size_bytes), field_omit_empty("Sysctls", &T::sysctls),
                   field("Runtime", &T::runtime), field("Isolation", &T::isolation)),
        Resources::json_fields(),
        std::tuple(field_omit_empty("Mounts", &T::mounts), field("MaskedPaths", &T::masked_paths),
                   field("ReadonlyPaths", &T::readonly_paths), field_omit_empty("Init", &T::init),
                   field_omit_empty("HealthOnFailure", &T::health_on_failure)));
  }
};

}  // namespace mydocker::api
