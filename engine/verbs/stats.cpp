#include <fcntl.h>
#include <unistd.h>

#include <charconv>

#include "engine/base/sys.h"
#include "engine/engine.h"
#include "engine/engine_state.h"
#include "engine/launch_plan.h"
#include "runtime/cgroup.h"

/// ContainerStats (WIRE 18).
namespace mydocker::engine {
namespace {

constexpr std::chrono::seconds sample_interval{1};

/// Words of a line, split at blanks.
std::vector<std::string_view> split_words(std::string_view line) {
  std::vector<std::string_view> words;
  while (!line.empty()) {
    const std::size_t begin = line.find_first_not_of(" \t:");
    if (begin == std::string_view::npos) break;
    line.remove_prefix(begin);
    const std::string_view word = line.substr(0, line.find_first_of(" \t:"));
    words.push_back(word);
    line.remove_prefix(word.size());
  }
  return words;
}

std::uint64_t to_number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

/// First seven columns of the "cpu" line of /proc/stat in nanoseconds (man 5 proc).
std::uint64_t read_system_cpu_ns() {
  const std::string text = read_file("/proc/stat");
  const std::vector<std::string_view> words = split_words(std::string_view(text).substr(0, text.find('\n')));
  constexpr std::size_t counted_columns = 7;
  std::uint64_t ticks = 0;
  for (std::size_t i = 1; i <= counted_columns && i < words.size(); ++i) ticks += to_number(words[i]);
  return ticks * 1'000'000'000 / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
}

/// /proc/<pid>/net/dev of the container (man 5 proc): its own interfaces without lo.
std::map<std::string, api::NetworkStats> read_network(int pid) {
  std::map<std::string, api::NetworkStats> out;
  const std::string text = find_file_at(AT_FDCWD, concat("/proc/", pid, "/net/dev")).value_or("");
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::vector<std::string_view> words = split_words(std::string_view(text).substr(begin, end - begin));
    begin = end + 1;
    constexpr std::size_t columns = 17;
    if (words.size() != columns || words[0] == "lo" || words[0].find('|') != std::string_view::npos) continue;
    api::NetworkStats& stats = out[std::string(words[0])];
    stats.rx_bytes = to_number(words[1]);
    stats.rx_packets = to_number(words[2]);
    stats.rx_errors = to_number(words[3]);
    stats.rx_dropped = to_number(words[4]);
    stats.tx_bytes = to_number(words[9]);
    stats.tx_packets = to_number(words[10]);
    stats.tx_errors = to_number(words[11]);
    stats.tx_dropped = to_number(words[12]);
  }
  return out;
}

api::BlkioStats::Entries to_entries(const std::vector<runtime::BlockIoEntry>& entries, bool v2) {
  if (entries.empty()) return std::nullopt;
  std::vector<api::BlkioStatEntry> out;
  for (const runtime::BlockIoEntry& entry : entries) {
    std::string operation = entry.operation;
    if (v2 && !operation.empty()) operation.front() = static_cast<char>(std::tolower(operation.front()));
    out.push_back(api::BlkioStatEntry{entry.major, entry.minor, operation, entry.value});
  }
  return out;
}

/// What a sample is made from; values for the pool thread.
struct SampleInput {
  std::string cgroup;
  int pid = 0;
  bool own_network = false;
  const HostFacts* facts = nullptr;
};

api::Stats take_sample(const SampleInput& input) {
  const runtime::CgroupStats used = runtime::Cgroup::open(input.cgroup).stats();
  api::Stats out;
  out.read = now();
  out.pids.current = used.pids.current;
  out.pids.limit = used.pids.limit;
  out.blkio.io_service_bytes = to_entries(used.block_io.service_bytes, used.v2);
  out.blkio.io_serviced = to_entries(used.block_io.serviced, used.v2);
  out.cpu.usage = api::CpuUsage{used.cpu.total_ns, used.cpu.per_cpu_ns, used.cpu.system_ns, used.cpu.user_ns};
  out.cpu.system_ns = read_system_cpu_ns();
  out.cpu.online_cpus = static_cast<std::uint32_t>(input.facts->cpu_count);
  out.cpu.throttling = api::ThrottlingData{used.cpu.periods, used.cpu.throttled_periods, used.cpu.throttled_ns};
  out.memory.usage_bytes = used.memory.usage_bytes;
  if (!used.v2) {
    out.memory.max_usage_bytes = used.memory.max_usage_bytes;
    out.memory.failcnt = used.memory.failures;
  }
  out.memory.stats = used.memory.counters;
  const auto total = static_cast<std::uint64_t>(input.facts->memory_bytes);
  out.memory.limit_bytes = std::min(used.memory.limit_bytes, total);
  if (input.own_network) out.networks = read_network(input.pid);
  return out;
}

class Sampler : public StatsStream {
 public:
  Sampler(EngineState& state, ContainerPtr container, StatsMode mode)
      : state_(state), container_(std::move(container)), mode_(mode), timer_(state.io) {}

  awaitable<std::optional<api::Stats>> next() override {
    if (started_ && mode_ != StatsMode::stream) co_return std::nullopt;
    const bool first = !std::exchange(started_, true);
    if (!first || mode_ == StatsMode::single) {
      if (first) previous_ = co_await sample();
      timer_.expires_after(sample_interval);
      co_await timer_.async_wait(asio::use_awaitable);
    }
    if (container_->removed) co_return std::nullopt;
    api::Stats current = co_await sample();
    current.previous_read = previous_.read;
    current.previous_cpu = previous_.cpu;
    previous_ = current;
    co_return current;
  }

 private:
  awaitable<api::Stats> sample() {
    api::Stats out;
    if (is_alive(container_->state)) {
      const std::string& mode = container_->record.host_config.network_mode;
      const SampleInput input{.cgroup = cgroup_path(container_->record, state_.options),
                              .pid = container_->record.pid,
                              .own_network = mode != "host" && mode != "none" && !mode.starts_with("container:"),
                              .facts = &state_.facts};
      try {
        out = co_await blocking(state_.disk_pool, [&] { return take_sample(input); });
      } catch (const Error& e) {
        if (is_alive(container_->state) && e.kind() != ErrorKind::not_found) throw;  // else it ended meanwhile
      }
    }
    out.name = "/" + container_->name();
    out.id = container_->id();
    co_return out;
  }

  EngineState& state_;
  ContainerPtr container_;
  StatsMode mode_;
  asio::steady_timer timer_;
  bool started_ = false;
  api::Stats previous_;
};

}  // namespace

std::unique_ptr<StatsStream> Engine::stats(const std::string& id, StatsMode mode) {
  return std::make_unique<Sampler>(*state_, state_->containers.get(id), mode);
}

}  // namespace mydocker::engine
