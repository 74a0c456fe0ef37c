#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "engine/base/process.h"
#include "engine/base/sys.h"
#include "runtime/capabilities.h"
#include "runtime/oci/container.h"
#include "runtime/oci/verbs.h"

namespace mydocker::oci {
namespace {

void print(const std::string& text) { write_all(1, text); }

std::string pad(std::string text, std::size_t width) {
  if (text.size() < width) text.resize(width, ' ');
  return text;
}

json::object describe(const Container& container) {
  const Record& record = container.record();
  const Status status = container.status();
  json::object out;
  out["ociVersion"] = runtime::oci_version;
  out["id"] = record.id;
  out["pid"] = status == Status::stopped ? 0 : record.pid;
  out["status"] = to_string(status);
  out["bundle"] = record.bundle;
  out["rootfs"] = record.rootfs;
  out["created"] = record.created;
  out["owner"] = record.owner;
  return out;
}

json::array list_block_io(const std::vector<runtime::BlockIoEntry>& entries) {
  json::array out;
  for (const runtime::BlockIoEntry& entry : entries) {
    out.push_back(
        json::object{{"major", entry.major}, {"minor", entry.minor}, {"op", entry.operation}, {"value", entry.value}});
  }
  return out;
}

/// The shape of runc's `events --stats`, which containerd and others parse.
json::object describe_stats(const runtime::CgroupStats& stats) {
  json::object raw;
  for (const auto& [key, value] : stats.memory.counters) raw[key] = value;
  json::array per_cpu;
  for (const std::uint64_t value : stats.cpu.per_cpu_ns) per_cpu.push_back(value);
  json::object cpu{{"usage", json::object{{"total", stats.cpu.total_ns},
                                          {"percpu", per_cpu},
                                          {"kernel", stats.cpu.system_ns},
                                          {"user", stats.cpu.user_ns}}},
                   {"throttling", json::object{{"periods", stats.cpu.periods},
                                               {"throttledPeriods", stats.cpu.throttled_periods},
                                               {"throttledTime", stats.cpu.throttled_ns}}}};
  const auto counter = [&](const char* key) {
    const auto found = stats.memory.counters.find(key);
    return found == stats.memory.counters.end() ? std::uint64_t{0} : found->second;
  };
  json::object memory{{"cache", counter(raw.contains("cache") ? "cache" : "file")},
                      {"usage", json::object{{"usage", stats.memory.usage_bytes},
                                             {"max", stats.memory.max_usage_bytes},
                                             {"limit", stats.memory.limit_bytes},
                                             {"failcnt", stats.memory.failures}}},
                      {"raw", raw}};
  json::object pids{{"current", stats.pids.current}};
  if (stats.pids.limit != UINT64_MAX) pids["limit"] = stats.pids.limit;
  return {{"cpu", cpu},
          {"memory", memory},
          {"pids", pids},
          {"blkio", json::object{{"ioServiceBytesRecursive", list_block_io(stats.block_io.service_bytes)},
                                 {"ioServicedRecursive", list_block_io(stats.block_io.serviced)}}}};
}

void print_event(const std::string& id, std::string_view type, const json::value& data) {
  json::object event{{"type", type}, {"id", id}};
  if (!data.is_null()) event["data"] = data;
  print(write_json(event) + "\n");
}

/// --format, "table" or "json".
bool wants_json(const Arguments& arguments) {
  const std::string format = arguments.get("format", "table");
  if (format != "table" && format != "json") {
    throw Error(ErrorKind::invalid_argument, concat("invalid format \"", format, "\": table or json"));
  }
  return format == "json";
}

/// What the host's ps(1) prints.
std::string run_ps(const Words& options) {
  Pipe output = make_pipe();
  SpawnOptions spawn;
  spawn.program = path_exists("/bin/ps") ? "/bin/ps" : "/usr/bin/ps";
  spawn.arguments = {"ps"};
  spawn.arguments.insert(spawn.arguments.end(), options.begin(), options.end());
  spawn.environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"};
  spawn.fds = {{output.write.get(), 1}, {2, 2}};
  mydocker::Process process = mydocker::Process::spawn(spawn);
  output.write.reset();
  std::string text = read_all(output.read.get(), std::size_t{16} << 20, "ps");
  if (!process.wait().success()) throw Error(ErrorKind::invalid_argument, "ps failed");
  return text;
}

/// The header and the lines whose column PID names one of these.
std::string select_processes(std::string_view text, const std::vector<pid_t>& pids) {
  const auto words_of = [](std::string_view line) {
    std::vector<std::string> words;
    for (std::size_t at = 0; (at = line.find_first_not_of(' ', at)) != std::string_view::npos;) {
      const std::size_t end = std::min(line.find(' ', at), line.size());
      words.emplace_back(line.substr(at, end - at));
      at = end;
    }
    return words;
  };
  std::string out;
  std::size_t column = std::string::npos;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    const std::vector<std::string> words = words_of(line);
    if (column == std::string::npos) {
      column = static_cast<std::size_t>(std::find(words.begin(), words.end(), "PID") - words.begin());
      if (column == words.size()) throw Error(ErrorKind::invalid_argument, "ps printed no column PID");
    } else if (column >= words.size() ||
               std::find(pids.begin(), pids.end(), std::atoi(words[column].c_str())) == pids.end()) {
      continue;
    }
    out += concat(line, "\n");
  }
  return out;
}

/// "5s", "250ms", "1m30s" as Go prints durations, or plain seconds; at least a millisecond.
int parse_interval_ms(const std::string& text) {
  double total = 0;
  const char* at = text.c_str();
  do {
    char* end = nullptr;
    const double value = std::strtod(at, &end);
    const std::string_view rest = end;
    const std::size_t unit = std::min(rest.find_first_of("0123456789."), rest.size());
    const std::string_view word = rest.substr(0, unit);
    const double factor = word == "ms"                  ? 1
                          : word == "s" || word.empty() ? 1000
                          : word == "m"                 ? 60000
                          : word == "h"                 ? 3600000
                                                        : -1;
    if (end == at || factor < 0 || !(value >= 0))
      throw Error(ErrorKind::invalid_argument, concat("invalid interval \"", text, "\""));
    total += value * factor;
    at = end + unit;
  } while (*at != '\0');
  if (total < 1 || total > 86400000)
    throw Error(ErrorKind::invalid_argument, concat("invalid interval \"", text, "\""));
  return static_cast<int>(total);
}

json::array names(std::initializer_list<std::string_view> list) {
  json::array out;
  for (const std::string_view name : list) out.push_back(json::string(name));
  return out;
}

}  // namespace

