#include "runtime/systemd.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "runtime/cgroup_convert.h"
#include "runtime/dbus.h"

namespace mydocker::runtime {
namespace {

constexpr DbusTarget manager{"org.freedesktop.systemd1", "/org/freedesktop/systemd1",
                             "org.freedesktop.systemd1.Manager"};
constexpr std::string_view no_such_unit = "org.freedesktop.systemd1.NoSuchUnit";
constexpr std::string_view unit_exists = "org.freedesktop.systemd1.UnitExists";
constexpr std::string_view slice_suffix = ".slice";
constexpr std::size_t longest_unit = 255;
constexpr std::uint64_t infinity = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t microseconds_per_second = 1'000'000;
constexpr std::size_t most_cpus = 8192;

bool is_unit_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view(":-_.\\@").find(c) != std::string_view::npos;
}

std::uint64_t bytes_or_infinity(std::int64_t bytes) { return bytes < 0 ? infinity : static_cast<std::uint64_t>(bytes); }

/// "0-3,7" as a bit for each number, the lowest first.
std::vector<std::uint8_t> to_mask(std::string_view list, std::string_view what) {
  const auto fail = [&] { throw Error(ErrorKind::invalid_argument, concat(what, ": bad list \"", list, "\"")); };
  std::vector<std::uint8_t> mask;
  for (std::string_view rest = list; !rest.empty();) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view part = rest.substr(0, comma);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    std::size_t first = 0;
    auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), first);
    if (error != std::errc{}) fail();
    std::size_t last = first;
    if (end != part.data() + part.size() && *end == '-') {
      const auto [stop, failure] = std::from_chars(end + 1, part.data() + part.size(), last);
      if (failure != std::errc{}) fail();
      end = stop;
    }
    if (end != part.data() + part.size() || last < first || last >= most_cpus) fail();
    if (mask.size() <= last / 8) mask.resize(last / 8 + 1);
    for (std::size_t bit = first; bit <= last; ++bit) {
      mask[bit / 8] = static_cast<std::uint8_t>(mask[bit / 8] | 1U << (bit % 8));
    }
  }
  return mask;
}

void add_memory(const Memory& memory, bool v2, std::vector<UnitProperty>& out) {
  if (memory.limit) out.push_back({v2 ? "MemoryMax" : "MemoryLimit", bytes_or_infinity(*memory.limit)});
  if (!v2) return;
  if (memory.reservation) out.push_back({"MemoryLow", bytes_or_infinity(*memory.reservation)});
  if (!memory.swap) return;
  const std::optional<std::string> swap = swap_for_v2(*memory.swap, memory.limit);
  if (swap) out.push_back({"MemorySwapMax", *swap == "max" ? infinity : std::stoull(*swap)});
}

void add_cpu(const Cpu& cpu, bool v2, std::vector<UnitProperty>& out) {
  if (cpu.shares && *cpu.shares != 0) {
    if (v2) {
      out.push_back({"CPUWeight", weight_of_shares(*cpu.shares)});
    } else {
      out.push_back({"CPUShares", *cpu.shares});
    }
  }
  if (v2 && cpu.idle && *cpu.idle == 1) out.push_back({"CPUWeight", std::uint64_t{0}});  // "idle", since systemd 252
  if (cpu.quota || cpu.period) {
    const std::uint64_t period = cpu.period && *cpu.period != 0 ? *cpu.period : default_cpu_period_us;
    const bool limited = cpu.quota && *cpu.quota > 0;
    out.push_back({"CPUQuotaPerSecUSec",
                   limited ? static_cast<std::uint64_t>(*cpu.quota) * microseconds_per_second / period : infinity});
    out.push_back({"CPUQuotaPeriodUSec", period});
  }
  if (!v2) return;
  if (!cpu.cpus.empty()) out.push_back({"AllowedCPUs", to_mask(cpu.cpus, "cpus")});
  if (!cpu.mems.empty()) out.push_back({"AllowedMemoryNodes", to_mask(cpu.mems, "mems")});
}

