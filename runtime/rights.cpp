#include "runtime/rights.h"

#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>

#include "engine/base/mount.h"
#include "engine/base/sys.h"
#include "runtime/process_setup.h"

namespace mydocker::runtime {
namespace {

struct RlimitName {
  std::string_view type;
  int resource;
};
constexpr RlimitName rlimit_names[] = {
    {"RLIMIT_AS", RLIMIT_AS},           {"RLIMIT_CORE", RLIMIT_CORE},         {"RLIMIT_CPU", RLIMIT_CPU},
    {"RLIMIT_DATA", RLIMIT_DATA},       {"RLIMIT_FSIZE", RLIMIT_FSIZE},       {"RLIMIT_LOCKS", RLIMIT_LOCKS},
    {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK}, {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE}, {"RLIMIT_NICE", RLIMIT_NICE},
    {"RLIMIT_NOFILE", RLIMIT_NOFILE},   {"RLIMIT_NPROC", RLIMIT_NPROC},       {"RLIMIT_RSS", RLIMIT_RSS},
    {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},   {"RLIMIT_RTTIME", RLIMIT_RTTIME},     {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
    {"RLIMIT_STACK", RLIMIT_STACK}};

struct Word {
  std::string_view name;
  unsigned value;
};
constexpr Word policies[] = {{"SCHED_OTHER", 0}, {"SCHED_FIFO", 1}, {"SCHED_RR", 2},      {"SCHED_BATCH", 3},
                             {"SCHED_ISO", 4},   {"SCHED_IDLE", 5}, {"SCHED_DEADLINE", 6}};
constexpr Word scheduler_flags[] = {{"SCHED_FLAG_RESET_ON_FORK", 0x01}, {"SCHED_FLAG_RECLAIM", 0x02},
                                    {"SCHED_FLAG_DL_OVERRUN", 0x04},    {"SCHED_FLAG_KEEP_POLICY", 0x08},
                                    {"SCHED_FLAG_KEEP_PARAMS", 0x10},   {"SCHED_FLAG_UTIL_CLAMP_MIN", 0x20},
                                    {"SCHED_FLAG_UTIL_CLAMP_MAX", 0x40}};
constexpr Word memory_modes[] = {{"MPOL_DEFAULT", 0},
                                 {"MPOL_PREFERRED", 1},
                                 {"MPOL_BIND", 2},
                                 {"MPOL_INTERLEAVE", 3},
                                 {"MPOL_LOCAL", 4},
                                 {"MPOL_PREFERRED_MANY", 5},
                                 {"MPOL_WEIGHTED_INTERLEAVE", 6}};
constexpr Word memory_flags[] = {
    {"MPOL_F_STATIC_NODES", 1U << 15}, {"MPOL_F_RELATIVE_NODES", 1U << 14}, {"MPOL_F_NUMA_BALANCING", 1U << 13}};
constexpr std::string_view unconfined = "unconfined";
constexpr Word io_classes[] = {{"IOPRIO_CLASS_RT", 1}, {"IOPRIO_CLASS_BE", 2}, {"IOPRIO_CLASS_IDLE", 3}};

template <typename Table>
unsigned find_word(const Table& table, std::string_view name, std::string_view member) {
  for (const Word& word : table) {
    if (word.name == name) return word.value;
  }
  throw Error(ErrorKind::invalid_argument,
              concat("invalid config.json: ", member, " has the unknown word \"", name, "\""));
}

void require_range(std::int64_t value, std::int64_t low, std::int64_t high, std::string_view member) {
  if (value >= low && value <= high) return;
  throw Error(ErrorKind::invalid_argument,
              concat("invalid config.json: ", member, " must be between ", low, " and ", high, ", not ", value));
}

/// struct sched_attr of <linux/sched/types.h>, which clashes with <sched.h> in this glibc.
struct SchedulerAttributes {
  std::uint32_t size = sizeof(SchedulerAttributes);
  std::uint32_t policy = 0;
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime = 0;
  std::uint64_t deadline = 0;
  std::uint64_t period = 0;
};

void apply_rlimit(const Rlimit& limit, bool requested) {
  const std::optional<int> resource = find_rlimit(limit.type);
  if (!resource) throw Error(ErrorKind::invalid_argument, concat("unknown rlimit ", limit.type));
  const auto kind = static_cast<__rlimit_resource_t>(*resource);
  rlimit wanted{limit.soft, limit.hard};
  if (::setrlimit(kind, &wanted) == 0) return;
  const int saved = errno;
  rlimit own{};
  if (::getrlimit(kind, &own) != 0) throw sys_error("getrlimit ", limit.type);
  if (saved != EPERM) throw make_sys_error(saved, concat("setrlimit ", limit.type));
  if (requested) {
    throw LaunchError(ErrorKind::invalid_argument,
                      concat("cannot set ", limit.type, " to ", limit.hard, ": the engine's own limit is ",
                             own.rlim_max, " and it lacks CAP_SYS_RESOURCE"),
                      128, saved);
  }
  wanted.rlim_max = std::min(wanted.rlim_max, own.rlim_max);
  wanted.rlim_cur = std::min(wanted.rlim_cur, wanted.rlim_max);
  if (::setrlimit(kind, &wanted) != 0) throw sys_error("setrlimit ", limit.type);
}

/// Security modules read the label for the next execve from here. Through a procfs instance of our own, so that nothing
/// mounted over /proc can swallow the write (CVE-2019-16884), and read back.
void write_label(const char* file, const std::string& text, const std::string& label, std::string_view what) {
  try {
    const UniqueFd procfs = make_mount("proc", {}, 0);
    const std::string path = concat(::getpid(), "/attr/", file);
    const UniqueFd attribute = open_beneath(procfs.get(), path, O_RDWR);
    if (::write(attribute.get(), text.data(), text.size()) < 0) throw sys_error("write ", path);
    const UniqueFd again = open_beneath(procfs.get(), path, O_RDONLY);
    if (!read_all(again.get(), 4096, path).starts_with(label)) throw Error(ErrorKind::internal, "it is not in effect");
  } catch (const Error& error) {
    throw LaunchError(ErrorKind::invalid_argument,
                      concat(what, " \"", label, "\" cannot be applied: ", error.message()), 128, error.errno_value());
  }
}

bool has_apparmor() {
  return find_file_at(AT_FDCWD, "/sys/module/apparmor/parameters/enabled", 16).value_or("N").starts_with("Y");
}

/// "0-3,7", CPUs or memory nodes, as a mask. Throws Error{invalid_argument}.
cpu_set_t parse_cpu_list(const std::string& list, std::string_view what = "CPU") {
  cpu_set_t set;
  CPU_ZERO(&set);
  const char* at = list.c_str();
  while (*at != '\0') {
    char* end = nullptr;
    const unsigned long first = std::strtoul(at, &end, 10);
    unsigned long last = first;
    bool good = end != at;
    if (good && *end == '-') {
      at = end + 1;
      last = std::strtoul(at, &end, 10);
      good = end != at;
    }
    if (!good || last < first || last >= CPU_SETSIZE || (*end != ',' && *end != '\0')) {
      throw Error(ErrorKind::invalid_argument, concat("bad ", what, " list \"", list, "\""));
    }
    for (unsigned long cpu = first; cpu <= last; ++cpu) CPU_SET(cpu, &set);
    at = *end == ',' ? end + 1 : end;
  }
  return set;
}

}  // namespace

std::optional<int> find_rlimit(std::string_view type) {
  for (const RlimitName& one : rlimit_names) {
    if (one.type == type) return one.resource;
  }
  return std::nullopt;
}

void make_undumpable() {
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) throw sys_error("make the process non-dumpable");
}

void set_parent_death_signal(bool on) {
  if (::prctl(PR_SET_PDEATHSIG, on ? SIGKILL : 0, 0, 0, 0) != 0) throw sys_error("set the parent death signal");
}

void apply_rlimits(const std::vector<Rlimit>& limits, const std::vector<std::string>& requested) {
  for (const Rlimit& limit : limits) {
    apply_rlimit(limit, std::find(requested.begin(), requested.end(), limit.type) != requested.end());
  }
}

void set_ids(const Identity& identity) {
  if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) throw sys_error("keep capabilities");
  if (::syscall(SYS_setgroups, identity.groups.size(), identity.groups.data()) != 0) {
    // A user namespace made without CAP_SETGID refuses setgroups; the groups are the caller's own then.
    if (errno != EPERM || identity.groups.size() > 1) throw sys_error("setgroups");
  }
  if (::syscall(SYS_setresgid, identity.gid, identity.gid, identity.gid) != 0)
    throw sys_error("setresgid ", identity.gid);
  if (::syscall(SYS_setresuid, identity.uid, identity.uid, identity.uid) != 0)
    throw sys_error("setresuid ", identity.uid);
  if (::prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0) throw sys_error("drop keepcaps");
}