int state(const GlobalOptions& options, const Words& words) {
  const Arguments arguments(words, {}, true);
  const Container container = Container::open(options, arguments.positional(0, "container id"));
  json::object out = describe(container);
  const runtime::State full = container.state();
  json::object annotations;
  for (const auto& [key, value] : full.annotations) annotations[key] = value;
  if (!annotations.empty()) out["annotations"] = annotations;
  print(write_json(out) + "\n");
  return 0;
}

int list(const GlobalOptions& options, const Words& words) {
  const Arguments arguments(words, {{"quiet", 'q', true}, {"format", 'f'}}, true);
  const bool as_json = wants_json(arguments);
  json::array rows;
  std::string table = concat(pad("ID", 12), " ", pad("PID", 11), " ", pad("STATUS", 11), " ", pad("BUNDLE", 24), " ",
                             pad("CREATED", 30), " OWNER\n");
  for (const std::string& id : Container::list(options)) {
    if (arguments.has("quiet")) {
      print(id + "\n");
      continue;
    }
    const json::object row = describe(Container::open(options, id));
    const auto text = [&](const char* key) { return std::string(row.at(key).as_string()); };
    table += concat(pad(id, 12), " ", pad(std::to_string(row.at("pid").as_int64()), 11), " ", pad(text("status"), 11),
                    " ", pad(text("bundle"), 24), " ", pad(text("created"), 30), " ", text("owner"), "\n");
    rows.push_back(row);
  }
  if (arguments.has("quiet")) return 0;
  print(as_json ? write_json(rows) + "\n" : table);
  return 0;
}

