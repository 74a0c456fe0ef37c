#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

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
  json::object memory{{"usage", json::object{{"usage", stats.memory.usage_bytes},
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
  const bool as_json = arguments.get("format") == "json";
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
  const Arguments arguments(words, {{"format", 'f'}}, true);
  const Container container = Container::open(options, arguments.positional(0, "container id"));
  const std::vector<pid_t> pids = container.cgroup().processes();
  if (arguments.get("format", "table") == "json") {
    json::array out;
    for (const pid_t pid : pids) out.push_back(pid);
    print(write_json(out) + "\n");
    return 0;
  }
  print(concat(pad("PID", 8), "CMD\n"));
  for (const pid_t pid : pids) {
    std::string command = find_file_at(AT_FDCWD, concat("/proc/", pid, "/cmdline"), 65536).value_or("");
    for (char& c : command) {
      if (static_cast<unsigned char>(c) < 0x20) c = ' ';
    }
    print(concat(pad(std::to_string(pid), 8), command, "\n"));
  }
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
  const int interval_ms = std::max(1, std::atoi(arguments.get("interval", "5").c_str())) * 1000;
  const UniqueFd process = container.open_process();
  std::optional<runtime::OomWatch> oom = runtime::OomWatch::start(cgroup);
  for (;;) {
    pollfd waiting[2] = {{process.get(), POLLIN, 0}, {oom ? oom->fd() : -1, POLLIN, 0}};
    const int ready = ::poll(waiting, 2, interval_ms);
    if (ready < 0 && errno != EINTR) throw sys_error("poll");
    if (oom && waiting[1].revents != 0 && oom->read()) print_event(id, "oom", nullptr);
    if (waiting[0].revents != 0) return 0;
    if (ready == 0) print_event(id, "stats", describe_stats(cgroup.stats()));
  }
}

int features(const GlobalOptions&, const Words&) {
  json::object linux_part;
  linux_part["namespaces"] = names({"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"});
  json::array capabilities;
  const runtime::CapabilityMask own = runtime::own_bounding_set();
  for (unsigned i = 0; i < 64; ++i) {
    if (runtime::has_capability(own, i) && !runtime::capability_name(i).empty()) {
      capabilities.push_back(json::string(runtime::capability_name(i)));
    }
  }
  linux_part["capabilities"] = capabilities;
  linux_part["cgroup"] =
      json::object{{"v1", true}, {"v2", true}, {"systemd", false}, {"systemdUser", false}, {"rdma", false}};
  linux_part["seccomp"] = json::object{
      {"enabled", true},
      {"actions",
       names({"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD",
              "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP"})},
      {"operators", names({"SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT",
                           "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"})},
      {"archs", names({"SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"})},
      {"knownFlags", names({"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
                            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"})}};
  linux_part["apparmor"] = json::object{{"enabled", path_exists("/sys/kernel/security/apparmor")}};
  linux_part["selinux"] = json::object{{"enabled", path_exists("/sys/fs/selinux/enforce")}};
  linux_part["intelRdt"] = json::object{{"enabled", false}};
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
