#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "engine/base/json.h"

/// The `process` object of an OCI config.json (OCI runtime-spec 1.2, config.md "Process").
/// Values only; any thread; nothing blocks.
namespace mydocker::runtime {

struct ConsoleSize {
  std::uint32_t height = 0;  ///< rows
  std::uint32_t width = 0;   ///< columns

  static constexpr auto json_fields() {
    return std::tuple(field("height", &ConsoleSize::height), field("width", &ConsoleSize::width));
  }
};

struct User {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::optional<std::uint32_t> umask;          ///< absent: 0022
  std::vector<std::uint32_t> additional_gids;  ///< the primary gid need not be repeated here
  std::string username;                        ///< informative only; never looked up

  static constexpr auto json_fields() {
    return std::tuple(field("uid", &User::uid), field("gid", &User::gid), field_omit_empty("umask", &User::umask),
                      field_omit_empty("additionalGids", &User::additional_gids),
                      field_omit_empty("username", &User::username));
  }
};

/// Names as "CAP_CHOWN". A set that is absent is empty.
struct Capabilities {
  std::vector<std::string> bounding;
  std::vector<std::string> effective;
  std::vector<std::string> inheritable;
  std::vector<std::string> permitted;
  std::vector<std::string> ambient;

  static constexpr auto json_fields() {
    return std::tuple(
        field_omit_empty("bounding", &Capabilities::bounding), field_omit_empty("effective", &Capabilities::effective),
        field_omit_empty("inheritable", &Capabilities::inheritable),
        field_omit_empty("permitted", &Capabilities::permitted), field_omit_empty("ambient", &Capabilities::ambient));
  }
};

struct Rlimit {
  std::string type;        ///< "RLIMIT_NOFILE"
  std::uint64_t hard = 0;  ///< UINT64_MAX = unlimited
  std::uint64_t soft = 0;

  static constexpr auto json_fields() {
    return std::tuple(field("type", &Rlimit::type), field("hard", &Rlimit::hard), field("soft", &Rlimit::soft));
  }
};

/// sched_setattr(2).
struct Scheduler {
  std::string
      policy;  ///< "SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE", "SCHED_DEADLINE"
  std::int32_t nice = 0;
  std::int32_t priority = 0;
  std::vector<std::string> flags;  ///< "SCHED_FLAG_RESET_ON_FORK" and so on
  std::uint64_t runtime = 0;       ///< nanoseconds, for SCHED_DEADLINE
  std::uint64_t deadline = 0;
  std::uint64_t period = 0;

  static constexpr auto json_fields() {
    return std::tuple(field("policy", &Scheduler::policy), field_omit_empty("nice", &Scheduler::nice),
                      field_omit_empty("priority", &Scheduler::priority), field_omit_empty("flags", &Scheduler::flags),
                      field_omit_empty("runtime", &Scheduler::runtime),
                      field_omit_empty("deadline", &Scheduler::deadline),
                      field_omit_empty("period", &Scheduler::period));
  }
};

/// ioprio_set(2).
struct IoPriority {
  std::string priority_class;  ///< "IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"
  std::int32_t priority = 0;   ///< 0 (highest) to 7

  static constexpr auto json_fields() {
    return std::tuple(field("class", &IoPriority::priority_class), field("priority", &IoPriority::priority));
  }
};

/// CPU lists ("0-3,7") for the process that enters a container by exec.
struct ExecCpuAffinity {
  std::string initial;         ///< before it is moved into the container's cgroup
  std::string final_affinity;  ///< after it

  static constexpr auto json_fields() {
    return std::tuple(field_omit_empty("initial", &ExecCpuAffinity::initial),
                      field_omit_empty("final", &ExecCpuAffinity::final_affinity));
  }
};

struct Process {
  bool terminal = false;
  std::optional<ConsoleSize> console_size;
  User user;
  std::vector<std::string> args;             ///< argv; args[0] is looked up in PATH of `env`, inside the container
  std::vector<std::string> env;              ///< the complete environment, "KEY=value"
  std::string cwd;                           ///< absolute, inside the container
  std::optional<Capabilities> capabilities;  ///< absent: no capability at all
  std::vector<Rlimit> rlimits;
  bool no_new_privileges = false;
  std::string apparmor_profile;
  std::optional<std::int32_t> oom_score_adj;  ///< absent: inherited
  std::optional<Scheduler> scheduler;
  std::string selinux_label;
  std::optional<IoPriority> io_priority;
  std::optional<ExecCpuAffinity> exec_cpu_affinity;

  static constexpr auto json_fields() {
    return std::tuple(
        field_omit_empty("terminal", &Process::terminal), field_omit_empty("consoleSize", &Process::console_size),
        field("user", &Process::user), field_omit_empty("args", &Process::args), field_omit_empty("env", &Process::env),
        field("cwd", &Process::cwd), field_omit_empty("capabilities", &Process::capabilities),
        field_omit_empty("rlimits", &Process::rlimits),
        field_omit_empty("noNewPrivileges", &Process::no_new_privileges),
        field_omit_empty("apparmorProfile", &Process::apparmor_profile),
        field_omit_empty("oomScoreAdj", &Process::oom_score_adj), field_omit_empty("scheduler", &Process::scheduler),
        field_omit_empty("selinuxLabel", &Process::selinux_label),
        field_omit_empty("ioPriority", &Process::io_priority),
        field_omit_empty("execCPUAffinity", &Process::exec_cpu_affinity));
  }
};

}  // namespace mydocker::runtime