int ps(const GlobalOptions& options, const Words& words) {
  const Arguments arguments(words, {{"format", 'f'}}, false);
  const Container container = Container::open(options, arguments.positional(0, "container id"));
  const std::vector<pid_t> pids = container.cgroup().processes();
  if (wants_json(arguments)) {
    json::array out;
    for (const pid_t pid : pids) out.push_back(pid);
    print(write_json(out) + "\n");
    return 0;
  }
  Words options_of_ps(arguments.positional().begin() + 1, arguments.positional().end());
  if (options_of_ps.empty()) options_of_ps = {"-ef"};
  print(select_processes(run_ps(options_of_ps), pids));
  return 0;
}

int events(const GlobalOptions& options, const Words& words) {
  const Arguments arguments(words, {{"stats", 0, true}, {"interval"}}, true);
  const std::string& id = arguments.positional(0, "container id");
  const Container container = Container::open(options, id);
  const runtime::Cgroup cgroup = container.cgroup();
  if (arguments.has("stats")) {
    print_event(id, "stats", describe_stats(cgroup.stats()));
    return 0;
  }
  const int interval_ms = parse_interval_ms(arguments.get("interval", "5s"));
  const UniqueFd process = container.open_process();
  std::optional<runtime::OomWatch> oom = runtime::OomWatch::start(cgroup);
  for (;;) {
    pollfd waiting[2] = {{process.get(), POLLIN, 0}, {oom ? oom->fd() : -1, POLLIN, 0}};
    const int ready = ::poll(waiting, 2, interval_ms);
    if (ready < 0 && errno != EINTR) throw sys_error("poll");
    // The end may be seen before the kernel's notice.
    const bool look = waiting[1].revents != 0 || waiting[0].revents != 0;
    if (oom && look && oom->read()) print_event(id, "oom", nullptr);
    if (waiting[0].revents != 0) return 0;
    if (ready == 0) print_event(id, "stats", describe_stats(cgroup.stats()));
  }
}

int features(const GlobalOptions&, const Words&) {
  json::object linux_part;
  linux_part["namespaces"] = names({"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"});
  const std::vector<std::string> capabilities = runtime::all_capabilities();
  linux_part["capabilities"] = json::array(capabilities.begin(), capabilities.end());
  linux_part["cgroup"] =
      json::object{{"v1", true}, {"v2", true}, {"systemd", true}, {"systemdUser", false}, {"rdma", false}};
  linux_part["seccomp"] = json::object{
      {"enabled", true},
      {"actions",
       names({"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD",
              "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP"})},
      {"operators", names({"SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT",
                           "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"})},
      {"archs", names({"SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"})},
      {"knownFlags", names({"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
                            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"})},
      {"supportedFlags", names({"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG",
                                "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"})}};
  // What the program can do, whatever this kernel runs (features-linux.md).
  linux_part["apparmor"] = json::object{{"enabled", true}};
  linux_part["selinux"] = json::object{{"enabled", true}};
  linux_part["intelRdt"] = json::object{{"enabled", false}};
  linux_part["memoryPolicy"] =
      json::object{{"modes", names({"MPOL_DEFAULT", "MPOL_BIND", "MPOL_INTERLEAVE", "MPOL_WEIGHTED_INTERLEAVE",
                                    "MPOL_PREFERRED", "MPOL_PREFERRED_MANY", "MPOL_LOCAL"})},
                   {"flags", names({"MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"})}};
  linux_part["netDevices"] = json::object{{"enabled", true}};
  linux_part["mountExtensions"] = json::object{{"idmap", json::object{{"enabled", true}}}};
  json::object out{
      {"ociVersionMin", "1.0.0"},
      {"ociVersionMax", runtime::oci_version},
      {"hooks", names({"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"})},
      {"mountOptions", names({"atime",    "bind",        "defaults",  "dev",        "diratime", "exec",
                              "idmap",    "noatime",     "nodev",     "nodiratime", "noexec",   "nostrictatime",
                              "nosuid",   "nosymfollow", "private",   "ratime",     "rbind",    "rdev",
                              "relatime", "rexec",       "ridmap",    "rnoatime",   "rnodev",   "rnoexec",
                              "rnosuid",  "ro",          "rprivate",  "rro",        "rrw",      "rshared",
                              "rslave",   "runbindable", "rw",        "shared",     "slave",    "strictatime",
                              "suid",     "symfollow",   "tmpcopyup", "unbindable"})},
      {"linux", linux_part}};
  print(write_json(out) + "\n");
  return 0;
}

}  // namespace mydocker::oci