void join_session_keyring(const std::string& container_id) {
  const std::string name = concat("_ses.", container_id);
  if (::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.c_str()) < 0 && errno != ENOSYS) {
    throw sys_error("join a session keyring");
  }
}

void check_security_modules(const Process& process, const std::string& mount_label) {
  const auto refuse = [](std::string_view what, const std::string& label, std::string_view module) {
    throw LaunchError(ErrorKind::invalid_argument,
                      concat(what, " \"", label, "\" cannot be applied: this kernel runs no ", module), 128);
  };
  const std::string& profile = process.apparmor_profile;
  if (!profile.empty() && profile != unconfined && !has_apparmor()) refuse("AppArmor profile", profile, "AppArmor");
  const std::string& label = process.selinux_label;
  if (label.empty() && mount_label.empty()) return;
  if (path_exists("/sys/fs/selinux/enforce")) return;
  if (!label.empty()) refuse("SELinux label", label, "SELinux");
  refuse("SELinux mount label", mount_label, "SELinux");
}

void apply_labels(const Process& process) {
  const std::string& profile = process.apparmor_profile;
  if (profile == unconfined && !path_exists("/proc/self/attr/apparmor/exec")) {
    // no AppArmor: nothing confines
  } else if (!profile.empty())
    write_label("apparmor/exec", concat("exec ", profile), profile, "AppArmor profile");
  const std::string& label = process.selinux_label;
  if (!label.empty()) write_label("exec", label, label, "SELinux label");
}

