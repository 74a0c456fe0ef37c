#include <cctype>
#include <cstdlib>
#include <type_traits>

#include "engine/base/sys.h"
#include "runtime/oci/container.h"
#include "runtime/oci/report.h"
#include "runtime/oci/verbs.h"

namespace mydocker::oci {
namespace {

std::int64_t parse_number(const Arguments& arguments, std::string_view name) {
  const std::string text = arguments.get(name);
  char* end = nullptr;
  const long long value = std::strtoll(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0') {
    throw Error(ErrorKind::invalid_argument, concat("invalid value \"", text, "\" for --", name));
  }
  return value;
}

/// "104857600", "100m", "1G", -1 for no limit.
std::int64_t parse_size(const Arguments& arguments, std::string_view name) {
  const std::string text = arguments.get(name);
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  std::string unit = end;
  for (char& c : unit) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const std::string_view suffix : {"ib", "b"}) {
    if (unit.ends_with(suffix)) unit.resize(unit.size() - suffix.size());
  }
  constexpr std::string_view units = "kmgtp";
  const std::size_t power = unit.empty() ? 0 : units.find(unit) + 1;
  if (end == text.c_str() || unit.size() > 1 || (!unit.empty() && power == 0) || value < -1) {
    throw Error(ErrorKind::invalid_argument, concat("invalid value \"", text, "\" for --", name));
  }
  double bytes = value;
  for (std::size_t i = 0; i < power; ++i) bytes *= 1024;
  if (!(bytes < 9e18)) throw Error(ErrorKind::invalid_argument, concat("invalid value \"", text, "\" for --", name));
  return static_cast<std::int64_t>(bytes);
}

void read_size(const Arguments& arguments, std::string_view name, std::optional<std::int64_t>& out) {
  if (arguments.has(name)) out = parse_size(arguments, name);
}

template <typename T>
void read_number(const Arguments& arguments, std::string_view name, std::optional<T>& out) {
  if (!arguments.has(name)) return;
  const std::int64_t value = parse_number(arguments, name);
  if constexpr (std::is_unsigned_v<T>) {
    if (value < 0) throw Error(ErrorKind::invalid_argument, concat("invalid value for --", name, ": below 0"));
  }
  if (static_cast<std::int64_t>(static_cast<T>(value)) != value) {
    throw Error(ErrorKind::invalid_argument, concat("invalid value for --", name, ": out of range"));
  }
  out = static_cast<T>(value);
}

runtime::Resources from_flags(const Arguments& arguments) {
  runtime::Resources resources;
  runtime::Memory memory;
  read_size(arguments, "memory", memory.limit);
  read_size(arguments, "memory-reservation", memory.reservation);
  read_size(arguments, "memory-swap", memory.swap);
  resources.memory = memory;
  runtime::Cpu cpu;
  read_number(arguments, "cpu-quota", cpu.quota);
  read_number(arguments, "cpu-period", cpu.period);
  read_number(arguments, "cpu-burst", cpu.burst);
  read_number(arguments, "cpu-share", cpu.shares);
  read_number(arguments, "cpu-rt-period", cpu.realtime_period);
  read_number(arguments, "cpu-rt-runtime", cpu.realtime_runtime);
  read_number(arguments, "cpu-idle", cpu.idle);
  cpu.cpus = arguments.get("cpuset-cpus");
  cpu.mems = arguments.get("cpuset-mems");
  resources.cpu = cpu;
  if (arguments.has("pids-limit")) resources.pids = runtime::Pids{parse_number(arguments, "pids-limit")};
  if (arguments.has("blkio-weight")) {
    resources.block_io.emplace();
    read_number(arguments, "blkio-weight", resources.block_io->weight);
  }
  return resources;
}

}  // namespace

int update(const GlobalOptions& options, const Words& words) {
  const Arguments arguments(words,
                            {{"resources", 'r'},
                             {"memory"},
                             {"memory-reservation"},
                             {"memory-swap"},
                             {"cpu-quota"},
                             {"cpu-period"},
                             {"cpu-burst"},
                             {"cpu-share"},
                             {"cpu-rt-period"},
                             {"cpu-rt-runtime"},
                             {"cpu-idle"},
                             {"cpuset-cpus"},
                             {"cpuset-mems"},
                             {"pids-limit"},
                             {"blkio-weight"},
                             {"kernel-memory"},
                             {"kernel-memory-tcp"},
                             {"l3-cache-schema"},
                             {"mem-bw-schema"}},
                            true);
  for (const char* name : {"l3-cache-schema", "mem-bw-schema"}) {
    if (arguments.has(name))
      throw Error(ErrorKind::not_implemented, concat("--", name, ": Intel RDT is not supported"));
  }
  for (const char* name : {"kernel-memory", "kernel-memory-tcp"}) {
    if (arguments.has(name))
      warn(options, concat("--", name, " is ignored: kernel memory limits do not exist any more"));
  }
  Container container = Container::open(options, arguments.positional(0, "container id"));
  runtime::Resources resources;
  if (const std::string file = arguments.get("resources"); !file.empty()) {
    const std::string text = file == "-" ? read_all(0, std::size_t{1} << 20, "standard input") : read_file(file);
    resources = from_json<runtime::Resources>(parse_json(text), "resources");
  } else {
    resources = from_flags(arguments);
  }
  runtime::Cgroup cgroup = container.cgroup();
  cgroup.apply(resources);
  warn(options, cgroup.warnings());
  return 0;
}

}  // namespace mydocker::oci
