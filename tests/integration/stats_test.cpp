// The figures of `stats`, as the docker client computes them, against what the kernel's own files say.

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class StatsTest : public DaemonTest {
 protected:
  /// The container's directory in the hierarchy of a controller; "" when the machine has neither form of it.
  static std::string cgroup_directory(pid_t pid, const std::string& controller) {
    std::istringstream lines(read_file(concat("/proc/", pid, "/cgroup")));
    std::string unified;
    for (std::string line; std::getline(lines, line);) {
      const std::size_t first = line.find(':');
      const std::size_t second = line.find(':', first + 1);
      const std::string names = "," + line.substr(first + 1, second - first - 1) + ",";
      const std::string path = line.substr(second + 1);
      if (names.find("," + controller + ",") != std::string::npos) return "/sys/fs/cgroup/" + controller + path;
      if (names == ",,") unified = path;
    }
    return path_exists("/sys/fs/cgroup/cgroup.controllers") ? "/sys/fs/cgroup" + unified : "";
  }
  /// The value behind `key ` in a file of `key value` lines.
  static std::int64_t value_of(const std::string& file, const std::string& key) {
    std::istringstream lines(read_file(file));
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with(key + " ")) return std::stoll(line.substr(key.size() + 1));
    }
    ADD_FAILURE() << file << " has no " << key;
    return 0;
  }
  static std::int64_t cpu_nanoseconds(pid_t pid) {
    const std::string v1 = cgroup_directory(pid, "cpuacct") + "/cpuacct.usage";
    if (path_exists(v1)) return std::stoll(read_file(v1));
    return value_of(cgroup_directory(pid, "cpu") + "/cpu.stat", "usage_usec") * 1000;
  }
  /// What the docker client shows as used memory.
  static std::int64_t memory_bytes(pid_t pid) {
    const std::string dir = cgroup_directory(pid, "memory");
    if (path_exists(dir + "/memory.usage_in_bytes")) {
      return std::stoll(read_file(dir + "/memory.usage_in_bytes")) -
             value_of(dir + "/memory.stat", "total_inactive_file");
    }
    return std::stoll(read_file(dir + "/memory.current")) - value_of(dir + "/memory.stat", "inactive_file");
  }
  /// Bytes of eth0 as /proc/PID/net/dev counts them: received, sent.
  static std::pair<std::int64_t, std::int64_t> network_bytes(pid_t pid) {
    const std::string text = read_file(concat("/proc/", pid, "/net/dev"));
    std::istringstream words(text.substr(text.find("eth0:") + 5));
    std::int64_t columns[9] = {};
    for (std::int64_t& column : columns) words >> column;
    return {columns[0], columns[8]};
  }
  static std::int64_t number(const json::value& sample, const std::string& path) {
    return at(sample, path).to_number<std::int64_t>();
  }
  /// The first seven columns of /proc/stat, of which the client takes a container's share.
  static std::int64_t machine_nanoseconds() {
    std::istringstream words(read_file("/proc/stat"));
    std::string name;
    words >> name;
    std::int64_t ticks = 0;
    for (int i = 0; i < 7; ++i) {
      std::int64_t column = 0;
      words >> column;
      ticks += column;
    }
    return ticks * 1'000'000'000 / ::sysconf(_SC_CLK_TCK);
  }
  /// Takes a sample between two looks into the kernel's own files: it has to lie between them, however long each took.
  json::value sample_between(const std::string& id, pid_t pid) {
    constexpr std::int64_t tick_of_each_cpu = 100'000'000;  // idle time may step back a little (man 5 proc)
    const std::int64_t machine_before = machine_nanoseconds();
    const std::int64_t used_before = cpu_nanoseconds(pid);
    json::value taken = sample(id);
    const std::int64_t used_after = cpu_nanoseconds(pid);
    const std::int64_t machine_after = machine_nanoseconds();
    EXPECT_GE(number(taken, "cpu_stats.cpu_usage.total_usage"), used_before);
    EXPECT_LE(number(taken, "cpu_stats.cpu_usage.total_usage"), used_after);
    EXPECT_GE(number(taken, "cpu_stats.system_cpu_usage"), machine_before - tick_of_each_cpu);
    EXPECT_LE(number(taken, "cpu_stats.system_cpu_usage"), machine_after + tick_of_each_cpu);
    EXPECT_EQ(number(taken, "cpu_stats.online_cpus"), ::sysconf(_SC_NPROCESSORS_ONLN));
    return taken;
  }
  json::value sample(const std::string& id) {
    const Response response = client().get("/containers/" + id + "/stats?stream=0&one-shot=1");
    EXPECT_EQ(response.status, 200) << response.body;
    return response.json();
  }
  /// "1.5MiB" or "200kB" in bytes.
  static double parse_size(const std::string& text) {
    std::size_t end = 0;
    const double value = std::stod(text, &end);
    const std::string unit = text.substr(end);
    const bool binary = unit.find('i') != std::string::npos;
    const std::string prefixes = "kMGT";
    const std::size_t power = unit.size() < 2 ? 0 : prefixes.find(unit[0] == 'K' ? 'k' : unit[0]) + 1;
    return value * std::pow(binary ? 1024 : 1000, static_cast<double>(power));
  }
};

