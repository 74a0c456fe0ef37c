#include "cli/command/stats_text.h"

#include <cstdio>

#include "cli/options/words.h"
#include "cli/units.h"

namespace mydocker::cli {
namespace {

std::string percent(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f%%", value);
  return text;
}

double cpu_percent(const api::Stats& stats) {
  const auto used =
      static_cast<double>(stats.cpu.usage.total_ns) - static_cast<double>(stats.previous_cpu.usage.total_ns);
  const auto passed = static_cast<double>(stats.cpu.system_ns) - static_cast<double>(stats.previous_cpu.system_ns);
  double cpus = stats.cpu.online_cpus;
  if (cpus == 0) cpus = static_cast<double>(stats.cpu.usage.per_cpu_ns.size());
  return used > 0 && passed > 0 ? used / passed * cpus * 100.0 : 0.0;
}

// The page cache that the kernel would give back is not "used": cgroup v1 calls it total_inactive_file.
double memory_used(const api::MemoryStats& memory) {
  for (const char* name : {"total_inactive_file", "inactive_file"}) {
    const auto found = memory.stats.find(name);
    if (found != memory.stats.end() && found->second < memory.usage_bytes) {
      return static_cast<double>(memory.usage_bytes - found->second);
    }
  }
  return static_cast<double>(memory.usage_bytes);
}

std::pair<double, double> block_io(const api::Stats& stats) {
  std::pair<double, double> out;
  for (const auto& entry : stats.blkio.io_service_bytes.value_or(std::vector<api::BlkioStatEntry>{})) {
    const std::string operation = to_lower(entry.op);
    if (operation == "read") out.first += static_cast<double>(entry.value);
    if (operation == "write") out.second += static_cast<double>(entry.value);
  }
  return out;
}

}  // namespace

std::vector<std::pair<std::string, json::value>> stats_fields(const api::Stats& stats, const std::string& container,
                                                              bool truncate) {
  const double used = memory_used(stats.memory);
  const auto limit = static_cast<double>(stats.memory.limit_bytes);
  double received = 0;
  double sent = 0;
  for (const auto& [name, network] : stats.networks) {
    received += static_cast<double>(network.rx_bytes);
    sent += static_cast<double>(network.tx_bytes);
  }
  const auto [read, written] = block_io(stats);
  const std::string name = stats.name.starts_with('/') ? stats.name.substr(1) : stats.name;
  return {{"Container", json::value(container)},
          {"ID", json::value(truncate ? short_id(stats.id) : stats.id)},
          {"Name", json::value(name.empty() ? "--" : name)},
          {"CPUPerc", json::value(percent(cpu_percent(stats)))},
          {"MemUsage", json::value(concat(binary_size(used), " / ", binary_size(limit)))},
          {"MemPerc", json::value(percent(limit > 0 ? used / limit * 100.0 : 0.0))},
          {"NetIO", json::value(concat(human_size(received, 3), " / ", human_size(sent, 3)))},
          {"BlockIO", json::value(concat(human_size(read, 3), " / ", human_size(written, 3)))},
          {"PIDs", json::value(std::to_string(stats.pids.current))}};
}

}  // namespace mydocker::cli
