#include "runtime/seccomp.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <optional>

#include "engine/base/error.h"

namespace mydocker::runtime {
namespace {

constexpr std::uint32_t x32_bit = 0x40000000;

/// Calls that the C library's tables (libseccomp 2.5.4) do not know; from 424 on the numbers are the same everywhere.
struct NewCall {
  std::string_view name;
  std::uint32_t number;
};
constexpr std::array new_calls = {
    NewCall{"cachestat", 451},         NewCall{"fchmodat2", 452},        NewCall{"map_shadow_stack", 453},
    NewCall{"futex_wake", 454},        NewCall{"futex_wait", 455},       NewCall{"futex_requeue", 456},
    NewCall{"statmount", 457},         NewCall{"listmount", 458},        NewCall{"lsm_get_self_attr", 459},
    NewCall{"lsm_set_self_attr", 460}, NewCall{"lsm_list_modules", 461}, NewCall{"mseal", 462},
    NewCall{"setxattrat", 463},        NewCall{"getxattrat", 464},       NewCall{"listxattrat", 465},
    NewCall{"removexattrat", 466},     NewCall{"open_tree_attr", 467},   NewCall{"file_getattr", 468},
    NewCall{"file_setattr", 469}};
constexpr std::uint32_t first_unknown = 470;

/// Direct numbers of what 32-bit x86 also reaches through socketcall(2) and ipc(2); libseccomp answers pseudo numbers.
constexpr std::array i386_calls = {
    NewCall{"socket", 359},      NewCall{"socketpair", 360},  NewCall{"bind", 361},       NewCall{"connect", 362},
    NewCall{"listen", 363},      NewCall{"accept4", 364},     NewCall{"getsockopt", 365}, NewCall{"setsockopt", 366},
    NewCall{"getsockname", 367}, NewCall{"getpeername", 368}, NewCall{"sendto", 369},     NewCall{"sendmsg", 370},
    NewCall{"recvfrom", 371},    NewCall{"recvmsg", 372},     NewCall{"shutdown", 373},   NewCall{"semget", 393},
    NewCall{"semctl", 394},      NewCall{"shmget", 395},      NewCall{"shmctl", 396},     NewCall{"shmat", 397},
    NewCall{"shmdt", 398},       NewCall{"msgget", 399},      NewCall{"msgsnd", 400},     NewCall{"msgrcv", 401},
    NewCall{"msgctl", 402},      NewCall{"recvmmsg", 337},    NewCall{"sendmmsg", 345}};

template <typename Table>
std::optional<std::uint32_t> find_in(const Table& table, std::string_view name) {
  for (const NewCall& call : table) {
    if (call.name == name) return call.number;
  }
  return std::nullopt;
}

std::optional<std::uint32_t> find_number(std::uint32_t arch, const std::string& name) {
  if (arch == SCMP_ARCH_X86) {
    if (const auto number = find_in(i386_calls, name)) return number;
  }
  const int number = ::seccomp_syscall_resolve_name_arch(arch, name.c_str());
  if (number >= 0) return static_cast<std::uint32_t>(number);
  if (number != __NR_SCMP_ERROR) return std::nullopt;  // known, but not on this ABI
  const auto added = find_in(new_calls, name);
  if (!added) return std::nullopt;
  return arch == SCMP_ARCH_X32 ? *added | x32_bit : *added;
}

[[noreturn]] void throw_invalid(std::string_view what, std::string_view word) {
  throw Error(ErrorKind::invalid_argument, concat("invalid seccomp profile: unknown ", what, " \"", word, "\""));
}

std::uint32_t parse_action(const std::string& word, std::optional<std::uint32_t> errno_ret) {
  const std::uint32_t data = errno_ret.value_or(EPERM) & SECCOMP_RET_DATA;
  if (word == "SCMP_ACT_ALLOW") return SECCOMP_RET_ALLOW;
  if (word == "SCMP_ACT_ERRNO") return SECCOMP_RET_ERRNO | data;
  if (word == "SCMP_ACT_KILL" || word == "SCMP_ACT_KILL_THREAD") return SECCOMP_RET_KILL_THREAD;
  if (word == "SCMP_ACT_KILL_PROCESS") return SECCOMP_RET_KILL_PROCESS;
  if (word == "SCMP_ACT_TRAP") return SECCOMP_RET_TRAP;
  if (word == "SCMP_ACT_TRACE") return SECCOMP_RET_TRACE | data;
  if (word == "SCMP_ACT_LOG") return SECCOMP_RET_LOG;
  if (word == "SCMP_ACT_NOTIFY") return SECCOMP_RET_USER_NOTIF;
  throw_invalid("action", word);
}

ArgumentCheck parse_check(const SeccompArgument& argument) {
  if (argument.index > 5) throw_invalid("argument index", std::to_string(argument.index));
  ArgumentCheck check{argument.index, Compare::equal, argument.value, 0};
  if (argument.op == "SCMP_CMP_EQ")
    check.compare = Compare::equal;
  else if (argument.op == "SCMP_CMP_NE")
    check.compare = Compare::not_equal;
  else if (argument.op == "SCMP_CMP_LT")
    check.compare = Compare::less;
  else if (argument.op == "SCMP_CMP_LE")
    check.compare = Compare::less_or_equal;
  else if (argument.op == "SCMP_CMP_GT")
    check.compare = Compare::greater;
  else if (argument.op == "SCMP_CMP_GE")
    check.compare = Compare::greater_or_equal;
  else if (argument.op == "SCMP_CMP_MASKED_EQ")
    check = {argument.index, Compare::masked_equal, argument.value_two, argument.value};
  else
    throw_invalid("operator", argument.op);
  return check;
}

/// Conditions on one argument are alternatives, on different arguments they must all hold (as runc reads them).
std::vector<FilterRule> parse_rules(const SeccompRule& rule) {
  const std::uint32_t action = parse_action(rule.action, rule.errno_ret);
  std::vector<ArgumentCheck> checks;
  bool repeated = false;
  for (const SeccompArgument& argument : rule.args) {
    checks.push_back(parse_check(argument));
    repeated = repeated || std::count_if(rule.args.begin(), rule.args.end(), [&](const SeccompArgument& other) {
                             return other.index == argument.index;
                           }) > 1;
  }
  if (!repeated) return {{action, std::move(checks)}};
  std::vector<FilterRule> rules;
  for (const ArgumentCheck& check : checks) rules.push_back({action, {check}});
  return rules;
}

std::uint32_t parse_architecture(const std::string& word) {
  std::string name = word.starts_with("SCMP_ARCH_") ? word.substr(10) : word;
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  const std::uint32_t token = ::seccomp_arch_resolve_name(name.c_str());
  if (token == 0) throw_invalid("architecture", word);
  return token;
}

/// The native ABI first: it is the one that is tested first.
std::vector<std::uint32_t> list_architectures(const Seccomp& seccomp) {
  std::vector<std::uint32_t> tokens = {::seccomp_arch_native()};
  for (const std::string& word : seccomp.architectures) {
    const std::uint32_t token = parse_architecture(word);
    if (std::find(tokens.begin(), tokens.end(), token) == tokens.end()) tokens.push_back(token);
  }
  return tokens;
}

FilterAbi& abi_for(std::vector<FilterAbi>& abis, std::uint32_t token, std::uint32_t default_action) {
  const std::uint32_t audit = token == SCMP_ARCH_X32 ? AUDIT_ARCH_X86_64 : token;  // else the token is the value
  for (FilterAbi& abi : abis) {
    if (abi.audit_arch == audit) return abi;
  }
  FilterAbi& abi = abis.emplace_back();
  abi.audit_arch = audit;
  abi.default_action = default_action;
  const bool passes = default_action == SECCOMP_RET_ALLOW || default_action == SECCOMP_RET_LOG;
  if (!passes) {
    abi.beyond_number = first_unknown;
    abi.beyond_action = SECCOMP_RET_ERRNO | ENOSYS;
  }
  return abi;
}

unsigned parse_flags(const Seccomp& seccomp) {
  if (seccomp.flags.empty()) return SECCOMP_FILTER_FLAG_SPEC_ALLOW;
  unsigned flags = 0;
  for (const std::string& word : seccomp.flags) {
    if (word == "SECCOMP_FILTER_FLAG_SPEC_ALLOW")
      flags |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    else if (word == "SECCOMP_FILTER_FLAG_LOG")
      flags |= SECCOMP_FILTER_FLAG_LOG;
    else if (word == "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV")
      flags |= 1U << 5;
    else if (word != "SECCOMP_FILTER_FLAG_TSYNC")
      throw_invalid("flag", word);  // one thread only: nothing to sync
  }
  return flags;
}

/// The listener's descriptor leaves the process by sendmsg(2), under the filter already.
void check_listener(const Seccomp& seccomp) {
  constexpr std::string_view notify = "SCMP_ACT_NOTIFY";
  if (seccomp.default_action == notify) {
    throw Error(ErrorKind::invalid_argument, "invalid seccomp profile: SCMP_ACT_NOTIFY cannot be the default action");
  }
  for (const SeccompRule& rule : seccomp.syscalls) {
    if (rule.action != notify) continue;
    if (seccomp.listener_path.empty()) {
      throw Error(ErrorKind::invalid_argument, "invalid seccomp profile: SCMP_ACT_NOTIFY without a listenerPath");
    }
    if (std::find(rule.names.begin(), rule.names.end(), "sendmsg") != rule.names.end()) {
      throw Error(ErrorKind::invalid_argument, "invalid seccomp profile: SCMP_ACT_NOTIFY cannot be used for sendmsg");
    }
  }
}

}  // namespace

bool wants_listener(const Seccomp& seccomp) {
  return seccomp.default_action == "SCMP_ACT_NOTIFY" ||
         std::any_of(seccomp.syscalls.begin(), seccomp.syscalls.end(),
                     [](const SeccompRule& rule) { return rule.action == "SCMP_ACT_NOTIFY"; });
}

FilterProgram compile_seccomp(const Seccomp& seccomp) {
  check_listener(seccomp);
  const std::uint32_t default_action = parse_action(seccomp.default_action, seccomp.default_errno_ret);
  parse_flags(seccomp);
  const std::vector<std::uint32_t> tokens = list_architectures(seccomp);
  std::vector<FilterAbi> abis;
  for (const std::uint32_t token : tokens) abi_for(abis, token, default_action);
  for (const SeccompRule& rule : seccomp.syscalls) {
    const std::vector<FilterRule> rules = parse_rules(rule);
    for (const std::string& name : rule.names) {
      for (const std::uint32_t token : tokens) {
        const auto number = find_number(token, name);
        if (number) abi_for(abis, token, default_action).entries.push_back({*number, rules});
      }
    }
  }
  return build_filter(std::move(abis), SECCOMP_RET_KILL_THREAD);
}

UniqueFd install_filter(const FilterProgram& program, const Seccomp& seccomp) {
  unsigned flags = parse_flags(seccomp);
  if (wants_listener(seccomp)) flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
  sock_fprog filter{static_cast<unsigned short>(program.size()), const_cast<sock_filter*>(program.data())};
  const long result = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
  if (result < 0) throw sys_error("load the seccomp filter");
  return UniqueFd((flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) != 0 ? static_cast<int>(result) : -1);
}

}  // namespace mydocker::runtime
