#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "runtime/spec_process.h"
#include "runtime/spec_resources.h"

/// An OCI config.json for Linux, complete (OCI runtime-spec 1.3, config.md and config-linux.md): the only language
/// between engine and runtime. Values only; any thread; nothing blocks.
namespace mydocker::runtime {

/// The newest version that is understood.
inline constexpr std::string_view oci_version = "1.3.0";
/// What is written into a new config.json: other runtimes of the distribution refuse anything newer.
inline constexpr std::string_view bundle_version = "1.0.2";

struct Root {
  std::string path;  ///< absolute, or relative to the bundle
  bool readonly = false;

  static constexpr auto json_fields() {
    return std::tuple(field("path", &Root::path), field_omit_empty("readonly", &Root::readonly));
  }
};

struct IdMapping {
  std::uint32_t container_id = 0;
  std::uint32_t host_id = 0;
  std::uint32_t size = 0;

  static constexpr auto json_fields() {
    return std::tuple(field("containerID", &IdMapping::container_id), field("hostID", &IdMapping::host_id),
                      field("size", &IdMapping::size));
  }
};

struct Mount {
  std::string destination;           ///< absolute, inside the container
  std::string type;                  ///< file system type; "bind" or "" with option bind or rbind
  std::string source;                ///< host path of a bind (relative: to the bundle), else the source's name
  std::vector<std::string> options;  ///< "ro", "nosuid", "rbind", "rprivate", "mode=755", "size=65536k" ...
  std::vector<IdMapping> uid_mappings;
  std::vector<IdMapping> gid_mappings;

  static constexpr auto json_fields() {
    return std::tuple(field("destination", &Mount::destination), field_omit_empty("type", &Mount::type),
                      field_omit_empty("source", &Mount::source), field_omit_empty("options", &Mount::options),
                      field_omit_empty("uidMappings", &Mount::uid_mappings),
                      field_omit_empty("gidMappings", &Mount::gid_mappings));
  }
};

struct Hook {
  std::string path;  ///< absolute
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::optional<std::int64_t> timeout;  ///< seconds, at least 1

  static constexpr auto json_fields() {
    return std::tuple(field("path", &Hook::path), field_omit_empty("args", &Hook::args),
                      field_omit_empty("env", &Hook::env), field_omit_empty("timeout", &Hook::timeout));
  }
};

struct Hooks {
  std::vector<Hook> prestart;
  std::vector<Hook> create_runtime;
  std::vector<Hook> create_container;
  std::vector<Hook> start_container;
  std::vector<Hook> poststart;
  std::vector<Hook> poststop;

  static constexpr auto json_fields() {
    return std::tuple(field_omit_empty("prestart", &Hooks::prestart),
                      field_omit_empty("createRuntime", &Hooks::create_runtime),
                      field_omit_empty("createContainer", &Hooks::create_container),
                      field_omit_empty("startContainer", &Hooks::start_container),
                      field_omit_empty("poststart", &Hooks::poststart), field_omit_empty("poststop", &Hooks::poststop));
  }
};

struct Namespace {
  std::string type;  ///< "pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"
  std::string path;  ///< "": a new one; else joined

  static constexpr auto json_fields() {
    return std::tuple(field("type", &Namespace::type), field_omit_empty("path", &Namespace::path));
  }
};

/// A device node to be made.
struct Device {
  std::string path;  ///< absolute, inside the container
  std::string type;  ///< "c", "b", "u" (= c), "p"
  std::int64_t major = 0;
  std::int64_t minor = 0;
  std::optional<std::uint32_t> file_mode;  ///< absent: 0666
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> gid;

  static constexpr auto json_fields() {
    return std::tuple(field("path", &Device::path), field("type", &Device::type),
                      field_omit_empty("major", &Device::major), field_omit_empty("minor", &Device::minor),
                      field_omit_empty("fileMode", &Device::file_mode), field_omit_empty("uid", &Device::uid),
                      field_omit_empty("gid", &Device::gid));
  }
};

/// A host network device moved into the container (OCI 1.3).
struct NetDevice {
  std::string name;  ///< its name inside; "": unchanged

