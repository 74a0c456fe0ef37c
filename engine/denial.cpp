#include "engine/denial.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "engine/base/error.h"
#include "engine/launch_plan.h"

namespace mydocker::engine {
namespace {

/// Words of programs (lower case) that name what they were about to do. The first row that fits a line counts.
struct KnownCall {
  std::string_view words;
  std::string_view call;
  std::string_view capability;  ///< "": no capability allows it under the default seccomp profile
};
constexpr KnownCall known_calls[] = {
    {"io_uring", "io_uring_setup", ""},
    {"keyctl", "keyctl", ""},
    {"userfaultfd", "userfaultfd", ""},
    {"umount", "umount2", "CAP_SYS_ADMIN"},
    {"mount", "mount", "CAP_SYS_ADMIN"},
    {"unshare", "unshare", "CAP_SYS_ADMIN"},
    {"setns", "setns", "CAP_SYS_ADMIN"},
    {"nsenter", "setns", "CAP_SYS_ADMIN"},
    {"pivot_root", "pivot_root", "CAP_SYS_ADMIN"},
    {"sethostname", "sethostname", "CAP_SYS_ADMIN"},
    {"hostname", "sethostname", "CAP_SYS_ADMIN"},
    {"swapon", "swapon", "CAP_SYS_ADMIN"},
    {"swapoff", "swapoff", "CAP_SYS_ADMIN"},
    {"chroot", "chroot", "CAP_SYS_CHROOT"},
    {"chown", "chown", "CAP_CHOWN"},
    {"chgrp", "chown", "CAP_CHOWN"},
    {"changing ownership", "chown", "CAP_CHOWN"},
    {"mknod", "mknod", "CAP_MKNOD"},
    {"settimeofday", "settimeofday", "CAP_SYS_TIME"},
    {"set date", "settimeofday", "CAP_SYS_TIME"},
    {"hwclock", "settimeofday", "CAP_SYS_TIME"},
    {"adjtime", "adjtimex", "CAP_SYS_TIME"},
    {"rtnetlink", "sendmsg on a netlink socket", "CAP_NET_ADMIN"},
    {"iptables", "setsockopt", "CAP_NET_ADMIN"},
    {"nftables", "sendmsg on a netlink socket", "CAP_NET_ADMIN"},
    {"siocsif", "ioctl on a network interface", "CAP_NET_ADMIN"},
    {"siocaddrt", "ioctl on a network interface", "CAP_NET_ADMIN"},
    {"tunsetiff", "ioctl on a network interface", "CAP_NET_ADMIN"},
    {"raw socket", "socket of the type raw", "CAP_NET_RAW"},
    {"ping", "socket of the type raw", "CAP_NET_RAW"},
    {"tcpdump", "socket of the type raw", "CAP_NET_RAW"},
    {"bind", "bind", "CAP_NET_BIND_SERVICE"},
    {"setuid", "setuid", "CAP_SETUID"},
    {"setgroups", "setgroups", "CAP_SETGID"},
    {"setgid", "setgid", "CAP_SETGID"},
    {"ptrace", "ptrace", "CAP_SYS_PTRACE"},
    {"strace", "ptrace", "CAP_SYS_PTRACE"},
    {"perf_event", "perf_event_open", "CAP_PERFMON"},
    {"bpf", "bpf", "CAP_BPF"},
    {"klogctl", "syslog", "CAP_SYSLOG"},
    {"dmesg", "syslog", "CAP_SYSLOG"},
    {"init_module", "init_module", "CAP_SYS_MODULE"},
    {"insmod", "init_module", "CAP_SYS_MODULE"},
    {"modprobe", "init_module", "CAP_SYS_MODULE"},
    {"reboot", "reboot", "CAP_SYS_BOOT"},
    {"setpriority", "setpriority", "CAP_SYS_NICE"},
    {"sched_setscheduler", "sched_setscheduler", "CAP_SYS_NICE"},
    {"nice", "setpriority", "CAP_SYS_NICE"},
    {"mlock", "mlock", "CAP_IPC_LOCK"},
    {"setrlimit", "setrlimit", "CAP_SYS_RESOURCE"},
    {"iopl", "iopl", "CAP_SYS_RAWIO"},
    {"kill", "kill", "CAP_KILL"},
};

constexpr std::string_view refusals[] = {"operation not permitted", "eperm", "permission denied", "not permitted"};

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

std::string to_lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return text;
}

bool is_refusal(const std::string& lower) {
  return std::any_of(std::begin(refusals), std::end(refusals),
                     [&](std::string_view words) { return contains(lower, words); });
}

std::string list_text(const std::optional<api::StringList>& names) {
  std::string text;
  for (const std::string& name : names.value_or(api::StringList{})) text += (text.empty() ? "" : ", ") + name;
  return text;
}

std::string capabilities_text(const ContainerRecord& record) {
  const api::HostConfig& host = record.host_config;
  if (host.privileged) return "It is privileged: no capability and no system call was taken from it.";
  const std::string added = list_text(host.cap_add);
  const std::string dropped = list_text(host.cap_drop);
  return concat("It has Docker's default capabilities", added.empty() ? "" : " and " + added,
                dropped.empty() ? "" : ", without " + dropped, "; a user other than root has none of them in effect.");
}

bool is_unconfined(const ContainerRecord& record) {
  const api::StringList options = record.host_config.security_opt.value_or(api::StringList{});
  return record.host_config.privileged || std::any_of(options.begin(), options.end(), [](const std::string& option) {
           return option == "seccomp=unconfined" || option == "seccomp:unconfined";
         });
}

bool runs_as_root(const std::string& user) {
  const std::string name = user.substr(0, user.find(':'));
  return name.empty() || name == "root" || name == "0";
}

}  // namespace