TEST_F(StatsTest, CpuIsWhatTheKernelCounts) {
  const std::string id = run({.command = {"/payload", "spin", "60000"}, .host = {{"NanoCpus", 500000000}}});
  const pid_t pid = pid_of(id);
  const json::value first = sample_between(id, pid);
  HttpStream stream = client().open("GET", "/containers/" + id + "/stats?stream=1");
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(stream.read_line().has_value());
  const json::value last = sample_between(id, pid);
  EXPECT_GT(number(last, "cpu_stats.cpu_usage.total_usage"), number(first, "cpu_stats.cpu_usage.total_usage"));
  EXPECT_GT(number(last, "cpu_stats.system_cpu_usage"), number(first, "cpu_stats.system_cpu_usage"));
}

TEST_F(StatsTest, TheClientShowsHalfAProcessor) {
  REQUIRE_PROGRAM("docker");
  const std::string id = run({.command = {"/payload", "spin", "60000"}, .host = {{"NanoCpus", 500000000}}});
  const pid_t pid = pid_of(id);
  // The client looks at one second within ours, and a busy machine gives each of the two its own share: one look out of
  // several has to agree.
  double off = 100;
  for (int i = 0; i < 12 && off > 1.0; ++i) {
    const std::int64_t machine_before = machine_nanoseconds();
    const std::int64_t kernel_before = cpu_nanoseconds(pid);
    const CommandResult shown = docker({"stats", "--no-stream", "--format", "{{.CPUPerc}}", id});
    ASSERT_EQ(shown.code, 0) << shown.err;
    const double machine = static_cast<double>(machine_nanoseconds() - machine_before) /
                           static_cast<double>(::sysconf(_SC_NPROCESSORS_ONLN));
    const double kernel = 100.0 * static_cast<double>(cpu_nanoseconds(pid) - kernel_before) / machine;
    off = std::min(off, std::abs(std::stod(shown.out) - kernel));
  }
  EXPECT_LE(off, 1.0) << "2 % of the half that it may have";
}

TEST_F(StatsTest, MemoryIsWhatTheKernelCounts) {
  REQUIRE_PROGRAM("docker");
  const std::string id = run({.command = {"/payload", "memhog", "64"}, .host = {{"Memory", 256 << 20}}});
  wait_ready(id);
  const auto kernel = static_cast<double>(memory_bytes(pid_of(id)));
  EXPECT_GT(kernel, 64 << 20);
  const json::value once = sample(id);
  EXPECT_EQ(number(once, "memory_stats.limit"), 256 << 20);
  const CommandResult shown = docker({"stats", "--no-stream", "--format", "{{.MemUsage}} {{.MemPerc}}", id});
  std::istringstream words(shown.out);
  std::string used;
  std::string slash;
  std::string limit;
  std::string percent;
  words >> used >> slash >> limit >> percent;
  EXPECT_NEAR(parse_size(used), kernel, kernel * 0.02) << shown.out;
  EXPECT_EQ(limit, "256MiB");
  EXPECT_NEAR(std::stod(percent), 100.0 * kernel / (256 << 20), 2.0) << shown.out;
}