  static constexpr auto json_fields() { return std::tuple(field_omit_empty("name", &NetDevice::name)); }
};

struct SeccompArgument {
  std::uint32_t index = 0;
  std::uint64_t value = 0;
  std::uint64_t value_two = 0;
  std::string op;  ///< "SCMP_CMP_EQ" and so on

  static constexpr auto json_fields() {
    return std::tuple(field("index", &SeccompArgument::index), field("value", &SeccompArgument::value),
                      field_omit_empty("valueTwo", &SeccompArgument::value_two), field("op", &SeccompArgument::op));
  }
};

struct SeccompRule {
  std::vector<std::string> names;
  std::string action;  ///< "SCMP_ACT_ALLOW" and so on
  std::optional<std::uint32_t> errno_ret;
  std::vector<SeccompArgument> args;

  static constexpr auto json_fields() {
    return std::tuple(field("names", &SeccompRule::names), field("action", &SeccompRule::action),
                      field_omit_empty("errnoRet", &SeccompRule::errno_ret),
                      field_omit_empty("args", &SeccompRule::args));
  }
};

/// linux.seccomp. The engine asks for the built-in default profile by make_default_seccomp() of runtime/seccomp.h.
struct Seccomp {
  std::string default_action;
  std::optional<std::uint32_t> default_errno_ret;
  std::vector<std::string> architectures;
  std::vector<std::string> flags;
  std::string listener_path;
  std::string listener_metadata;
  std::vector<SeccompRule> syscalls;

  static constexpr auto json_fields() {
    return std::tuple(field("defaultAction", &Seccomp::default_action),
                      field_omit_empty("defaultErrnoRet", &Seccomp::default_errno_ret),
                      field_omit_empty("architectures", &Seccomp::architectures),
                      field_omit_empty("flags", &Seccomp::flags),
                      field_omit_empty("listenerPath", &Seccomp::listener_path),
                      field_omit_empty("listenerMetadata", &Seccomp::listener_metadata),
                      field_omit_empty("syscalls", &Seccomp::syscalls));
  }
};

struct IntelRdt {
  std::string clos_id;
  std::string l3_cache_schema;
  std::string mem_bw_schema;

  static constexpr auto json_fields() {
    return std::tuple(field_omit_empty("closID", &IntelRdt::clos_id),
                      field_omit_empty("l3CacheSchema", &IntelRdt::l3_cache_schema),
                      field_omit_empty("memBwSchema", &IntelRdt::mem_bw_schema));
  }
};

struct Personality {
  std::string domain;  ///< "LINUX" or "LINUX32"
  std::vector<std::string> flags;

  static constexpr auto json_fields() {
    return std::tuple(field("domain", &Personality::domain), field_omit_empty("flags", &Personality::flags));
  }
};

/// Where the process's memory comes from on a machine with several nodes (man 2 set_mempolicy).
struct MemoryPolicy {
  std::string mode;   ///< "MPOL_INTERLEAVE"
  std::string nodes;  ///< "0-3,7"
  std::vector<std::string> flags;

  static constexpr auto json_fields() {
    return std::tuple(field("mode", &MemoryPolicy::mode), field_omit_empty("nodes", &MemoryPolicy::nodes),
                      field_omit_empty("flags", &MemoryPolicy::flags));
  }
};

/// Of a new time namespace: added to the host's clock.
struct TimeOffset {
  std::int64_t secs = 0;
  std::uint32_t nanosecs = 0;

  static constexpr auto json_fields() {
    return std::tuple(field_omit_empty("secs", &TimeOffset::secs), field_omit_empty("nanosecs", &TimeOffset::nanosecs));
  }
};

struct Linux {
  std::vector<IdMapping> uid_mappings;
  std::vector<IdMapping> gid_mappings;
  std::map<std::string, std::string> sysctl;  ///< "net.ipv4.ip_forward" -> "1"
  std::optional<Resources> resources;
  std::string cgroups_path;  ///< "/mydocker/<id>" (cgroupfs) or "slice:prefix:name" (systemd)
  std::vector<Namespace> namespaces;
  std::vector<Device> devices;  ///< beside the default ones
  std::map<std::string, NetDevice> net_devices;
  std::optional<Seccomp> seccomp;  ///< absent: no filter
  std::string rootfs_propagation;  ///< "", "private", "slave", "shared", "unbindable" and their r-forms
  std::vector<std::string> masked_paths;
  std::vector<std::string> readonly_paths;
  std::string mount_label;
  std::optional<IntelRdt> intel_rdt;
  std::optional<MemoryPolicy> memory_policy;
  std::optional<Personality> personality;
  std::map<std::string, TimeOffset> time_offsets;  ///< "monotonic", "boottime"

