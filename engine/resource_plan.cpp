#include "engine/resource_plan.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <charconv>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>

#include "engine/base/error.h"

namespace mydocker::engine {
namespace {

constexpr std::int64_t cfs_period_us = 100'000;

[[noreturn]] void invalid(std::string message) { throw Error(ErrorKind::invalid_argument, std::move(message)); }

struct DeviceNumber {
  char type = 'c';
  std::int64_t major = 0;
  std::int64_t minor = 0;
  std::uint32_t mode = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
};

std::optional<DeviceNumber> find_device(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) return std::nullopt;
  if (!S_ISCHR(info.st_mode) && !S_ISBLK(info.st_mode)) return std::nullopt;
  return DeviceNumber{.type = S_ISCHR(info.st_mode) ? 'c' : 'b',
                      .major = static_cast<std::int64_t>(gnu_dev_major(info.st_rdev)),
                      .minor = static_cast<std::int64_t>(gnu_dev_minor(info.st_rdev)),
                      .mode = info.st_mode & 07777,
                      .uid = info.st_uid,
                      .gid = info.st_gid};
}

void add_device(runtime::Linux& linux, const std::string& path, const DeviceNumber& number) {
  linux.devices.push_back(runtime::Device{.path = path,
                                          .type = std::string(1, number.type),
                                          .major = number.major,
                                          .minor = number.minor,
                                          .file_mode = number.mode,
                                          .uid = number.uid,
                                          .gid = number.gid});
}

/// Every node below a host directory, as `--device /dev/snd` and --privileged want it.
void add_device_tree(runtime::Linux& linux, const std::string& host_dir, const std::string& inner_dir,
                     const std::function<void(const DeviceNumber&)>& on_device) {
  static const std::set<std::string> own = {"pts",  "shm",   "mqueue", "fd",     "console", ".udev",
                                            "ptmx", "stdin", "stdout", "stderr", "core"};
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(host_dir, error)) {
    const std::string name = entry.path().filename();
    if (host_dir == "/dev" && own.contains(name)) continue;
    if (entry.is_symlink(error)) continue;
    if (entry.is_directory(error)) {
      add_device_tree(linux, entry.path(), inner_dir + "/" + name, on_device);
    } else if (const std::optional<DeviceNumber> number = find_device(entry.path())) {
      add_device(linux, inner_dir + "/" + name, *number);
      on_device(*number);
    }
  }
}

std::vector<runtime::ThrottleDevice> plan_throttle(const std::optional<std::vector<api::ThrottleDevice>>& devices) {
  std::vector<runtime::ThrottleDevice> out;
  for (const api::ThrottleDevice& device : devices.value_or(std::vector<api::ThrottleDevice>{})) {
    const std::optional<DeviceNumber> number = find_device(device.path);
    if (!number) invalid(concat("block device \"", device.path, "\": no such device"));
    out.push_back({.major = number->major, .minor = number->minor, .rate = device.rate});
  }
  return out;
}

void plan_block_io(const api::Resources& limits, runtime::Resources& out) {
  runtime::BlockIo io;
  if (limits.blkio_weight != 0) io.weight = limits.blkio_weight;
  for (const api::WeightDevice& device : limits.blkio_weight_device.value_or(std::vector<api::WeightDevice>{})) {
    const std::optional<DeviceNumber> number = find_device(device.path);
    if (!number) invalid(concat("block device \"", device.path, "\": no such device"));
    io.weight_device.push_back(
        {.major = number->major, .minor = number->minor, .weight = device.weight, .leaf_weight = {}});
  }
  io.throttle_read_bps_device = plan_throttle(limits.blkio_device_read_bps);
  io.throttle_write_bps_device = plan_throttle(limits.blkio_device_write_bps);
  io.throttle_read_iops_device = plan_throttle(limits.blkio_device_read_iops);
  io.throttle_write_iops_device = plan_throttle(limits.blkio_device_write_iops);
  const bool any = io.weight || !io.weight_device.empty() || !io.throttle_read_bps_device.empty() ||
                   !io.throttle_write_bps_device.empty() || !io.throttle_read_iops_device.empty() ||
                   !io.throttle_write_iops_device.empty();
  if (any) out.block_io = std::move(io);
}

}  // namespace