void validate_priorities(const Process& process) {
  if (process.scheduler) {
    find_word(policies, process.scheduler->policy, "process.scheduler.policy");
    for (const std::string& flag : process.scheduler->flags)
      find_word(scheduler_flags, flag, "process.scheduler.flags");
    require_range(process.scheduler->nice, -20, 19, "process.scheduler.nice");
    require_range(process.scheduler->priority, 0, 99, "process.scheduler.priority");
  }
  if (process.io_priority) {
    find_word(io_classes, process.io_priority->priority_class, "process.ioPriority.class");
    require_range(process.io_priority->priority, 0, 7, "process.ioPriority.priority");
  }
  if (process.exec_cpu_affinity) {
    parse_cpu_list(process.exec_cpu_affinity->initial);
    parse_cpu_list(process.exec_cpu_affinity->final_affinity);
  }
}

void validate_memory_policy(const MemoryPolicy& policy) {
  find_word(memory_modes, policy.mode, "linux.memoryPolicy.mode");
  for (const std::string& flag : policy.flags) find_word(memory_flags, flag, "linux.memoryPolicy.flags");
  parse_cpu_list(policy.nodes, "linux.memoryPolicy.nodes");
}

void apply_memory_policy(const std::optional<MemoryPolicy>& policy) {
  if (!policy) return;
  unsigned mode = find_word(memory_modes, policy->mode, "linux.memoryPolicy.mode");
  for (const std::string& flag : policy->flags) mode |= find_word(memory_flags, flag, "linux.memoryPolicy.flags");
  const cpu_set_t nodes = parse_cpu_list(policy->nodes, "linux.memoryPolicy.nodes");
  // The kernel counts one less than it is told, and takes no mask at all for none.
  const bool none = policy->nodes.empty();
  if (::syscall(SYS_set_mempolicy, mode, none ? nullptr : &nodes, none ? 0UL : CPU_SETSIZE + 1UL) != 0) {
    const int reason = errno;
    throw Error(ErrorKind::invalid_argument,
                concat("linux.memoryPolicy: the kernel refuses ", policy->mode, " of the nodes \"", policy->nodes,
                       "\": ", errno_text(reason)),
                reason);
  }
}

void apply_personality(const std::optional<Personality>& personality) {
  if (!personality) return;
  const unsigned long domain = personality->domain == "LINUX32" ? PER_LINUX32 : PER_LINUX;
  if (::personality(domain) < 0) throw sys_error("set the personality");
}

void apply_cpu_affinity(const std::string& list) {
  if (list.empty()) return;
  const cpu_set_t set = parse_cpu_list(list);
  if (::sched_setaffinity(0, sizeof set, &set) != 0) throw sys_error("set the CPU affinity to ", list);
}

void apply_priorities(const Process& process) {
  if (process.scheduler) {
    SchedulerAttributes attributes;
    attributes.policy = find_word(policies, process.scheduler->policy, "process.scheduler.policy");
    for (const std::string& flag : process.scheduler->flags) {
      attributes.flags |= find_word(scheduler_flags, flag, "process.scheduler.flags");
    }
    attributes.nice = process.scheduler->nice;
    attributes.priority = static_cast<std::uint32_t>(process.scheduler->priority);
    attributes.runtime = process.scheduler->runtime;
    attributes.deadline = process.scheduler->deadline;
    attributes.period = process.scheduler->period;
    if (::syscall(SYS_sched_setattr, 0, &attributes, 0) != 0) throw sys_error("set the scheduler");
  }
  if (process.io_priority) {
    constexpr int who_process = 1;
    const unsigned io_class = find_word(io_classes, process.io_priority->priority_class, "process.ioPriority.class");
    const unsigned value = io_class << 13 | (static_cast<unsigned>(process.io_priority->priority));
    if (::syscall(SYS_ioprio_set, who_process, 0, value) != 0) throw sys_error("set the I/O priority");
  }
}

}  // namespace mydocker::runtime
