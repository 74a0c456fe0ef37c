#include <fcntl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "engine/base/sys.h"
#include "engine/create_check.h"
#include "runtime/cgroup.h"

namespace mydocker::engine {
namespace {

std::string first_line(const std::string& path) {
  const std::string text = find_file_at(AT_FDCWD, path).value_or("");
  return text.substr(0, text.find('\n'));
}

/// "MemTotal:       24684092 kB" of /proc/meminfo (man 5 proc).
std::int64_t memory_total_bytes() {
  const std::string text = find_file_at(AT_FDCWD, "/proc/meminfo").value_or("");
  const std::size_t begin = text.find_first_of("0123456789");
  std::int64_t kilobytes = 0;
  if (begin != std::string::npos) std::from_chars(text.data() + begin, text.data() + text.size(), kilobytes);
  return kilobytes * 1024;
}

/// PRETTY_NAME of /etc/os-release (man 5 os-release).
std::string operating_system() {
  const std::string text = find_file_at(AT_FDCWD, "/etc/os-release").value_or("");
  constexpr std::string_view key = "PRETTY_NAME=\"";
  const std::size_t begin = text.find(key);
  if (begin == std::string::npos) return "Linux";
  const std::size_t from = begin + key.size();
  return text.substr(from, text.find('"', from) - from);
}

/// A file that only cgroups below the root have: looked for in the root's first few children.
bool child_has(const std::string& root, const std::string& file) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(root, error)) {
    if (entry.is_directory(error) && path_exists(concat(entry.path().string(), "/", file))) return true;
  }
  return false;
}

void read_cgroup_facts(HostFacts& facts) {
  const runtime::CgroupLayout layout = runtime::CgroupLayout::detect();
  const bool unified = layout.mode == runtime::CgroupMode::v2;
  facts.cgroup_version = unified ? 2 : 1;
  facts.has_memory = layout.has("memory");
  facts.has_cpu = layout.has("cpu");
  facts.has_cpuset = layout.has("cpuset");
  facts.has_pids = layout.has("pids");
  facts.has_blkio = layout.has(unified ? "io" : "blkio");
  const std::string& root = layout.root;
  if (unified) {
    facts.has_swap_limit = child_has(root, "memory.swap.max");
    facts.has_blkio_weight = child_has(root, "io.weight") || child_has(root, "io.bfq.weight");
  } else {
    facts.has_swap_limit = path_exists(root + "/memory/memory.memsw.limit_in_bytes");
    facts.has_blkio_weight = path_exists(root + "/blkio/blkio.weight") || path_exists(root + "/blkio/blkio.bfq.weight");
  }
}

}  // namespace

HostFacts read_host_facts() {
  HostFacts facts;
  utsname names{};
  ::uname(&names);
  facts.kernel_version = names.release;
  facts.host_name = names.nodename;
  facts.operating_system = operating_system();
  facts.memory_bytes = memory_total_bytes();
  facts.online_cpus = first_line("/sys/devices/system/cpu/online");
  facts.memory_nodes = first_line("/sys/devices/system/node/online");
  if (facts.memory_nodes.empty()) facts.memory_nodes = "0";
  facts.cpu_count = std::max(1, static_cast<int>(parse_cpu_list(facts.online_cpus).size()));
  facts.boot_id = first_line("/proc/sys/kernel/random/boot_id");
  read_cgroup_facts(facts);
  return facts;
}

}  // namespace mydocker::engine
