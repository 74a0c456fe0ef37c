#include "runtime/capabilities.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include "engine/base/error.h"

namespace mydocker::runtime {
namespace {

constexpr std::array<std::string_view, 41> names = {"CAP_CHOWN",
                                                    "CAP_DAC_OVERRIDE",
                                                    "CAP_DAC_READ_SEARCH",
                                                    "CAP_FOWNER",
                                                    "CAP_FSETID",
                                                    "CAP_KILL",
                                                    "CAP_SETGID",
                                                    "CAP_SETUID",
                                                    "CAP_SETPCAP",
                                                    "CAP_LINUX_IMMUTABLE",
                                                    "CAP_NET_BIND_SERVICE",
                                                    "CAP_NET_BROADCAST",
                                                    "CAP_NET_ADMIN",
                                                    "CAP_NET_RAW",
                                                    "CAP_IPC_LOCK",
                                                    "CAP_IPC_OWNER",
                                                    "CAP_SYS_MODULE",
                                                    "CAP_SYS_RAWIO",
                                                    "CAP_SYS_CHROOT",
                                                    "CAP_SYS_PTRACE",
                                                    "CAP_SYS_PACCT",
                                                    "CAP_SYS_ADMIN",
                                                    "CAP_SYS_BOOT",
                                                    "CAP_SYS_NICE",
                                                    "CAP_SYS_RESOURCE",
                                                    "CAP_SYS_TIME",
                                                    "CAP_SYS_TTY_CONFIG",
                                                    "CAP_MKNOD",
                                                    "CAP_LEASE",
                                                    "CAP_AUDIT_WRITE",
                                                    "CAP_AUDIT_CONTROL",
                                                    "CAP_SETFCAP",
                                                    "CAP_MAC_OVERRIDE",
                                                    "CAP_MAC_ADMIN",
                                                    "CAP_SYSLOG",
                                                    "CAP_WAKE_ALARM",
                                                    "CAP_BLOCK_SUSPEND",
                                                    "CAP_AUDIT_READ",
                                                    "CAP_PERFMON",
                                                    "CAP_BPF",
                                                    "CAP_CHECKPOINT_RESTORE"};

std::string to_upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return out;
}

struct KernelSets {
  CapabilityMask effective = 0;
  CapabilityMask permitted = 0;
  CapabilityMask inheritable = 0;
};

KernelSets read_sets() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (::syscall(SYS_capget, &header, data) != 0) throw sys_error("capget");
  const auto join = [](std::uint32_t low, std::uint32_t high) { return CapabilityMask{high} << 32 | low; };
  return {join(data[0].effective, data[1].effective), join(data[0].permitted, data[1].permitted),
          join(data[0].inheritable, data[1].inheritable)};
}

void write_sets(const KernelSets& sets) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  for (unsigned i = 0; i < 2; ++i) {
    data[i].effective = static_cast<std::uint32_t>(sets.effective >> (32 * i));
    data[i].permitted = static_cast<std::uint32_t>(sets.permitted >> (32 * i));
    data[i].inheritable = static_cast<std::uint32_t>(sets.inheritable >> (32 * i));
  }
  if (::syscall(SYS_capset, &header, data) != 0) throw sys_error("capset");
}

}  // namespace

std::optional<unsigned> find_capability(std::string_view name) {
  std::string full = to_upper(name);
  if (!full.starts_with("CAP_")) full.insert(0, "CAP_");
  for (unsigned i = 0; i < names.size(); ++i) {
    if (names[i] == full) return i;
  }
  return std::nullopt;
}

std::string_view capability_name(unsigned number) { return number < names.size() ? names[number] : ""; }

std::vector<std::string> all_capabilities() { return {names.begin(), names.end()}; }

CapabilityMask capability_mask(const std::vector<std::string>& list) {
  CapabilityMask mask = 0;
  for (const std::string& name : list) {
    const std::optional<unsigned> number = find_capability(name);
    if (!number) throw Error(ErrorKind::invalid_argument, concat("unknown capability \"", name, "\""));
    mask |= CapabilityMask{1} << *number;
  }
  return mask;
}

bool has_capability(CapabilityMask mask, unsigned number) { return (mask >> number & 1) != 0; }

CapabilitySets parse_capabilities(const std::optional<Capabilities>& capabilities) {
  if (!capabilities) return {};
  return {capability_mask(capabilities->bounding), capability_mask(capabilities->effective),
          capability_mask(capabilities->permitted), capability_mask(capabilities->inheritable),
          capability_mask(capabilities->ambient)};
}

CapabilityMask own_bounding_set() {
  CapabilityMask mask = 0;
  for (unsigned i = 0; i < 64; ++i) {
    const int present = ::prctl(PR_CAPBSET_READ, i, 0, 0, 0);
    if (present < 0) break;  // beyond the kernel's last
    if (present == 1) mask |= CapabilityMask{1} << i;
  }
  return mask;
}

CapabilityMask own_effective_set() { return read_sets().effective; }

void limit_bounding_set(CapabilityMask keep) {
  for (unsigned i = 0; i < 64; ++i) {
    if (has_capability(keep, i)) continue;
    const int present = ::prctl(PR_CAPBSET_READ, i, 0, 0, 0);
    if (present < 0) break;
    if (present == 1 && ::prctl(PR_CAPBSET_DROP, i, 0, 0, 0) != 0) {
      throw sys_error("drop ", capability_name(i), " from the bounding set");
    }
  }
}

void set_capabilities(const CapabilitySets& sets) {
  const KernelSets own = read_sets();
  const CapabilityMask permitted = sets.permitted & own.permitted;
  const CapabilityMask inheritable = sets.inheritable & (own.permitted | own.inheritable);
  write_sets({sets.effective & permitted, permitted, inheritable});
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) throw sys_error("clear ambient capabilities");
  const CapabilityMask ambient = sets.ambient & permitted & inheritable;  // the kernel's own condition
  for (unsigned i = 0; i < names.size(); ++i) {
    if (has_capability(ambient, i) && ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) != 0) {
      throw sys_error("raise ambient ", capability_name(i));
    }
  }
}

}  // namespace mydocker::runtime
