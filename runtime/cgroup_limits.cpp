#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>

#include "engine/base/failpoint.h"
#include "engine/base/sys.h"
#include "runtime/cgroup.h"
#include "runtime/cgroup_convert.h"
#include "runtime/device_filter.h"

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

void write_memory_v2(int dir, const Memory& memory) {
  if (memory.reservation) write_limit(dir, "memory.low", to_v2_bytes(*memory.reservation));
  if (memory.swap) {
    const auto swap = swap_for_v2(*memory.swap, memory.limit);
    if (swap && (has_file(dir, "memory.swap.max") || *swap != "max")) write_limit(dir, "memory.swap.max", *swap);
  }
  if (memory.limit) write_limit(dir, "memory.max", to_v2_bytes(*memory.limit));
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

}  // namespace

void Cgroup::apply(const Resources& resources) {
  failpoint("cgroup.limits");
  warnings_.clear();
  if (resources.memory) apply_memory(*resources.memory);
  if (resources.cpu) apply_cpu(*resources.cpu);
  if (resources.pids) apply_pids(*resources.pids);
  if (resources.block_io) apply_block_io(*resources.block_io);
  if (!resources.hugepage_limits.empty()) apply_hugepages(resources.hugepage_limits);
  if (resources.network) apply_network(*resources.network);
  if (!resources.devices.empty()) apply_devices(resources.devices);
  if (!resources.unified.empty()) apply_unified(resources.unified);
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
  if (!is_v2(directory)) return write_memory_v1(directory.fd.get(), memory);
  if (memory.swappiness) warnings_.push_back("memory swappiness is ignored: cgroup v2 has none");
  if (memory.disable_oom_killer && *memory.disable_oom_killer) {
    warnings_.push_back("the OOM killer cannot be disabled on cgroup v2: ignored");
  }
  write_memory_v2(directory.fd.get(), memory);
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
  const int dir = directory.fd.get();
  if (is_v2(directory)) {
    if (cpu.realtime_period || cpu.realtime_runtime) {
      throw Error(ErrorKind::invalid_argument, "real-time CPU limits do not exist on cgroup v2");
    }
    if (cpu.idle) write_limit(dir, "cpu.idle", std::to_string(*cpu.idle));
    if (cpu.shares && *cpu.shares != 0) write_limit(dir, "cpu.weight", std::to_string(weight_of_shares(*cpu.shares)));
    if (cpu.quota || cpu.period) write_limit(dir, "cpu.max", cpu_max(cpu.quota, cpu.period));
    if (cpu.burst) write_limit(dir, "cpu.max.burst", std::to_string(*cpu.burst));
    return;
  }
  if (cpu.idle) write_limit(dir, "cpu.idle", std::to_string(*cpu.idle));
  if (cpu.shares && *cpu.shares != 0) write_limit(dir, "cpu.shares", std::to_string(*cpu.shares));
  if (cpu.period && *cpu.period != 0) write_limit(dir, "cpu.cfs_period_us", std::to_string(*cpu.period));
  if (cpu.quota && *cpu.quota != 0) write_limit(dir, "cpu.cfs_quota_us", std::to_string(*cpu.quota));
  if (cpu.burst) write_limit(dir, "cpu.cfs_burst_us", std::to_string(*cpu.burst));
  if (cpu.realtime_period && *cpu.realtime_period != 0) {
    write_limit(dir, "cpu.rt_period_us", std::to_string(*cpu.realtime_period));
  }
  if (cpu.realtime_runtime && *cpu.realtime_runtime != 0) {
    write_limit(dir, "cpu.rt_runtime_us", std::to_string(*cpu.realtime_runtime));
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
  if (!io.weight && io.weight_device.empty() && !io.leaf_weight) return;
  if (io.leaf_weight) warnings_.push_back("the block I/O leaf weight is ignored: kernels have it no more");
  // The weight belongs to an I/O scheduler: BFQ's file, CFQ's of old kernels, or io.weight of iocost.
  const char* file = v2 ? (has_file(dir, "io.bfq.weight") ? "io.bfq.weight" : "io.weight")
                        : (has_file(dir, "blkio.bfq.weight") ? "blkio.bfq.weight" : "blkio.weight");
  if (!has_file(dir, file)) {
    warnings_.push_back("the block I/O weight is ignored: this kernel has no I/O scheduler with weights");
    return;
  }
  const bool plain = std::string_view(file) == "io.weight";
  const auto convert = [&](std::uint16_t weight) { return plain ? io_weight_of_blkio(weight) : std::uint64_t{weight}; };
  if (io.weight && *io.weight != 0) write_limit(dir, file, std::to_string(convert(*io.weight)));
  const std::string device_file = v2 ? file : std::string(file) + "_device";
  for (const WeightDevice& device : io.weight_device) {
    if (!device.weight) continue;
    write_limit(dir, device_file, concat(device_name(device.major, device.minor), " ", convert(*device.weight)));
  }
}

void Cgroup::apply_hugepages(const std::vector<HugepageLimit>& limits) {
  const Directory& directory = require_controller("hugetlb", "huge pages");
  for (const HugepageLimit& limit : limits) {
    const bool bad = limit.page_size.empty() || limit.page_size.find('/') != std::string::npos;
    if (bad) throw Error(ErrorKind::invalid_argument, concat("bad huge page size \"", limit.page_size, "\""));
    const std::string file = concat("hugetlb.", limit.page_size, is_v2(directory) ? ".max" : ".limit_in_bytes");
    write_limit(directory.fd.get(), file, std::to_string(limit.limit));
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
  }
}

void Cgroup::apply_unified(const std::map<std::string, std::string>& files) {
  if (mode() != CgroupMode::v2) {
    throw Error(ErrorKind::invalid_argument, "linux.resources.unified needs a pure cgroup v2 host");
  }
  for (const auto& [name, value] : files) {
    if (name.find('/') != std::string::npos) {
      throw Error(ErrorKind::invalid_argument, concat("linux.resources.unified: bad file name \"", name, "\""));
    }
    write_limit(v2_fd(), name, value);
  }
}

}  // namespace mydocker::runtime
