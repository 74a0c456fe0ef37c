#include "runtime/cgroup_stats.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <sstream>

#include "engine/base/sys.h"
#include "runtime/cgroup.h"

namespace mydocker::runtime {
namespace {

constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();
/// v1 writes "no limit" as the highest multiple of the page size.
constexpr std::uint64_t v1_no_limit = std::uint64_t{1} << 62;

std::uint64_t parse_number(std::string_view text) { return std::strtoull(std::string(text).c_str(), nullptr, 10); }

std::uint64_t read_number(int dir, const std::string& file) {
  const auto text = find_file_at(dir, file);
  if (!text) return 0;
  return text->starts_with("max") ? unlimited : parse_number(*text);
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    if (end > 0) out.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

/// "key value" lines.
std::map<std::string, std::uint64_t> read_counters(int dir, const std::string& file) {
  std::map<std::string, std::uint64_t> out;
  const auto text = find_file_at(dir, file);
  if (!text) return out;
  for (const std::string_view line : split(*text, '\n')) {
    const std::size_t space = line.find(' ');
    if (space != std::string_view::npos) out[std::string(line.substr(0, space))] = parse_number(line.substr(space + 1));
  }
  return out;
}

std::uint64_t value_of(const std::map<std::string, std::uint64_t>& counters, const char* key) {
  const auto found = counters.find(key);
  return found == counters.end() ? 0 : found->second;
}

CpuStats read_cpu_v2(int dir) {
  const auto counters = read_counters(dir, "cpu.stat");
  CpuStats cpu;
  cpu.total_ns = value_of(counters, "usage_usec") * 1000;
  cpu.user_ns = value_of(counters, "user_usec") * 1000;
  cpu.system_ns = value_of(counters, "system_usec") * 1000;
  cpu.periods = value_of(counters, "nr_periods");
  cpu.throttled_periods = value_of(counters, "nr_throttled");
  cpu.throttled_ns = value_of(counters, "throttled_usec") * 1000;
  return cpu;
}

void read_cpuacct_v1(int dir, CpuStats& cpu) {
  cpu.total_ns = read_number(dir, "cpuacct.usage");
  const auto ticks = read_counters(dir, "cpuacct.stat");
  const std::uint64_t tick_ns = 1000000000ULL / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  cpu.user_ns = value_of(ticks, "user") * tick_ns;
  cpu.system_ns = value_of(ticks, "system") * tick_ns;
  if (const auto text = find_file_at(dir, "cpuacct.usage_percpu")) {
    for (const std::string_view word : split(std::string_view(*text).substr(0, text->find('\n')), ' ')) {
      cpu.per_cpu_ns.push_back(parse_number(word));
    }
  }
}

void read_throttling_v1(int dir, CpuStats& cpu) {
  const auto counters = read_counters(dir, "cpu.stat");
  cpu.periods = value_of(counters, "nr_periods");
  cpu.throttled_periods = value_of(counters, "nr_throttled");
  cpu.throttled_ns = value_of(counters, "throttled_time");
}

MemoryStats read_memory_v2(int dir) {
  MemoryStats memory;
  memory.usage_bytes = read_number(dir, "memory.current");
  memory.max_usage_bytes = read_number(dir, "memory.peak");
  memory.limit_bytes = read_number(dir, "memory.max");
  memory.swap_usage_bytes = read_number(dir, "memory.swap.current");
  memory.failures = value_of(read_counters(dir, "memory.events"), "max");
  memory.counters = read_counters(dir, "memory.stat");
  return memory;
}

MemoryStats read_memory_v1(int dir) {
  MemoryStats memory;
  memory.usage_bytes = read_number(dir, "memory.usage_in_bytes");
  memory.max_usage_bytes = read_number(dir, "memory.max_usage_in_bytes");
  memory.limit_bytes = read_number(dir, "memory.limit_in_bytes");
  if (memory.limit_bytes >= v1_no_limit) memory.limit_bytes = unlimited;
  const std::uint64_t both = read_number(dir, "memory.memsw.usage_in_bytes");
  memory.swap_usage_bytes = both > memory.usage_bytes ? both - memory.usage_bytes : 0;
  memory.failures = read_number(dir, "memory.failcnt");
  memory.counters = read_counters(dir, "memory.stat");
  return memory;
}

/// "254:0 Read 4096" lines.
std::vector<BlockIoEntry> read_blkio(int dir, const std::string& file) {
  std::vector<BlockIoEntry> out;
  const auto text = find_file_at(dir, file);
  if (!text) return out;
  for (const std::string_view line : split(*text, '\n')) {
    const auto words = split(line, ' ');
    if (words.size() != 3) continue;  // "Total n"
    const std::size_t colon = words[0].find(':');
    if (colon == std::string_view::npos) continue;
    out.push_back({parse_number(words[0].substr(0, colon)), parse_number(words[0].substr(colon + 1)),
                   std::string(words[1]), parse_number(words[2])});
  }
  return out;
}

/// "254:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0" lines.
BlockIoStats read_io_v2(int dir) {
  BlockIoStats io;
  const auto text = find_file_at(dir, "io.stat");
  if (!text) return io;
  for (const std::string_view line : split(*text, '\n')) {
    const auto words = split(line, ' ');
    const std::size_t colon = words.empty() ? std::string_view::npos : words[0].find(':');
    if (colon == std::string_view::npos) continue;
    const std::uint64_t major = parse_number(words[0].substr(0, colon));
    const std::uint64_t minor = parse_number(words[0].substr(colon + 1));
    for (std::size_t i = 1; i < words.size(); ++i) {
      const std::size_t equals = words[i].find('=');
      if (equals == std::string_view::npos) continue;
      const std::string_view key = words[i].substr(0, equals);
      const char* operation = key.starts_with("r") ? "Read" : key.starts_with("w") ? "Write" : "Discard";
      auto& list = key.ends_with("bytes") ? io.service_bytes : io.serviced;
      list.push_back({major, minor, operation, parse_number(words[i].substr(equals + 1))});
    }
  }
  return io;
}

}  // namespace

CgroupStats Cgroup::stats() const {
  CgroupStats stats;
  stats.v2 = mode() == CgroupMode::v2;
  if (const Directory* cpu = find_controller("cpu")) {
    if (is_v2(*cpu))
      stats.cpu = read_cpu_v2(cpu->fd.get());
    else
      read_throttling_v1(cpu->fd.get(), stats.cpu);
  } else if (stats.v2 && v2_fd() >= 0) {
    stats.cpu = read_cpu_v2(v2_fd());  // usage is counted without the controller
  }
  if (const Directory* accounting = find_controller("cpuacct")) read_cpuacct_v1(accounting->fd.get(), stats.cpu);
  if (const Directory* memory = find_controller("memory")) {
    stats.memory = is_v2(*memory) ? read_memory_v2(memory->fd.get()) : read_memory_v1(memory->fd.get());
  }
  if (const Directory* pids = find_controller("pids")) {
    stats.pids.current = read_number(pids->fd.get(), "pids.current");
    stats.pids.limit = read_number(pids->fd.get(), "pids.max");
  }
  if (const Directory* io = find_controller("io")) {
    stats.block_io = read_io_v2(io->fd.get());
  } else if (const Directory* blkio = find_controller("blkio")) {
    const auto read = [&](const std::string& file) {  // with what a container's own cgroups below have used
      auto entries = read_blkio(blkio->fd.get(), file + "_recursive");
      return entries.empty() ? read_blkio(blkio->fd.get(), file) : entries;
    };
    stats.block_io.service_bytes = read("blkio.throttle.io_service_bytes");
    stats.block_io.serviced = read("blkio.throttle.io_serviced");
  }
  return stats;
}

std::uint64_t Cgroup::oom_kill_count() const {
  const Directory* memory = find_controller("memory");
  if (memory == nullptr) return 0;
  return value_of(read_counters(memory->fd.get(), is_v2(*memory) ? "memory.events" : "memory.oom_control"), "oom_kill");
}

}  // namespace mydocker::runtime
