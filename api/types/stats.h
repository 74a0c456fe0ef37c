#pragma once

#include "api/types/json.h"

/// One object of GET /containers/{id}/stats (Engine API v1.51; WIRE 18). CPU times in nanoseconds.
namespace mydocker::api {

struct PidsStats {
  std::uint64_t current = 0;
  std::uint64_t limit = 0;

  static constexpr auto json_fields() {
    return std::tuple(field_omit_empty("current", &PidsStats::current), field_omit_empty("limit", &PidsStats::limit));
  }
};

struct BlkioStatEntry {
  std::uint64_t major = 0;
  std::uint64_t minor = 0;
  std::string op;
  std::uint64_t value = 0;

  static constexpr auto json_fields() {
    using T = BlkioStatEntry;
    return std::tuple(field("major", &T::major), field("minor", &T::minor), field("op", &T::op),
                      field("value", &T::value));
  }
};

struct BlkioStats {
  using Entries = std::optional<std::vector<BlkioStatEntry>>;
  Entries io_service_bytes;
  Entries io_serviced;
  Entries io_queue;
  Entries io_service_time;
  Entries io_wait_time;
  Entries io_merged;
  Entries io_time;
  Entries sectors;

  static constexpr auto json_fields() {
    using T = BlkioStats;
    return std::tuple(field("io_service_bytes_recursive", &T::io_service_bytes),
                      field("io_serviced_recursive", &T::io_serviced), field("io_queue_recursive", &T::io_queue),
                      field("io_service_time_recursive", &T::io_service_time),
                      field("io_wait_time_recursive", &T::io_wait_time), field("io_merged_recursive", &T::io_merged),
                      field("io_time_recursive", &T::io_time), field("sectors_recursive", &T::sectors));
  }
};

struct CpuUsage {
  std::uint64_t total_ns = 0;
  std::vector<std::uint64_t> per_cpu_ns;  ///< cgroup v1 only
  std::uint64_t kernel_ns = 0;
  std::uint64_t user_ns = 0;

  static constexpr auto json_fields() {
    using T = CpuUsage;
    return std::tuple(field("total_usage", &T::total_ns), field_omit_empty("percpu_usage", &T::per_cpu_ns),
                      field("usage_in_kernelmode", &T::kernel_ns), field("usage_in_usermode", &T::user_ns));
  }
};

struct ThrottlingData {
  std::uint64_t periods = 0;
  std::uint64_t throttled_periods = 0;
  std::uint64_t throttled_ns = 0;

  static constexpr auto json_fields() {
    using T = ThrottlingData;
    return std::tuple(field("periods", &T::periods), field("throttled_periods", &T::throttled_periods),
                      field("throttled_time", &T::throttled_ns));
  }
};

struct CpuStats {
  CpuUsage usage;
  std::uint64_t system_ns = 0;
  std::uint32_t online_cpus = 0;
  ThrottlingData throttling;

  static constexpr auto json_fields() {
    using T = CpuStats;
    return std::tuple(field("cpu_usage", &T::usage), field_omit_empty("system_cpu_usage", &T::system_ns),
                      field_omit_empty("online_cpus", &T::online_cpus), field("throttling_data", &T::throttling));
  }
};

struct MemoryStats {
  std::uint64_t usage_bytes = 0;
  std::uint64_t max_usage_bytes = 0;  ///< cgroup v1 only
  std::map<std::string, std::uint64_t> stats;
  std::uint64_t failcnt = 0;  ///< cgroup v1 only
  std::uint64_t limit_bytes = 0;

  static constexpr auto json_fields() {
    using T = MemoryStats;
    return std::tuple(field_omit_empty("usage", &T::usage_bytes), field_omit_empty("max_usage", &T::max_usage_bytes),
                      field_omit_empty("stats", &T::stats), field_omit_empty("failcnt", &T::failcnt),
                      field_omit_empty("limit", &T::limit_bytes));
  }
};

struct NetworkStats {
  std::uint64_t rx_bytes = 0;
  std::uint64_t rx_packets = 0;
  std::uint64_t rx_errors = 0;
  std::uint64_t rx_dropped = 0;
  std::uint64_t tx_bytes = 0;
  std::uint64_t tx_packets = 0;
  std::uint64_t tx_errors = 0;
  std::uint64_t tx_dropped = 0;

  static constexpr auto json_fields() {
    using T = NetworkStats;
    return std::tuple(field("rx_bytes", &T::rx_bytes), field("rx_packets", &T::rx_packets),
                      field("rx_errors", &T::rx_errors), field("rx_dropped", &T::rx_dropped),
                      field("tx_bytes", &T::tx_bytes), field("tx_packets", &T::tx_packets),
                      field("tx_errors", &T::tx_errors), field("tx_dropped", &T::tx_dropped));
  }
};

struct Stats {
  Timestamp read;
  Timestamp previous_read;
  PidsStats pids;
  BlkioStats blkio;
  std::uint32_t processes = 0;  ///< Windows
  EmptyObject storage;          ///< Windows
  CpuStats cpu;
  CpuStats previous_cpu;
  MemoryStats memory;
  std::string name;  ///< with a leading slash
  std::string id;
  std::map<std::string, NetworkStats> networks;

  static constexpr auto json_fields() {
    using T = Stats;
    return std::tuple(field("read", &T::read), field("preread", &T::previous_read), field("pids_stats", &T::pids),
                      field("blkio_stats", &T::blkio), field("num_procs", &T::processes),
                      field("storage_stats", &T::storage), field("cpu_stats", &T::cpu),
                      field("precpu_stats", &T::previous_cpu), field("memory_stats", &T::memory),
                      field("name", &T::name), field("id", &T::id), field_omit_empty("networks", &T::networks));
  }
};

}  // namespace mydocker::api
