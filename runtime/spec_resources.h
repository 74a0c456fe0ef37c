#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "engine/base/json.h"

/// The `linux.resources` object of an OCI config.json (config-linux.md "Control groups"). Absent members leave the
/// kernel's value alone; -1 means "no limit" where the type is signed. Values only; any thread; nothing blocks.
namespace mydocker::runtime {

struct DeviceRule {
  bool allow = false;
  std::string type;                   ///< "a" all, "c", "b"; "" = "a"
  std::optional<std::int64_t> major;  ///< absent or -1: any
  std::optional<std::int64_t> minor;
  std::string access;  ///< of "rwm"; "" = "rwm"

  static constexpr auto json_fields() {
    return std::tuple(field("allow", &DeviceRule::allow), field_omit_empty("type", &DeviceRule::type),
                      field_omit_empty("major", &DeviceRule::major), field_omit_empty("minor", &DeviceRule::minor),
                      field_omit_empty("access", &DeviceRule::access));
  }
};

/// Bytes. Written in the shape of cgroup v1; converted for v2 (`swap` is memory+swap here, swap alone there).
struct Memory {
  std::optional<std::int64_t> limit;
  std::optional<std::int64_t> reservation;
  std::optional<std::int64_t> swap;         ///< memory + swap together
  std::optional<std::int64_t> kernel;       ///< ignored: kernels since 5.16 have it no more
  std::optional<std::int64_t> kernel_tcp;   ///< v1 only
  std::optional<std::uint64_t> swappiness;  ///< 0-100; v1 only
  std::optional<bool> disable_oom_killer;   ///< v1 only
  std::optional<bool> use_hierarchy;        ///< v1 only; always on in today's kernels
  std::optional<bool> check_before_update;

  static constexpr auto json_fields() {
    return std::tuple(field_omit_empty("limit", &Memory::limit), field_omit_empty("reservation", &Memory::reservation),
                      field_omit_empty("swap", &Memory::swap), field_omit_empty("kernel", &Memory::kernel),
                      field_omit_empty("kernelTCP", &Memory::kernel_tcp),
                      field_omit_empty("swappiness", &Memory::swappiness),
                      field_omit_empty("disableOOMKiller", &Memory::disable_oom_killer),
                      field_omit_empty("useHierarchy", &Memory::use_hierarchy),
                      field_omit_empty("checkBeforeUpdate", &Memory::check_before_update));
  }
};

struct Cpu {
  std::optional<std::uint64_t> shares;  ///< 2-262144
  std::optional<std::int64_t> quota;    ///< microseconds per period
  std::optional<std::uint64_t> burst;   ///< microseconds
  std::optional<std::uint64_t> period;  ///< microseconds
  std::optional<std::int64_t> realtime_runtime;
  std::optional<std::uint64_t> realtime_period;
  std::string cpus;  ///< "0-3,7"; "" = the parent's
  std::string mems;
  std::optional<std::int64_t> idle;  ///< 1: SCHED_IDLE for the whole cgroup

  static constexpr auto json_fields() {
    return std::tuple(field_omit_empty("shares", &Cpu::shares), field_omit_empty("quota", &Cpu::quota),
                      field_omit_empty("burst", &Cpu::burst), field_omit_empty("period", &Cpu::period),
                      field_omit_empty("realtimeRuntime", &Cpu::realtime_runtime),
                      field_omit_empty("realtimePeriod", &Cpu::realtime_period), field_omit_empty("cpus", &Cpu::cpus),
                      field_omit_empty("mems", &Cpu::mems), field_omit_empty("idle", &Cpu::idle));
  }
};

struct Pids {
  std::int64_t limit = 0;  ///< 0 or less: unlimited

  static constexpr auto json_fields() { return std::tuple(field("limit", &Pids::limit)); }
};

struct WeightDevice {
  std::int64_t major = 0;
  std::int64_t minor = 0;
  std::optional<std::uint16_t> weight;
  std::optional<std::uint16_t> leaf_weight;