/// The v2 files that have a property of the same meaning.
void add_unified(const std::map<std::string, std::string>& files, std::vector<UnitProperty>& out) {
  static constexpr std::pair<std::string_view, std::string_view> names[] = {
      {"memory.max", "MemoryMax"}, {"memory.high", "MemoryHigh"},        {"memory.low", "MemoryLow"},
      {"memory.min", "MemoryMin"}, {"memory.swap.max", "MemorySwapMax"}, {"pids.max", "TasksMax"},
      {"cpu.weight", "CPUWeight"}, {"cpuset.cpus", "AllowedCPUs"},       {"cpuset.mems", "AllowedMemoryNodes"}};
  for (const auto& [file, name] : names) {
    const auto found = files.find(std::string(file));
    if (found == files.end()) continue;
    if (file.starts_with("cpuset.")) {
      out.push_back({std::string(name), to_mask(found->second, file)});
      continue;
    }
    std::uint64_t value = infinity;
    if (found->second != "max") {
      const char* end = found->second.data() + found->second.size();
      const auto [stop, error] = std::from_chars(found->second.data(), end, value);
      if (error != std::errc{} || stop != end) continue;  // the kernel will say what it thinks of it
    }
    out.push_back({std::string(name), value});
  }
}

std::optional<std::pair<std::string, std::string>> to_device(const DeviceRule& rule) {
  if (!rule.allow || (rule.type != "c" && rule.type != "b")) return std::nullopt;
  const std::string_view kind = rule.type == "c" ? "char" : "block";
  const bool any_major = !rule.major || *rule.major < 0;
  const bool any_minor = !rule.minor || *rule.minor < 0;
  const std::string access = rule.access.empty() ? "rwm" : rule.access;
  if (any_major) return std::pair(concat(kind, "-*"), access);
  if (any_minor) return std::pair(concat(kind, "-", *rule.major), access);
  return std::pair(concat("/dev/", kind, "/", *rule.major, ":", *rule.minor), access);
}

/// systemd has a list of what is allowed and no more: a list that forbids nothing but by its first rule. With any other
/// it is told to let everything pass, and our own filter, which the kernel asks as well, decides alone.
void add_devices(const std::vector<DeviceRule>& rules, std::vector<UnitProperty>& out) {
  std::size_t begin = 0;
  bool allow_all = true;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const DeviceRule& rule = rules[i];
    const bool for_all = (rule.type.empty() || rule.type == "a") && rule.major.value_or(-1) < 0;
    if (!for_all) continue;
    allow_all = rule.allow;
    begin = i + 1;
  }
  UnitProperty::DeviceList list;
  for (std::size_t i = begin; i < rules.size() && !allow_all; ++i) {
    if (const auto device = to_device(rules[i])) list.push_back(*device);
    if (rules[i].allow && rules[i].type != "c" && rules[i].type != "b") allow_all = true;
  }
  if (allow_all) list.clear();
  out.push_back({"DevicePolicy", std::string(allow_all ? "auto" : "strict")});
  out.push_back({"DeviceAllow", list});
}

void put_property(DbusWriter& writer, const UnitProperty& property) {
  writer.put_struct([&] {
    writer.put_string(property.name);
    if (const auto* text = std::get_if<std::string>(&property.value)) {
      writer.put_variant("s", [&] { writer.put_string(*text); });
    } else if (const auto* flag = std::get_if<bool>(&property.value)) {
      writer.put_variant("b", [&] { writer.put_bool(*flag); });
    } else if (const auto* number = std::get_if<std::uint64_t>(&property.value)) {
      writer.put_variant("t", [&] { writer.put_uint64(*number); });
    } else if (const auto* mask = std::get_if<std::vector<std::uint8_t>>(&property.value)) {
      writer.put_variant("ay", [&] {
        writer.put_array("y", [&] {
          for (const std::uint8_t byte : *mask) writer.put_byte(byte);
        });
      });
    } else {
      const auto& devices = std::get<UnitProperty::DeviceList>(property.value);
      writer.put_variant("a(ss)", [&] {
        writer.put_array("(ss)", [&] {
          for (const auto& [device, access] : devices) {
            writer.put_struct([&] {
              writer.put_string(device);
              writer.put_string(access);
            });
          }
        });
      });
    }
  });
}

