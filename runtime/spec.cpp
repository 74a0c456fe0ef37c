#include "runtime/spec.h"

#include <algorithm>
#include <array>
#include <set>

#include "runtime/capabilities.h"
#include "runtime/net_devices.h"
#include "runtime/process_setup.h"
#include "runtime/rights.h"

namespace mydocker::runtime {
namespace {

constexpr std::uint32_t highest_id = 2147483647;  // SECURITY R11

[[noreturn]] void throw_invalid(const std::string& what) {
  throw Error(ErrorKind::invalid_argument, concat("invalid config.json: ", what));
}

void require(bool condition, std::string_view member, std::string_view what) {
  if (!condition) throw_invalid(concat(member, " ", what));
}

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

void require_no_nul(const std::string& text, std::string_view member) {
  require(text.find('\0') == std::string::npos, member, "contains a NUL byte");
}

void require_absolute(const std::string& path, std::string_view member) {
  require(!path.empty() && path.front() == '/', member, concat("must be an absolute path, not \"", path, "\""));
  require_no_nul(path, member);
}

/// A path that becomes part of a cgroup or sysctl name.
bool has_dot_dot(std::string_view path) {
  while (!path.empty()) {
    const std::size_t slash = std::min(path.find('/'), path.size());
    if (path.substr(0, slash) == "..") return true;
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return false;
}

/// Semantic version 1.y.z; "-rc5" and "+build" may follow.
bool is_supported_version(std::string_view version) {
  version = version.substr(0, version.find_first_of("-+"));
  if (!version.starts_with("1.")) return false;
  version.remove_prefix(2);
  const std::size_t dot = version.find('.');
  if (dot == std::string_view::npos) return false;
  const auto is_number = [](std::string_view text) {
    return !text.empty() && text.size() <= 9 && text.find_first_not_of("0123456789") == std::string_view::npos;
  };
  return is_number(version.substr(0, dot)) && is_number(version.substr(dot + 1));
}

void validate_version(const std::string& version) {
  require(!version.empty(), "ociVersion", "is missing");
  require(is_supported_version(version), "ociVersion", concat("\"", version, "\" is not supported"));
}

void validate_namespaces(const Spec& spec) {
  std::set<std::string> seen;
  for (const Namespace& one : spec.linux.namespaces) {
    require(is_one_of(one.type, {"pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"}),
            "linux.namespaces", concat("has the unknown type \"", one.type, "\""));
    require(seen.insert(one.type).second, "linux.namespaces", concat("names \"", one.type, "\" twice"));
    if (!one.path.empty()) require_absolute(one.path, concat("linux.namespaces ", one.type));
  }
  require(seen.count("mount") != 0, "linux.namespaces", "has no mount namespace: sharing the host's is not possible");
  const bool maps = !spec.linux.uid_mappings.empty() || !spec.linux.gid_mappings.empty();
  require(!maps || seen.count("user") != 0, "linux.uidMappings", "without a user namespace");
  if (const Namespace* user = find_namespace(spec, "user")) {
    require(!user->path.empty() || maps, "linux.uidMappings", "is missing for the new user namespace");
    require(user->path.empty() || !maps, "linux.uidMappings", "with a user namespace that is joined");
  }
  const auto is_shared = [&](const char* type) { return find_namespace(spec, type) == nullptr; };
  require(spec.hostname.empty() || !is_shared("uts"), "hostname", "without a uts namespace");
  require(spec.domainname.empty() || !is_shared("uts"), "domainname", "without a uts namespace");
  require(spec.linux.time_offsets.empty() || !is_shared("time"), "linux.timeOffsets", "without a time namespace");
  for (const auto& [clock, offset] : spec.linux.time_offsets) {
    require(clock == "monotonic" || clock == "boottime", "linux.timeOffsets", concat("has the clock \"", clock, "\""));
    require(offset.nanosecs < 1000000000, "linux.timeOffsets", "has nanosecs above 999999999");
  }
}

/// What the kernel refuses with nothing but EINVAL (man 7 user_namespaces).
void validate_id_map(const std::vector<IdMapping>& map, std::string_view member) {
  constexpr std::uint64_t end_of_ids = 4294967295;  // the last number means "no id"
  const auto overlap = [](std::uint64_t first, std::uint64_t size, std::uint64_t other, std::uint64_t other_size) {
    return first < other + other_size && other < first + size;
  };
  require(map.size() <= 340, member, "has more than 340 lines");
  for (std::size_t i = 0; i < map.size(); ++i) {
    const IdMapping& line = map[i];
    require(line.size > 0, member, "has a line of size 0");
    const bool fits = line.size <= end_of_ids - line.container_id && line.size <= end_of_ids - line.host_id;
    require(fits, member, "has a line that goes beyond 4294967294");
    for (std::size_t other = 0; other < i; ++other) {
      const bool twice = overlap(line.container_id, line.size, map[other].container_id, map[other].size) ||
                         overlap(line.host_id, line.size, map[other].host_id, map[other].size);
      require(!twice, member, "has lines that overlap");
    }
  }
}

/// A sysctl must belong to a namespace that the container owns (SECURITY 6.3).
void validate_sysctl(const Spec& spec, const std::string& key, const std::string& value) {
  std::string name = key;
  if (name.find('/') == std::string::npos) std::replace(name.begin(), name.end(), '.', '/');
  const std::string member = concat("linux.sysctl \"", key, "\"");
  require(!has_dot_dot(name) && !name.empty() && name.front() != '/', member, "is not a name");
  require_no_nul(name, member);
  require_no_nul(value, member);
  if (name.starts_with("net/")) {
    require(find_namespace(spec, "network") != nullptr, member, "is not allowed in the host's network namespace");
  } else if (name.starts_with("fs/mqueue/") ||
             is_one_of(name, {"kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem", "kernel/shmall",
                              "kernel/shmmax", "kernel/shmmni", "kernel/shm_rmid_forced"})) {
    require(find_namespace(spec, "ipc") != nullptr, member, "is not allowed in the host's ipc namespace");
  } else if (is_one_of(name, {"kernel/domainname", "kernel/hostname"})) {
    require(find_namespace(spec, "uts") != nullptr, member, "is not allowed in the host's uts namespace");
  } else {
    throw_invalid(concat(member, " is not in a separate kernel namespace"));
  }
}

void validate_mounts(const Spec& spec) {
  for (const Mount& mount : spec.mounts) {
    require(!mount.destination.empty(), "mounts", "has an entry without destination");
    require_no_nul(mount.destination, "mounts destination");
    require_no_nul(mount.source, concat("mounts \"", mount.destination, "\" source"));
    require(mount.uid_mappings.empty() == mount.gid_mappings.empty(), concat("mounts \"", mount.destination, "\""),
            "needs both uidMappings and gidMappings");
    validate_id_map(mount.uid_mappings, concat("mounts \"", mount.destination, "\" uidMappings"));
    validate_id_map(mount.gid_mappings, concat("mounts \"", mount.destination, "\" gidMappings"));
    for (const std::string& option : mount.options) require_no_nul(option, "mounts options");
  }
}

void validate_hooks(const Hooks& hooks) {
  for (const auto* list : {&hooks.prestart, &hooks.create_runtime, &hooks.create_container, &hooks.start_container,
                           &hooks.poststart, &hooks.poststop}) {
    for (const Hook& hook : *list) {
      require_absolute(hook.path, "hooks path");
      require(!hook.timeout || *hook.timeout > 0, "hooks timeout", "must be positive");
    }
  }
}

void validate_devices(const Spec& spec) {
  for (const Device& device : spec.linux.devices) {
    require_absolute(device.path, "linux.devices path");
    require(is_one_of(device.type, {"c", "b", "u", "p"}), "linux.devices",
            concat("\"", device.path, "\" has the unknown type \"", device.type, "\""));
  }
  if (!spec.linux.resources) return;
  for (const DeviceRule& rule : spec.linux.resources->devices) {
    require(is_one_of(rule.type, {"", "a", "b", "c"}), "linux.resources.devices",
            concat("has the unknown type \"", rule.type, "\""));
    require(rule.access.find_first_not_of("rwm") == std::string::npos, "linux.resources.devices",
            concat("has the unknown access \"", rule.access, "\""));
  }
}

void validate_linux(const Spec& spec) {
  const Linux& part = spec.linux;
  validate_id_map(part.uid_mappings, "linux.uidMappings");
  validate_id_map(part.gid_mappings, "linux.gidMappings");
  for (const auto& [key, value] : part.sysctl) validate_sysctl(spec, key, value);
  require(!has_dot_dot(part.cgroups_path), "linux.cgroupsPath", "contains \"..\"");
  require_no_nul(part.cgroups_path, "linux.cgroupsPath");
  require(is_one_of(part.rootfs_propagation,
                    {"", "private", "rprivate", "slave", "rslave", "shared", "rshared", "unbindable", "runbindable"}),
          "linux.rootfsPropagation", concat("\"", part.rootfs_propagation, "\" is unknown"));
  for (const std::string& path : part.masked_paths) require_absolute(path, "linux.maskedPaths");
  for (const std::string& path : part.readonly_paths) require_absolute(path, "linux.readonlyPaths");
  if (part.intel_rdt) throw Error(ErrorKind::not_implemented, "linux.intelRdt is not supported");
  if (part.resources && !part.resources->rdma.empty()) {
    throw Error(ErrorKind::not_implemented, "linux.resources.rdma is not supported");
  }
  require_no_nul(part.mount_label, "linux.mountLabel");
  if (part.memory_policy) validate_memory_policy(*part.memory_policy);
  if (part.personality) {
    require(is_one_of(part.personality->domain, {"LINUX", "LINUX32"}), "linux.personality.domain", "is unknown");
    require(part.personality->flags.empty(), "linux.personality.flags", "are not supported");
  }
}

}  // namespace

void validate_process(const Process& process) {
  require(!process.args.empty(), "process.args", "must not be empty");
  require(!process.args.front().empty(), "process.args", "has an empty program name");
  for (const std::string& argument : process.args) require_no_nul(argument, "process.args");
  for (const std::string& variable : process.env) require_no_nul(variable, "process.env");
  require_absolute(process.cwd, "process.cwd");
  require(process.user.uid <= highest_id, "process.user.uid", "is out of range");
  require(process.user.gid <= highest_id, "process.user.gid", "is out of range");
  for (const std::uint32_t gid : process.user.additional_gids) {
    require(gid <= highest_id, "process.user.additionalGids", "is out of range");
  }
  parse_capabilities(process.capabilities);
  std::set<std::string> seen;
  for (const Rlimit& limit : process.rlimits) {
    require(find_rlimit(limit.type).has_value(), "process.rlimits",
            concat("has the unknown type \"", limit.type, "\""));
    require(seen.insert(limit.type).second, "process.rlimits", concat("names ", limit.type, " twice"));
    require(limit.soft <= limit.hard, "process.rlimits", concat(limit.type, " has a soft limit above the hard one"));
  }
  validate_priorities(process);
  if (process.oom_score_adj) {
    require(*process.oom_score_adj >= -1000 && *process.oom_score_adj <= 1000, "process.oomScoreAdj",
            "must be between -1000 and 1000");
  }
}

void validate(const Spec& spec) {
  validate_version(spec.version);
  validate_process(spec.process);
  require(!spec.root.path.empty(), "root.path", "is missing");
  require_no_nul(spec.root.path, "root.path");
  for (const auto& [member, name] : {std::pair("hostname", &spec.hostname), {"domainname", &spec.domainname}}) {
    require(name->size() <= 64, member, "is longer than 64 bytes");
    require_no_nul(*name, member);
  }
  validate_namespaces(spec);
  validate_mounts(spec);
  validate_devices(spec);
  validate_linux(spec);
  validate_net_devices(spec);
  if (spec.hooks) validate_hooks(*spec.hooks);
}

const Namespace* find_namespace(const Spec& spec, std::string_view type) {
  for (const Namespace& one : spec.linux.namespaces) {
    if (one.type == type) return &one;
  }
  return nullptr;
}

}  // namespace mydocker::runtime