  static constexpr auto json_fields() {
    return std::tuple(field("major", &WeightDevice::major), field("minor", &WeightDevice::minor),
                      field_omit_empty("weight", &WeightDevice::weight),
                      field_omit_empty("leafWeight", &WeightDevice::leaf_weight));
  }
};

struct ThrottleDevice {
  std::int64_t major = 0;
  std::int64_t minor = 0;
  std::uint64_t rate = 0;  ///< bytes or operations per second

  static constexpr auto json_fields() {
    return std::tuple(field("major", &ThrottleDevice::major), field("minor", &ThrottleDevice::minor),
                      field("rate", &ThrottleDevice::rate));
  }
};

struct BlockIo {
  std::optional<std::uint16_t> weight;  ///< 10-1000
  std::optional<std::uint16_t> leaf_weight;
  std::vector<WeightDevice> weight_device;
  std::vector<ThrottleDevice> throttle_read_bps_device;
  std::vector<ThrottleDevice> throttle_write_bps_device;
  std::vector<ThrottleDevice> throttle_read_iops_device;
  std::vector<ThrottleDevice> throttle_write_iops_device;

  static constexpr auto json_fields() {
    return std::tuple(field_omit_empty("weight", &BlockIo::weight),
                      field_omit_empty("leafWeight", &BlockIo::leaf_weight),
                      field_omit_empty("weightDevice", &BlockIo::weight_device),
                      field_omit_empty("throttleReadBpsDevice", &BlockIo::throttle_read_bps_device),
                      field_omit_empty("throttleWriteBpsDevice", &BlockIo::throttle_write_bps_device),
                      field_omit_empty("throttleReadIOPSDevice", &BlockIo::throttle_read_iops_device),
                      field_omit_empty("throttleWriteIOPSDevice", &BlockIo::throttle_write_iops_device));
  }
};

struct HugepageLimit {
  std::string page_size;    ///< "2MB"
  std::uint64_t limit = 0;  ///< bytes

  static constexpr auto json_fields() {
    return std::tuple(field("pageSize", &HugepageLimit::page_size), field("limit", &HugepageLimit::limit));
  }
};

struct InterfacePriority {
  std::string name;
  std::uint32_t priority = 0;

  static constexpr auto json_fields() {
    return std::tuple(field("name", &InterfacePriority::name), field("priority", &InterfacePriority::priority));
  }
};

/// net_cls and net_prio; v1 only.
struct NetworkClass {
  std::optional<std::uint32_t> class_id;
  std::vector<InterfacePriority> priorities;

  static constexpr auto json_fields() {
    return std::tuple(field_omit_empty("classID", &NetworkClass::class_id),
                      field_omit_empty("priorities", &NetworkClass::priorities));
  }
};

struct Rdma {
  std::optional<std::uint32_t> hca_handles;
  std::optional<std::uint32_t> hca_objects;

  static constexpr auto json_fields() {
    return std::tuple(field_omit_empty("hcaHandles", &Rdma::hca_handles),
                      field_omit_empty("hcaObjects", &Rdma::hca_objects));
  }
};

struct Resources {
  std::vector<DeviceRule> devices;  ///< applied in order; the last match wins. Empty: no device filter at all
  std::optional<Memory> memory;
  std::optional<Cpu> cpu;
  std::optional<Pids> pids;
  std::optional<BlockIo> block_io;
  std::vector<HugepageLimit> hugepage_limits;
  std::optional<NetworkClass> network;
  std::map<std::string, Rdma> rdma;
  std::map<std::string, std::string> unified;  ///< v2 file name -> content

  static constexpr auto json_fields() {
    return std::tuple(field_omit_empty("devices", &Resources::devices), field_omit_empty("memory", &Resources::memory),
                      field_omit_empty("cpu", &Resources::cpu), field_omit_empty("pids", &Resources::pids),
                      field_omit_empty("blockIO", &Resources::block_io),
                      field_omit_empty("hugepageLimits", &Resources::hugepage_limits),
                      field_omit_empty("network", &Resources::network), field_omit_empty("rdma", &Resources::rdma),
                      field_omit_empty("unified", &Resources::unified));
  }
};

}  // namespace mydocker::runtime