  static constexpr auto json_fields() {
    return std::tuple(
        field_omit_empty("uidMappings", &Linux::uid_mappings), field_omit_empty("gidMappings", &Linux::gid_mappings),
        field_omit_empty("sysctl", &Linux::sysctl), field_omit_empty("resources", &Linux::resources),
        field_omit_empty("cgroupsPath", &Linux::cgroups_path), field_omit_empty("namespaces", &Linux::namespaces),
        field_omit_empty("devices", &Linux::devices), field_omit_empty("netDevices", &Linux::net_devices),
        field_omit_empty("seccomp", &Linux::seccomp), field_omit_empty("rootfsPropagation", &Linux::rootfs_propagation),
        field_omit_empty("maskedPaths", &Linux::masked_paths),
        field_omit_empty("readonlyPaths", &Linux::readonly_paths), field_omit_empty("mountLabel", &Linux::mount_label),
        field_omit_empty("intelRdt", &Linux::intel_rdt), field_omit_empty("memoryPolicy", &Linux::memory_policy),
        field_omit_empty("personality", &Linux::personality), field_omit_empty("timeOffsets", &Linux::time_offsets));
  }
};

struct Spec {
  std::string version = std::string(bundle_version);
  Process process;
  Root root;
  std::string hostname;  ///< needs an own uts namespace
  std::string domainname;
  std::vector<Mount> mounts;  ///< in this order
  std::optional<Hooks> hooks;
  std::map<std::string, std::string> annotations;
  Linux linux;

  static constexpr auto json_fields() {
    return std::tuple(field("ociVersion", &Spec::version), field("process", &Spec::process), field("root", &Spec::root),
                      field_omit_empty("hostname", &Spec::hostname), field_omit_empty("domainname", &Spec::domainname),
                      field_omit_empty("mounts", &Spec::mounts), field_omit_empty("hooks", &Spec::hooks),
                      field_omit_empty("annotations", &Spec::annotations), field("linux", &Spec::linux));
  }
};

/// Checks everything that can be checked without the kernel: version 1.x, absolute paths, known words, ranges, no NUL,
/// namespaces named once, id maps with a user namespace only ... Throws Error{invalid_argument} naming the member.
void validate(const Spec& spec);
/// The part of it that also an exec needs.
void validate_process(const Process& process);

/// nullptr when the container shares the caller's namespace of that type.
const Namespace* find_namespace(const Spec& spec, std::string_view type);

/// The spec that `mydocker-runtime spec` prints: sh in an own pid, network, ipc, uts, mount, cgroup namespace with the
/// mounts, masks, capabilities and limits of SECURITY 6; terminal on.
Spec make_example_spec();
/// The mounts of SECURITY 6.3 in order: /proc /dev /dev/pts /dev/shm /dev/mqueue /sys /sys/fs/cgroup.
std::vector<Mount> make_default_mounts(std::int64_t shm_bytes = std::int64_t{64} << 20);
/// SECURITY 6.2 (the cpu thermal_throttle directories of this host included).
std::vector<std::string> make_default_masked_paths();
std::vector<std::string> make_default_readonly_paths();
/// SECURITY 6.3: deny all, then the allowed ones.
std::vector<DeviceRule> make_default_device_rules();
/// The 14 names of SECURITY 6.1.
std::vector<std::string> make_default_capabilities();
/// SECURITY 6.3. Where CAP_SYS_RESOURCE is missing the runtime clamps them (TaskOptions.requested_rlimits names the
/// others).
std::vector<Rlimit> make_default_rlimits();

}  // namespace mydocker::runtime