TEST_F(StatsTest, NetworkIsWhatTheKernelCounts) {
  const std::string id =
      run({.command = {"/payload", "listen", "80", std::string(20'000, 'x')}, .host = {{"NetworkMode", "bridge"}}});
  wait_ready(id);
  const std::string address = text(at(inspect(id), "NetworkSettings.Networks.bridge.IPAddress"));
  for (int i = 0; i < 20; ++i) run_command({payload_program(), "connect", address, "80"});
  const auto before = network_bytes(pid_of(id));
  const json::value once = sample(id);
  const auto after = network_bytes(pid_of(id));
  EXPECT_GT(before.second, 400'000) << "twenty answers of 20,000 bytes";
  EXPECT_GE(number(once, "networks.eth0.rx_bytes"), before.first);
  EXPECT_LE(number(once, "networks.eth0.rx_bytes"), after.first);
  EXPECT_GE(number(once, "networks.eth0.tx_bytes"), before.second);
  EXPECT_LE(number(once, "networks.eth0.tx_bytes"), after.second);
}

TEST_F(StatsTest, BlockIoIsWhatTheKernelCounts) {
  const std::string id = run({.command = {"sh", "-c",
                                          "dd if=/dev/zero of=/data/file bs=1M count=8 conv=fsync 2>/dev/null; "
                                          "echo ready; /payload pause"},
                              .host = {{"Binds", json::array{"stats-io:/data"}}}});
  wait_ready(id);
  const std::string dir = cgroup_directory(pid_of(id), "blkio");
  std::int64_t kernel = 0;
  if (path_exists(dir + "/blkio.throttle.io_service_bytes")) {
    std::istringstream lines(read_file(dir + "/blkio.throttle.io_service_bytes"));
    for (std::string device, operation, value; lines >> device >> operation >> value;) {
      if (operation == "Read" || operation == "Write") kernel += std::stoll(value);
    }
  } else {
    const std::string file = cgroup_directory(pid_of(id), "io") + "/io.stat";
    std::istringstream words(path_exists(file) ? read_file(file) : "");
    for (std::string word; words >> word;) {
      if (word.starts_with("rbytes=") || word.starts_with("wbytes=")) kernel += std::stoll(word.substr(7));
    }
  }
  std::int64_t told = 0;
  const json::value entries = at(sample(id), "blkio_stats.io_service_bytes_recursive");
  if (entries.is_array()) {
    for (const json::value& entry : entries.as_array()) {
      const std::string operation = text(at(entry, "op"));
      if (operation == "read" || operation == "Read" || operation == "write" || operation == "Write") {
        told += number(entry, "value");
      }
    }
  }
  EXPECT_EQ(told, kernel);
  remove(id);
  EXPECT_EQ(client().remove("/volumes/stats-io").status, 204);
}

TEST_F(StatsTest, ProcessesAreCounted) {
  const std::string id =
      run({.command = {"sh", "-c", "sleep 60 & sleep 60 & echo ready; wait"}, .host = {{"PidsLimit", 33}}});
  wait_ready(id);
  const json::value once = sample(id);
  EXPECT_EQ(number(once, "pids_stats.current"), 3);
  EXPECT_EQ(number(once, "pids_stats.limit"), 33);
}

TEST_F(StatsTest, AStreamComesOncePerSecondWithThePreviousSample) {
  const std::string id = run();
  HttpStream stream = client().open("GET", "/containers/" + id + "/stats");
  const json::value first = parse_json(stream.read_line().value());
  const auto begin = std::chrono::steady_clock::now();
  const json::value second = parse_json(stream.read_line().value());
  EXPECT_GT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(500));
  EXPECT_EQ(at(second, "precpu_stats.cpu_usage.total_usage"), at(first, "cpu_stats.cpu_usage.total_usage"));
  EXPECT_EQ(text(at(second, "preread")), text(at(first, "read")));
}

}  // namespace
}  // namespace mydocker::test
