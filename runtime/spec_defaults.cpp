#include <dirent.h>
#include <sys/stat.h>

#include <limits>

#include "runtime/spec.h"

/// The defaults of SECURITY 6: what a container gets when nobody asks for anything else.
namespace mydocker::runtime {
namespace {

constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();

DeviceRule make_rule(bool allow, std::string type, std::optional<std::int64_t> major, std::optional<std::int64_t> minor,
                     std::string access) {
  return {allow, std::move(type), major, minor, std::move(access)};
}

}  // namespace

std::vector<Mount> make_default_mounts(std::int64_t shm_bytes) {
  return {
      {"/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}, {}, {}},
      {"/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}, {}, {}},
      {"/dev/pts",
       "devpts",
       "devpts",
       {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"},
       {},
       {}},
      {"/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", concat("size=", shm_bytes)}, {}, {}},
      {"/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}, {}, {}},
      {"/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}, {}, {}},
      {"/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", "ro"}, {}, {}},
  };
}

std::vector<std::string> make_default_masked_paths() {
  std::vector<std::string> paths = {"/proc/acpi",
                                    "/proc/asound",
                                    "/proc/interrupts",
                                    "/proc/kcore",
                                    "/proc/keys",
                                    "/proc/latency_stats",
                                    "/proc/sched_debug",
                                    "/proc/scsi",
                                    "/proc/timer_list",
                                    "/proc/timer_stats",
                                    "/sys/devices/virtual/powercap",
                                    "/sys/firmware"};
  const std::string cpus = "/sys/devices/system/cpu";
  // The first cpu shows whether this machine has the files at all; most virtual ones have not.
  struct stat found{};
  for (unsigned i = 0; ::stat(concat(cpus, "/cpu", i, "/thermal_throttle").c_str(), &found) == 0; ++i) {
    paths.push_back(concat(cpus, "/cpu", i, "/thermal_throttle"));
  }
  return paths;
}

std::vector<std::string> make_default_readonly_paths() {
  return {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
}

std::vector<DeviceRule> make_default_device_rules() {
  std::vector<DeviceRule> rules = {make_rule(false, "a", std::nullopt, std::nullopt, "rwm"),
                                   make_rule(true, "c", std::nullopt, std::nullopt, "m"),
                                   make_rule(true, "b", std::nullopt, std::nullopt, "m")};
  constexpr std::pair<std::int64_t, std::int64_t> allowed[] = {{1, 3}, {1, 5}, {1, 7}, {1, 8},
                                                               {1, 9}, {5, 0}, {5, 1}, {5, 2}};
  for (const auto& [major, minor] : allowed) rules.push_back(make_rule(true, "c", major, minor, "rwm"));
  rules.push_back(make_rule(true, "c", 136, std::nullopt, "rwm"));
  rules.push_back(make_rule(false, "c", 10, 229, "rw"));
  return rules;
}

std::vector<std::string> make_default_capabilities() {
  return {"CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FSETID",           "CAP_FOWNER",
          "CAP_MKNOD",   "CAP_NET_RAW",      "CAP_SETGID",           "CAP_SETUID",
          "CAP_SETFCAP", "CAP_SETPCAP",      "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT",
          "CAP_KILL",    "CAP_AUDIT_WRITE"};
}

std::vector<Rlimit> make_default_rlimits() {
  constexpr std::uint64_t mebibyte = std::uint64_t{1} << 20;
  return {{"RLIMIT_NOFILE", 524288, 1024},
          {"RLIMIT_NPROC", unlimited, unlimited},
          {"RLIMIT_CORE", unlimited, 0},
          {"RLIMIT_MEMLOCK", 8 * mebibyte, 8 * mebibyte},
          {"RLIMIT_STACK", unlimited, 8 * mebibyte}};
}

Spec make_example_spec() {
  Spec spec;
  spec.process.terminal = true;
  spec.process.args = {"sh"};
  spec.process.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"};
  spec.process.cwd = "/";
  const std::vector<std::string> capabilities = {"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"};
  spec.process.capabilities = Capabilities{capabilities, capabilities, {}, capabilities, {}};
  spec.process.rlimits = {{"RLIMIT_NOFILE", 1024, 1024}};
  spec.process.no_new_privileges = true;
  spec.root = {"rootfs", true};
  spec.hostname = "mydocker";
  spec.mounts = make_default_mounts();
  spec.linux.namespaces = {{"pid", ""}, {"network", ""}, {"ipc", ""}, {"uts", ""}, {"mount", ""}, {"cgroup", ""}};
  spec.linux.masked_paths = make_default_masked_paths();
  spec.linux.readonly_paths = make_default_readonly_paths();
  Resources resources;
  resources.devices = make_default_device_rules();
  spec.linux.resources = std::move(resources);
  return spec;
}

}  // namespace mydocker::runtime