void put_pids(DbusWriter& writer, pid_t process) {
  writer.put_array("u", [&] { writer.put_uint32(static_cast<std::uint32_t>(process)); });
}

/// Waits for the end of the job that the reply names.
void await_job(DbusConnection& bus, const DbusMessage& reply, std::string_view what) {
  const std::string job = DbusReader(reply.body).get_string();
  const DbusMessage removed = bus.wait_signal([&](const DbusMessage& signal) {
    if (signal.member != "JobRemoved" || signal.signature != "uoss") return false;
    DbusReader reader(signal.body);
    (void)reader.get_uint32();
    return reader.get_string() == job;
  });
  DbusReader reader(removed.body);
  (void)reader.get_uint32();
  for (int i = 0; i < 2; ++i) (void)reader.get_string();
  const std::string result = reader.get_string();
  if (result != "done") throw Error(ErrorKind::internal, concat("systemd: ", what, ": ", result));
}

DbusConnection connect_systemd() {
  try {
    DbusConnection bus;
    bus.call(manager, "Subscribe");  // JobRemoved is sent to subscribers only
    return bus;
  } catch (Error& error) {
    error.add_context("the systemd cgroup driver needs systemd on the D-Bus system bus");
    throw;
  }
}

void start_scope(DbusConnection& bus, const ScopeName& name, std::string_view description, pid_t process) {
  DbusWriter arguments;
  arguments.put_string(name.unit);
  arguments.put_string("fail");
  arguments.put_array("(sv)", [&] {
    for (const UnitProperty& property : std::initializer_list<UnitProperty>{
             {"Description", std::string(description)},
             {"Slice", name.slice},
             {"Delegate", true},
             {"DefaultDependencies", false},  // else a shutdown kills it before the engine could stop it
             {"CollectMode", std::string("inactive-or-failed")},
             {"CPUAccounting", true},
             {"MemoryAccounting", true},
             {"IOAccounting", true},
             {"TasksAccounting", true}}) {
      put_property(arguments, property);
    }
    arguments.put_struct([&] {
      arguments.put_string("PIDs");
      arguments.put_variant("au", [&] { put_pids(arguments, process); });
    });
  });
  arguments.put_array("(sa(sv))", [] {});
  await_job(bus, bus.call(manager, "StartTransientUnit", arguments), concat("start ", name.unit));
}

}  // namespace

bool is_slice_name(std::string_view text) {
  if (!text.ends_with(slice_suffix) || text.size() > longest_unit) return false;
  const std::string_view stem = text.substr(0, text.size() - slice_suffix.size());
  if (stem == "-") return true;
  if (stem.empty() || stem.front() == '-' || stem.back() == '-' || stem.find("--") != std::string_view::npos) {
    return false;
  }
  return std::all_of(stem.begin(), stem.end(), is_unit_character);
}

std::string ScopeName::path() const {
  std::string out;
  const std::string stem = slice.substr(0, slice.size() - slice_suffix.size());
  for (std::size_t dash = 0; stem != "-" && dash != std::string::npos;) {
    dash = stem.find('-', dash == 0 ? 0 : dash + 1);
    out += concat("/", stem.substr(0, dash), slice_suffix);
  }
  return concat(out, "/", unit);
}