runtime::DeviceRule parse_device_rule(const std::string& text) {
  // "c 1:3 rwm"
  runtime::DeviceRule rule;
  rule.allow = true;
  const std::size_t first = text.find(' ');
  const std::size_t second = text.find(' ', first + 1);
  const std::size_t colon = text.find(':');
  if (first != 1 || second == std::string::npos || colon == std::string::npos || colon > second) {
    invalid(concat("invalid device cgroup rule format: '", text, "'"));
  }
  rule.type = text.substr(0, 1);
  const auto number = [&](const std::string& part) -> std::optional<std::int64_t> {
    if (part == "*") return std::nullopt;
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error != std::errc{} || end != part.data() + part.size()) {
      invalid(concat("invalid device cgroup rule format: '", text, "'"));
    }
    return value;
  };
  rule.major = number(text.substr(first + 1, colon - first - 1));
  rule.minor = number(text.substr(colon + 1, second - colon - 1));
  rule.access = text.substr(second + 1);
  if (rule.access.empty() || rule.access.find_first_not_of("rwm") != std::string::npos ||
      (rule.type != "a" && rule.type != "b" && rule.type != "c")) {
    invalid(concat("invalid device cgroup rule format: '", text, "'"));
  }
  return rule;
}

runtime::Resources plan_limits(const api::Resources& limits) {
  runtime::Resources out;
  runtime::Memory memory;
  bool any_memory = false;
  const auto set = [&](auto& member, auto value) {
    member = value;
    any_memory = true;
  };
  if (limits.memory_bytes > 0) set(memory.limit, limits.memory_bytes);
  if (limits.memory_reservation_bytes > 0) set(memory.reservation, limits.memory_reservation_bytes);
  if (limits.memory_swap_bytes != 0) set(memory.swap, limits.memory_swap_bytes);
  if (limits.memory_swappiness) set(memory.swappiness, static_cast<std::uint64_t>(*limits.memory_swappiness));
  if (limits.oom_kill_disable.value_or(false)) set(memory.disable_oom_killer, true);
  if (any_memory) out.memory = memory;

  runtime::Cpu cpu;
  bool any_cpu = false;
  if (limits.cpu_shares > 0) {
    cpu.shares = static_cast<std::uint64_t>(limits.cpu_shares);
    any_cpu = true;
  }
  if (limits.nano_cpus > 0) {
    cpu.period = static_cast<std::uint64_t>(cfs_period_us);
    cpu.quota = limits.nano_cpus * cfs_period_us / 1'000'000'000;
    any_cpu = true;
  }
  if (limits.cpu_period_us > 0) {
    cpu.period = static_cast<std::uint64_t>(limits.cpu_period_us);
    any_cpu = true;
  }
  if (limits.cpu_quota_us != 0) {
    cpu.quota = limits.cpu_quota_us;
    any_cpu = true;
  }
  if (limits.cpu_realtime_period_us > 0) {
    cpu.realtime_period = static_cast<std::uint64_t>(limits.cpu_realtime_period_us);
    any_cpu = true;
  }
  if (limits.cpu_realtime_runtime_us > 0) {
    cpu.realtime_runtime = limits.cpu_realtime_runtime_us;
    any_cpu = true;
  }
  cpu.cpus = limits.cpuset_cpus;
  cpu.mems = limits.cpuset_mems;
  if (any_cpu || !cpu.cpus.empty() || !cpu.mems.empty()) out.cpu = cpu;

  if (limits.pids_limit) out.pids = runtime::Pids{.limit = *limits.pids_limit};
  plan_block_io(limits, out);
  return out;
}

void plan_devices(const api::HostConfig& host, runtime::Spec& spec) {
  std::vector<runtime::DeviceRule>& rules = spec.linux.resources->devices;
  if (host.privileged) {
    rules.push_back(runtime::DeviceRule{.allow = true, .type = "a", .major = {}, .minor = {}, .access = "rwm"});
    add_device_tree(spec.linux, "/dev", "/dev", [](const DeviceNumber&) {});
  } else {
    rules = runtime::make_default_device_rules();
  }
  for (const api::DeviceMapping& device : host.devices.value_or(std::vector<api::DeviceMapping>{})) {
    const std::string access = device.cgroup_permissions.empty() ? "rwm" : device.cgroup_permissions;
    const std::string inner = device.path_in_container.empty() ? device.path_on_host : device.path_in_container;
    const auto allow = [&](const DeviceNumber& number) {
      rules.push_back(runtime::DeviceRule{.allow = true,
                                          .type = std::string(1, number.type),
                                          .major = number.major,
                                          .minor = number.minor,
                                          .access = access});
    };
    std::error_code error;
    if (const std::optional<DeviceNumber> number = find_device(device.path_on_host)) {
      add_device(spec.linux, inner, *number);
      allow(*number);
    } else if (std::filesystem::is_directory(device.path_on_host, error)) {
      add_device_tree(spec.linux, device.path_on_host, inner, allow);
    } else {
      throw Error(ErrorKind::internal, concat("error gathering device information while adding custom device \"",
                                              device.path_on_host, "\": no such file or directory"));
    }
  }
  for (const std::string& rule : host.device_cgroup_rules.value_or(api::StringList{})) {
    rules.push_back(parse_device_rule(rule));
  }
}

}  // namespace mydocker::engine
