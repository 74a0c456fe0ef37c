#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "engine/base/failpoint.h"
#include "engine/base/sys.h"
#include "runtime/cgroup.h"
#include "runtime/cgroup_convert.h"
#include "runtime/device_filter.h"
#include "runtime/systemd.h"

/// Writing limits (OCI config-linux.md "Control groups"): one function per controller, both versions beside each other.
namespace mydocker::runtime {
namespace {

constexpr std::int64_t v1_unlimited_memory = -1;

/// A value that the kernel refuses is the request's fault, a missing file the host's: both name the file.
void write_limit(int dir, const std::string& file, const std::string& value) {
  try {
    write_kernel_file_at(dir, file, value);
  } catch (const Error& error) {
    throw Error(ErrorKind::invalid_argument, concat("cannot set ", file, " to ", value, ": ", error.message()),
                error.errno_value());
  }
}

std::string to_v2_bytes(std::int64_t bytes) { return bytes < 0 ? "max" : std::to_string(bytes); }

std::string device_name(std::int64_t major, std::int64_t minor) { return concat(major, ":", minor); }

bool has_file(int dir, const char* name) { return ::faccessat(dir, name, F_OK, 0) == 0; }

/// A member that was asked for and that no file of this host can hold.
[[noreturn]] void refuse(std::string message) { throw Error(ErrorKind::invalid_argument, std::move(message)); }

bool is_zero(const std::optional<std::string>& text) { return !text || std::strtoll(text->c_str(), nullptr, 10) == 0; }

/// OCI checkBeforeUpdate: a limit below what is in use would set the OOM killer to work.
void check_usage(int dir, const char* file, std::int64_t limit) {
  const std::string usage = read_file_at(dir, file);
  if (limit < 0 || std::stoull(usage) <= static_cast<std::uint64_t>(limit)) return;
  refuse(concat("the memory limit ", limit, " is below what is in use: ", std::stoull(usage)));
}

void write_memory_v2(int dir, const Memory& memory) {
  if (memory.reservation) write_limit(dir, "memory.low", to_v2_bytes(*memory.reservation));
  if (memory.swap) {
    const auto swap = swap_for_v2(*memory.swap, memory.limit);
    if (swap && (has_file(dir, "memory.swap.max") || *swap != "max")) write_limit(dir, "memory.swap.max", *swap);
  }
  if (memory.limit) {
    if (memory.check_before_update.value_or(false)) check_usage(dir, "memory.current", *memory.limit);
    write_limit(dir, "memory.max", to_v2_bytes(*memory.limit));
  }
}

/// The kernel wants limit <= memory+swap at every moment: a raised pair is written from above, a lowered one from
/// below.
void write_memory_v1(int dir, const Memory& memory) {
  const std::string limit_file = "memory.limit_in_bytes";
  const std::string swap_file = "memory.memsw.limit_in_bytes";
  const bool counts_swap = has_file(dir, swap_file.c_str());
  if (memory.swap && !counts_swap && *memory.swap != v1_unlimited_memory && memory.swap != memory.limit) {
    throw Error(ErrorKind::invalid_argument, "memory swap cannot be limited: this kernel does not count swap");
  }
  if (memory.limit && memory.check_before_update.value_or(false)) {
    check_usage(dir, "memory.usage_in_bytes", *memory.limit);
  }
  const bool write_swap = memory.swap.has_value() && counts_swap;
  bool swap_first = false;
  if (write_swap && memory.limit) {
    const std::string current = read_file_at(dir, swap_file);
    swap_first =
        *memory.swap == v1_unlimited_memory || std::stoull(current) < static_cast<std::uint64_t>(*memory.limit);
  }
  if (write_swap && swap_first) write_limit(dir, swap_file, std::to_string(*memory.swap));
  if (memory.limit) write_limit(dir, limit_file, std::to_string(*memory.limit));
  if (write_swap && !swap_first) write_limit(dir, swap_file, std::to_string(*memory.swap));
  if (memory.reservation) write_limit(dir, "memory.soft_limit_in_bytes", std::to_string(*memory.reservation));
  if (memory.swappiness) write_limit(dir, "memory.swappiness", std::to_string(*memory.swappiness));
  if (memory.disable_oom_killer) write_limit(dir, "memory.oom_control", *memory.disable_oom_killer ? "1" : "0");
  if (memory.kernel_tcp) write_limit(dir, "memory.kmem.tcp.limit_in_bytes", std::to_string(*memory.kernel_tcp));
}

/// An idle group has no weight: the kernel refuses one.
bool wants_weight(const Cpu& cpu) { return cpu.shares && *cpu.shares != 0 && cpu.idle.value_or(0) != 1; }

/// The burst may not exceed the quota at any moment.
void drop_burst(int dir, const char* file, const Cpu& cpu) {
  if (cpu.burst && (cpu.quota || cpu.period) && !is_zero(find_file_at(dir, file))) write_limit(dir, file, "0");
}

void write_cpu_v2(int dir, const Cpu& cpu) {
  if (cpu.realtime_period || cpu.realtime_runtime) refuse("real-time CPU limits do not exist on cgroup v2");
  if (cpu.idle) write_limit(dir, "cpu.idle", std::to_string(*cpu.idle));
  if (wants_weight(cpu)) write_limit(dir, "cpu.weight", std::to_string(weight_of_shares(*cpu.shares)));
  drop_burst(dir, "cpu.max.burst", cpu);
  if (cpu.quota || cpu.period) write_limit(dir, "cpu.max", cpu_max(cpu.quota, cpu.period));
  if (cpu.burst) write_limit(dir, "cpu.max.burst", std::to_string(*cpu.burst));
}

/// Each of the two is checked against the other as it is at that moment: the period first, unless that is refused.
void write_quota_v1(int dir, const Cpu& cpu) {
  const bool has_period = cpu.period && *cpu.period != 0;
  const bool has_quota = cpu.quota && *cpu.quota != 0;
  bool period_written = false;
  if (has_period) {
    try {
      write_limit(dir, "cpu.cfs_period_us", std::to_string(*cpu.period));
      period_written = true;
    } catch (const Error& error) {
      if (error.errno_value() != EINVAL || !has_quota) throw;
    }
  }
  if (has_quota) write_limit(dir, "cpu.cfs_quota_us", std::to_string(*cpu.quota));
  if (has_period && !period_written) write_limit(dir, "cpu.cfs_period_us", std::to_string(*cpu.period));
}

void write_cpu_v1(int dir, const Cpu& cpu) {
  if (cpu.idle) write_limit(dir, "cpu.idle", std::to_string(*cpu.idle));
  if (wants_weight(cpu)) write_limit(dir, "cpu.shares", std::to_string(*cpu.shares));
  drop_burst(dir, "cpu.cfs_burst_us", cpu);
  write_quota_v1(dir, cpu);
  if (cpu.burst) write_limit(dir, "cpu.cfs_burst_us", std::to_string(*cpu.burst));
  if (cpu.realtime_period && *cpu.realtime_period != 0) {
    write_limit(dir, "cpu.rt_period_us", std::to_string(*cpu.realtime_period));
  }
  if (cpu.realtime_runtime && *cpu.realtime_runtime != 0) {
    write_limit(dir, "cpu.rt_runtime_us", std::to_string(*cpu.realtime_runtime));
  }
}

void write_throttles(int dir, bool v2, const std::vector<ThrottleDevice>& devices, const char* v1_file,
                     const char* v2_key) {
  for (const ThrottleDevice& device : devices) {
    const std::string name = device_name(device.major, device.minor);
    if (v2) {
      write_limit(dir, "io.max",
                  concat(name, " ", v2_key, "=", device.rate == 0 ? "max" : std::to_string(device.rate)));
    } else {
      write_limit(dir, v1_file, concat(name, " ", device.rate));
    }
  }
}

/// A weight belongs to an I/O scheduler: BFQ's file, CFQ's of old kernels, or io.weight of iocost. Where the file is,
/// the kernel keeps the number; that a scheduler of that kind drives the disk is the administrator's business.
void write_weights(int dir, bool v2, const BlockIo& io) {
  const bool has_device = std::any_of(io.weight_device.begin(), io.weight_device.end(),
                                      [](const WeightDevice& one) { return one.weight.has_value(); });
  if (io.weight.value_or(0) != 0 || has_device) {
    const char* bfq = v2 ? "io.bfq.weight" : "blkio.bfq.weight";
    const char* other = v2 ? "io.weight" : "blkio.weight";
    const std::string file = has_file(dir, bfq) ? bfq : other;
    if (!has_file(dir, file.c_str())) {
      refuse(concat("the block I/O weight cannot be set: this kernel has neither ", bfq, " nor ", other));
    }
    const auto convert = [&](std::uint16_t weight) {
      return file == "io.weight" ? io_weight_of_blkio(weight) : std::uint64_t{weight};
    };
    if (io.weight.value_or(0) != 0) write_limit(dir, file, std::to_string(convert(*io.weight)));
    for (const WeightDevice& device : io.weight_device) {
      if (!device.weight) continue;
      write_limit(dir, v2 ? file : file + "_device",
                  concat(device_name(device.major, device.minor), " ", convert(*device.weight)));
    }
  }
  const auto write_leaf = [&](const std::string& file, const std::string& value) {
    if (v2 || !has_file(dir, file.c_str())) refuse("the block I/O leaf weight cannot be set: this kernel has none");
    write_limit(dir, file, value);
  };
  if (io.leaf_weight.value_or(0) != 0) write_leaf("blkio.leaf_weight", std::to_string(*io.leaf_weight));
  for (const WeightDevice& device : io.weight_device) {
    if (!device.leaf_weight) continue;
    write_leaf("blkio.leaf_weight_device", concat(device_name(device.major, device.minor), " ", *device.leaf_weight));
  }
}

}  // namespace

void Cgroup::apply(const Resources& resources) {
  failpoint("cgroup.limits");
  warnings_.clear();
  if (!resources.rdma.empty()) {
    throw Error(ErrorKind::not_implemented, "linux.resources.rdma: RDMA devices cannot be limited by this runtime");
  }
  if (!unit_.empty()) set_scope_properties(unit_, scope_properties(resources, mode() == CgroupMode::v2));
  if (resources.memory) apply_memory(*resources.memory);
  if (resources.cpu) apply_cpu(*resources.cpu);
  if (resources.pids) apply_pids(*resources.pids);
  if (resources.block_io) apply_block_io(*resources.block_io);
  if (!resources.hugepage_limits.empty()) apply_hugepages(resources.hugepage_limits);
  if (resources.network) apply_network(*resources.network);
  if (!resources.devices.empty()) apply_devices(resources.devices);
  if (!resources.unified.empty()) apply_unified(resources.unified);
}

Resources Cgroup::apply_before_first_process(Resources resources) {
  if (!unit_.empty()) {
    apply(resources);
    return {};
  }
  if (!resources.devices.empty()) apply_devices(resources.devices);
  resources.devices.clear();
  return resources;
}

void Cgroup::apply_memory(const Memory& memory) {
  if (memory.kernel) warnings_.push_back("the kernel memory limit is ignored: kernels have it no more");
  if (!memory.limit && !memory.reservation && !memory.swap && !memory.swappiness && !memory.disable_oom_killer &&
      !memory.kernel_tcp) {
    return;
  }
  const Directory& directory = require_controller("memory", "memory");
  if (memory.limit && memory.swap && *memory.swap >= 0 && *memory.limit > *memory.swap) {
    throw Error(ErrorKind::invalid_argument, "the memory limit is above the limit of memory and swap together");
  }
  Memory wanted = memory;
  if (wanted.limit && *wanted.limit < 0 && !wanted.swap) wanted.swap = -1;  // no memory limit leaves none for both
  if (!is_v2(directory)) return write_memory_v1(directory.fd.get(), wanted);
  if (memory.kernel_tcp) warnings_.push_back("the kernel TCP memory limit is ignored: cgroup v2 has none");
  if (memory.swappiness) warnings_.push_back("memory swappiness is ignored: cgroup v2 has none");
  if (memory.disable_oom_killer && *memory.disable_oom_killer) {
    warnings_.push_back("the OOM killer cannot be disabled on cgroup v2: ignored");
  }
  write_memory_v2(directory.fd.get(), wanted);
}

void Cgroup::apply_cpu(const Cpu& cpu) {
  if (!cpu.cpus.empty() || !cpu.mems.empty()) {
    const Directory& directory = require_controller("cpuset", "the set of CPUs");
    if (!cpu.cpus.empty()) write_limit(directory.fd.get(), "cpuset.cpus", cpu.cpus);
    if (!cpu.mems.empty()) write_limit(directory.fd.get(), "cpuset.mems", cpu.mems);
  }
  const bool has_limit =
      cpu.shares || cpu.quota || cpu.period || cpu.burst || cpu.idle || cpu.realtime_period || cpu.realtime_runtime;
  if (!has_limit) return;
  const Directory& directory = require_controller("cpu", "CPU time");
  if (is_v2(directory)) {
    write_cpu_v2(directory.fd.get(), cpu);
  } else {
    write_cpu_v1(directory.fd.get(), cpu);
  }
}

void Cgroup::apply_pids(const Pids& pids) {
  const Directory& directory = require_controller("pids", "the number of processes");
  write_limit(directory.fd.get(), "pids.max", pids.limit <= 0 ? "max" : std::to_string(pids.limit));
}

void Cgroup::apply_block_io(const BlockIo& io) {
  const Directory* found = find_controller("io");
  if (found == nullptr) found = &require_controller("blkio", "block I/O");
  const int dir = found->fd.get();
  const bool v2 = is_v2(*found);
  write_throttles(dir, v2, io.throttle_read_bps_device, "blkio.throttle.read_bps_device", "rbps");
  write_throttles(dir, v2, io.throttle_write_bps_device, "blkio.throttle.write_bps_device", "wbps");
  write_throttles(dir, v2, io.throttle_read_iops_device, "blkio.throttle.read_iops_device", "riops");
  write_throttles(dir, v2, io.throttle_write_iops_device, "blkio.throttle.write_iops_device", "wiops");
  write_weights(dir, v2, io);
}

void Cgroup::apply_hugepages(const std::vector<HugepageLimit>& limits) {
  const Directory& directory = require_controller("hugetlb", "huge pages");
  for (const HugepageLimit& limit : limits) {
    const bool bad = limit.page_size.empty() || limit.page_size.find('/') != std::string::npos;
    if (bad) throw Error(ErrorKind::invalid_argument, concat("bad huge page size \"", limit.page_size, "\""));
    const std::string file = concat("hugetlb.", limit.page_size, is_v2(directory) ? ".max" : ".limit_in_bytes");
    write_limit(directory.fd.get(), file, std::to_string(limit.limit));
    // Reservations count apart since Linux 5.7: without it mmap(2) succeeds and the page fault kills.
    const std::string reserved =
        concat("hugetlb.", limit.page_size, is_v2(directory) ? ".rsvd.max" : ".rsvd.limit_in_bytes");
    if (has_file(directory.fd.get(), reserved.c_str())) {
      write_limit(directory.fd.get(), reserved, std::to_string(limit.limit));
    }
  }
}

void Cgroup::apply_network(const NetworkClass& network) {
  if (network.class_id && *network.class_id != 0) {
    const Directory& directory = require_controller("net_cls", "the network class");
    write_limit(directory.fd.get(), "net_cls.classid", std::to_string(*network.class_id));
  }
  for (const InterfacePriority& one : network.priorities) {
    const Directory& directory = require_controller("net_prio", "the network priority");
    write_limit(directory.fd.get(), "net_prio.ifpriomap", concat(one.name, " ", one.priority));
  }
}

void Cgroup::apply_devices(const std::vector<DeviceRule>& rules) {
  const Directory* directory = find_controller("devices");
  if (directory == nullptr) {  // v2: a program attached to the cgroup
    if (v2_fd() < 0) throw Error(ErrorKind::internal, "devices cannot be filtered on this host");
    return attach_device_filter(v2_fd(), rules);
  }
  for (const DeviceLine& line : device_lines(rules)) {
    write_limit(directory->fd.get(), line.allow ? "devices.allow" : "devices.deny", line.text);
    failpoint("cgroup.device");
  }
}

void Cgroup::apply_unified(const std::map<std::string, std::string>& files) {
  if (mode() != CgroupMode::v2) {
    throw Error(ErrorKind::invalid_argument, "linux.resources.unified needs a pure cgroup v2 host");
  }
  for (const auto& [name, value] : files) {
    if (name.empty() || name.find('/') != std::string::npos) {
      throw Error(ErrorKind::invalid_argument, concat("linux.resources.unified: bad file name \"", name, "\""));
    }
    if (!has_file(v2_fd(), name.c_str())) {
      refuse(concat("linux.resources.unified: there is no file ", name, ": its controller is not available here"));
    }
    // A file such as io.max takes one line a write.
    for (std::size_t begin = 0; begin < value.size();) {
      const std::size_t end = std::min(value.find('\n', begin), value.size());
      if (end > begin) write_limit(v2_fd(), name, value.substr(begin, end - begin));
      begin = end + 1;
    }
  }
}

}  // namespace mydocker::runtime
