#include <cstdlib>

#include "engine/base/sys.h"
#include "runtime/oci/container.h"
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

template <typename T>
void read_number(const Arguments& arguments, std::string_view name, std::optional<T>& out) {
  if (arguments.has(name)) out = static_cast<T>(parse_number(arguments, name));
}

runtime::Resources from_flags(const Arguments& arguments) {
  runtime::Resources resources;
  runtime::Memory memory;
  read_number(arguments, "memory", memory.limit);
  read_number(arguments, "memory-reservation", memory.reservation);
  read_number(arguments, "memory-swap", memory.swap);
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
                             {"blkio-weight"}},
                            true);
  Container container = Container::open(options, arguments.positional(0, "container id"));
  runtime::Resources resources;
  if (const std::string file = arguments.get("resources"); !file.empty()) {
    const std::string text = file == "-" ? read_all(0, std::size_t{1} << 20, "standard input") : read_file(file);
    resources = from_json<runtime::Resources>(parse_json(text), "resources");
  } else {
    resources = from_flags(arguments);
  }
  container.cgroup().apply(resources);
  return 0;
}

}  // namespace mydocker::oci