std::optional<ScopeName> parse_scope_name(std::string_view cgroups_path) {
  if (cgroups_path.starts_with('/')) return std::nullopt;
  const std::size_t first = cgroups_path.find(':');
  const std::size_t second = first == std::string_view::npos ? first : cgroups_path.find(':', first + 1);
  if (second == std::string_view::npos) {
    throw Error(ErrorKind::invalid_argument,
                concat("expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got \"",
                       cgroups_path, "\" instead"));
  }
  ScopeName out;
  out.slice = std::string(cgroups_path.substr(0, first));
  if (out.slice.empty()) out.slice = "system.slice";
  const std::string_view prefix = cgroups_path.substr(first + 1, second - first - 1);
  const std::string_view name = cgroups_path.substr(second + 1);
  out.unit = concat(prefix, prefix.empty() ? "" : "-", name, ".scope");
  if (!is_slice_name(out.slice)) {
    throw Error(ErrorKind::invalid_argument, concat("\"", out.slice, "\" is not the name of a slice of systemd"));
  }
  if (name.empty() || out.unit.size() > longest_unit ||
      !std::all_of(out.unit.begin(), out.unit.end(), is_unit_character)) {
    throw Error(ErrorKind::invalid_argument, concat("\"", out.unit, "\" cannot be the name of a scope of systemd"));
  }
  return out;
}

std::vector<UnitProperty> scope_properties(const Resources& resources, bool v2) {
  std::vector<UnitProperty> out;
  if (resources.memory) add_memory(*resources.memory, v2, out);
  if (resources.cpu) add_cpu(*resources.cpu, v2, out);
  if (resources.pids) {
    out.push_back(
        {"TasksMax", resources.pids->limit <= 0 ? infinity : static_cast<std::uint64_t>(resources.pids->limit)});
  }
  if (resources.block_io && resources.block_io->weight.value_or(0) != 0) {
    const std::uint64_t weight = *resources.block_io->weight;
    if (v2) {
      out.push_back({"IOWeight", io_weight_of_blkio(weight)});
    } else {
      out.push_back({"BlockIOWeight", weight});
    }
  }
  if (!resources.devices.empty()) add_devices(resources.devices, out);
  if (v2) add_unified(resources.unified, out);
  return out;
}

void start_scope(const ScopeName& name, std::string_view description, pid_t process) {
  DbusConnection bus = connect_systemd();
  start_scope(bus, name, description, process);
}

void set_scope_properties(const std::string& unit, const std::vector<UnitProperty>& properties) {
  if (properties.empty()) return;
  DbusConnection bus = connect_systemd();
  DbusWriter arguments;
  arguments.put_string(unit);
  arguments.put_bool(true);  // runtime: nothing is written to the disk
  arguments.put_array("(sv)", [&] {
    for (const UnitProperty& property : properties) put_property(arguments, property);
  });
  bus.call(manager, "SetUnitProperties", arguments);
}

void stop_scope(const std::string& unit) {
  DbusConnection bus = connect_systemd();
  DbusWriter arguments;
  arguments.put_string(unit);
  arguments.put_string("replace");
  try {
    await_job(bus, bus.call(manager, "StopUnit", arguments), concat("stop ", unit));
  } catch (const DbusError& error) {
    if (error.name() != no_such_unit) throw;
  }
}

void enter_scope(const ScopeName& name, std::string_view description, pid_t process) {
  DbusConnection bus = connect_systemd();
  const auto attach = [&] {
    DbusWriter arguments;
    arguments.put_string(name.unit);
    arguments.put_string("");
    put_pids(arguments, process);
    bus.call(manager, "AttachProcessesToUnit", arguments);
  };
  try {
    return attach();
  } catch (const DbusError& error) {
    if (error.name() != no_such_unit) throw;
  }
  try {
    return start_scope(bus, name, description, process);
  } catch (const DbusError& error) {
    if (error.name() != unit_exists) throw;  // somebody else was faster
  }
  attach();
}

}  // namespace mydocker::runtime