Denial find_denial(const std::vector<std::string>& log, const ContainerRecord& record) {
  Denial denial;
  for (auto line = log.rbegin(); line != log.rend(); ++line) {
    const std::string lower = to_lower(*line);
    if (!is_refusal(lower)) continue;
    denial.line = *line;
    const auto* known = std::find_if(std::begin(known_calls), std::end(known_calls),
                                     [&](const KnownCall& call) { return contains(lower, call.words); });
    if (known == std::end(known_calls)) return denial;
    denial.call = known->call;
    denial.capability = known->capability;
    const std::vector<std::string> has = plan_capabilities(record.host_config);
    denial.has_capability = std::find(has.begin(), has.end(), denial.capability) != has.end();
    return denial;
  }
  return denial;
}

std::vector<std::string> describe_denial(const Denial& denial, const ContainerRecord& record) {
  if (denial.line.empty()) return {};
  std::vector<std::string> out = {concat("Its output complains of a refusal: \"", denial.line, "\".")};
  const std::string& user = record.config.user;
  if (!denial.call.empty() && denial.capability.empty() && !is_unconfined(record)) {
    out.push_back(concat("That is the system call ", denial.call, ", which the default seccomp profile does not have: ",
                         "--security-opt seccomp=unconfined, or a profile of your own, allows it."));
  } else if (!denial.capability.empty() && !denial.has_capability) {
    out.push_back(concat("That is the system call ", denial.call, ", which needs ", denial.capability,
                         "; the container does not have it: --cap-add ", denial.capability.substr(4), " gives it."));
  } else if (!denial.capability.empty() && !runs_as_root(user)) {
    out.push_back(concat("That is the system call ", denial.call, ", which needs ", denial.capability,
                         "; it runs as the user ", user, ", who has no capability in effect."));
  } else {
    out.push_back(capabilities_text(record));
    if (contains(to_lower(denial.line), "permission denied")) {
      out.emplace_back("Permission denied is mostly about the owner and mode of a file, or a read-only mount.");
    } else {
      out.emplace_back(
          "To find out which it was: --cap-add for a capability, --security-opt seccomp=unconfined for a system call "
          "of the profile.");
    }
  }
  return out;
}

}  // namespace mydocker::engine
