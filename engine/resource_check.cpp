#include "engine/resource_check.h"

#include <algorithm>
#include <charconv>

#include "engine/base/error.h"

namespace mydocker::engine {
namespace {

constexpr std::int64_t minimum_memory_bytes = 6 << 20;

[[noreturn]] void invalid(std::string message) { throw Error(ErrorKind::invalid_argument, std::move(message)); }

/// Go's %.2f of a CPU count.
std::string two_digits(int whole) { return concat(whole, ".00"); }

void check_cpu_list(const std::string& wanted, const std::string& available, std::string_view what) {
  if (wanted.empty()) return;
  const std::vector<int> have = parse_cpu_list(available);
  std::vector<int> list;
  try {
    list = parse_cpu_list(wanted);
  } catch (const Error&) {
    invalid(concat("Invalid value ", wanted, " for cpuset ", what));
  }
  for (const int number : list) {
    if (std::find(have.begin(), have.end(), number) == have.end()) {
      invalid(concat("Requested ", what == "cpus" ? "CPUs" : "memory nodes", " are not available - requested ", wanted,
                     ", available: ", available));
    }
  }
}

}  // namespace

void check_memory(api::HostConfig& host, const HostFacts& facts, std::vector<std::string>& warnings) {
  if (host.memory_bytes < 0) invalid("Memory limit cannot be negative");
  if (host.memory_bytes > 0 && host.memory_bytes < minimum_memory_bytes) invalid("Minimum memory limit allowed is 6MB");
  if (host.memory_bytes > 0 && !facts.has_memory) {
    invalid("this host has no memory cgroup controller: a memory limit cannot be set");
  }
  if (host.memory_swap_bytes > 0 && host.memory_bytes == 0) {
    invalid("You should always set the Memory limit when using Memoryswap limit, see usage");
  }
  if (host.memory_swap_bytes > 0 && host.memory_swap_bytes < host.memory_bytes) {
    invalid("Minimum memoryswap limit should be larger than memory limit, see usage");
  }
  if (host.memory_swap_bytes < -1) invalid("invalid memoryswap limit");
  // Docker quirk: no swap limit means as much swap as memory (daemon/daemon_unix.go).
  if (host.memory_bytes > 0 && host.memory_swap_bytes == 0) host.memory_swap_bytes = 2 * host.memory_bytes;
  if (host.memory_swappiness) {
    if (*host.memory_swappiness == -1) {
      host.memory_swappiness.reset();
    } else if (*host.memory_swappiness < 0 || *host.memory_swappiness > 100) {
      invalid(concat("Invalid value: ", *host.memory_swappiness, ", valid memory swappiness range is 0-100"));
    }
  }
  if (host.memory_reservation_bytes > 0 && host.memory_reservation_bytes < minimum_memory_bytes) {
    invalid("Minimum memory reservation allowed is 6MB");
  }
  if (host.memory_bytes > 0 && host.memory_reservation_bytes > host.memory_bytes) {
    invalid("Minimum memory limit can not be less than memory reservation limit, see usage");
  }
  if (host.kernel_memory_bytes > 0) {
    warnings.emplace_back("Specifying a kernel memory limit is deprecated and has no effect.");
  }
  if (host.oom_kill_disable.value_or(false) && facts.cgroup_version == 2) {
    warnings.emplace_back("OomKillDisable is not supported on cgroup v2; it is discarded.");
    host.oom_kill_disable.reset();
  } else if (host.oom_kill_disable.value_or(false) && host.memory_bytes == 0) {
    warnings.emplace_back(
        "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running "
        "out of resources.");
  }
  if (facts.cgroup_version == 1 && !host.oom_kill_disable) host.oom_kill_disable = false;
  if (facts.cgroup_version == 2) host.oom_kill_disable.reset();
}

void check_cpu(const api::HostConfig& host, const HostFacts& facts) {
  if (host.nano_cpus < 0 || host.nano_cpus > static_cast<std::int64_t>(facts.cpu_count) * 1'000'000'000 ||
      (host.nano_cpus > 0 && host.nano_cpus < 10'000'000)) {
    invalid(concat("range of CPUs is from 0.01 to ", two_digits(facts.cpu_count), ", as there are only ",
                   facts.cpu_count, " CPUs available"));
  }
  if (host.nano_cpus > 0 && host.cpu_period_us > 0) {
    invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set.");
  }
  if (host.nano_cpus > 0 && host.cpu_quota_us > 0) {
    invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set.");
  }
  if (host.cpu_period_us != 0 && (host.cpu_period_us < 1000 || host.cpu_period_us > 1'000'000)) {
    invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
  }
  if (host.cpu_quota_us > 0 && host.cpu_quota_us < 1000) invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)");
  if (host.cpu_shares < 0)
    invalid("invalid CPU shares (" + std::to_string(host.cpu_shares) + "): value must be a positive integer");
  if (host.cpu_realtime_period_us != 0 || host.cpu_realtime_runtime_us != 0) {
    if (facts.cgroup_version == 2) invalid("CPU real-time scheduling is not supported on cgroup v2");
  }
  check_cpu_list(host.cpuset_cpus, facts.online_cpus, "cpus");
  check_cpu_list(host.cpuset_mems, facts.memory_nodes, "mems");
}

void check_block_io(const api::HostConfig& host, const HostFacts& facts) {
  const bool weight_asked = host.blkio_weight != 0 || (host.blkio_weight_device && !host.blkio_weight_device->empty());
  if (host.blkio_weight != 0 && (host.blkio_weight < 10 || host.blkio_weight > 1000)) {
    invalid("Range of blkio weight is from 10 to 1000");
  }
  if (host.blkio_weight_device) {
    for (const api::WeightDevice& device : *host.blkio_weight_device) {
      if (device.weight != 0 && (device.weight < 10 || device.weight > 1000)) {
        invalid("Range of blkio weight is from 10 to 1000");
      }
    }
  }
  if (weight_asked && !facts.has_blkio_weight) {
    invalid("this kernel has no I/O scheduler with weights (BFQ): a block I/O weight cannot be set");
  }
  if (host.io_maximum_iops != 0) invalid("invalid option: Windows does not apply: IOMaximumIOps");
  if (host.io_maximum_bandwidth != 0) invalid("invalid option: Windows does not apply: IOMaximumBandwidth");
}

std::vector<int> parse_cpu_list(const std::string& text) {
  std::vector<int> numbers;
  std::string_view rest = text;
  const auto take_number = [&](std::string_view part) {
    int value = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (error != std::errc{} || end != part.data() + part.size() || value < 0 || value > 8191) {
      invalid(concat("invalid CPU list \"", text, "\""));
    }
    return value;
  };
  while (!rest.empty()) {
    while (!rest.empty() && (rest.back() == '\n' || rest.back() == ' ')) rest.remove_suffix(1);
    const std::string_view part = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    const std::size_t dash = part.find('-');
    const int first = take_number(part.substr(0, dash));
    const int last = dash == std::string_view::npos ? first : take_number(part.substr(dash + 1));
    if (last < first) invalid(concat("invalid CPU list \"", text, "\""));
    for (int number = first; number <= last; ++number) numbers.push_back(number);
  }
  return numbers;
}

}  // namespace mydocker::engine
