#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

/// What a cgroup has used, in the shape of the version that counted it. Values only.
namespace mydocker::runtime {

struct CpuStats {
  std::uint64_t total_ns = 0;
  std::uint64_t user_ns = 0;
  std::uint64_t system_ns = 0;
  std::vector<std::uint64_t> per_cpu_ns;  ///< v1 only
  std::uint64_t periods = 0;
  std::uint64_t throttled_periods = 0;
  std::uint64_t throttled_ns = 0;
};

struct MemoryStats {
  std::uint64_t usage_bytes = 0;
  std::uint64_t max_usage_bytes = 0;              ///< 0 where the kernel does not count it
  std::uint64_t limit_bytes = 0;                  ///< UINT64_MAX: none
  std::uint64_t swap_usage_bytes = 0;             ///< swap alone
  std::uint64_t failures = 0;                     ///< v1 memory.failcnt; v2 `max` of memory.events
  std::map<std::string, std::uint64_t> counters;  ///< memory.stat, the kernel's names
};

struct PidsStats {
  std::uint64_t current = 0;
  std::uint64_t limit = 0;  ///< UINT64_MAX: none
};

/// One line of a blkio file (v1) or a pair of io.stat (v2: "Read", "Write", "Discard").
struct BlockIoEntry {
  std::uint64_t major = 0;
  std::uint64_t minor = 0;
  std::string operation;
  std::uint64_t value = 0;
};

struct BlockIoStats {
  std::vector<BlockIoEntry> service_bytes;
  std::vector<BlockIoEntry> serviced;
};

struct CgroupStats {
  bool v2 = false;  ///< the shape of memory.counters and block_io
  CpuStats cpu;
  MemoryStats memory;
  PidsStats pids;
  BlockIoStats block_io;
};

}  // namespace mydocker::runtime
