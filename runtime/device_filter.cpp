#include "runtime/device_filter.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/base/error.h"
#include "engine/base/sys.h"
#include "runtime/spec.h"

namespace mydocker::runtime {
namespace {

constexpr std::int64_t any_number = -1;
constexpr std::size_t verifier_log_bytes = 4096;

std::string number_or_star(const std::optional<std::int64_t>& number) {
  return !number || *number == any_number ? "*" : std::to_string(*number);
}

bool is_for_all(const DeviceRule& rule) {
  return (rule.type.empty() || rule.type == "a") && number_or_star(rule.major) == "*" &&
         number_or_star(rule.minor) == "*";
}

std::string access_of(const DeviceRule& rule) { return rule.access.empty() ? "rwm" : rule.access; }

bpf_insn make(std::uint8_t code, std::uint8_t destination, std::uint8_t source, std::int16_t offset,
              std::int32_t value) {
  bpf_insn instruction{};
  instruction.code = code;
  instruction.dst_reg = destination & 0xf;
  instruction.src_reg = source & 0xf;
  instruction.off = offset;
  instruction.imm = value;
  return instruction;
}

std::int32_t access_mask(const DeviceRule& rule) {
  std::int32_t mask = 0;
  for (const char c : access_of(rule)) {
    if (c == 'r') mask |= BPF_DEVCG_ACC_READ;
    if (c == 'w') mask |= BPF_DEVCG_ACC_WRITE;
    if (c == 'm') mask |= BPF_DEVCG_ACC_MKNOD;
  }
  return mask;
}

// Registers of the program.
constexpr std::uint8_t r0 = 0, r1 = 1, type_reg = 2, access_reg = 3, major_reg = 4, minor_reg = 5;

void append_load(std::vector<bpf_insn>& out) {
  // struct bpf_cgroup_dev_ctx: access_type (type in the low half, access in the high one), major, minor
  out.push_back(make(BPF_LDX | BPF_W | BPF_MEM, type_reg, r1, 0, 0));
  out.push_back(make(BPF_ALU | BPF_AND | BPF_K, type_reg, 0, 0, 0xffff));
  out.push_back(make(BPF_LDX | BPF_W | BPF_MEM, access_reg, r1, 0, 0));
  out.push_back(make(BPF_ALU | BPF_RSH | BPF_K, access_reg, 0, 0, 16));
  out.push_back(make(BPF_LDX | BPF_W | BPF_MEM, major_reg, r1, 4, 0));
  out.push_back(make(BPF_LDX | BPF_W | BPF_MEM, minor_reg, r1, 8, 0));
}

void append_return(std::vector<bpf_insn>& out, bool allow) {
  out.push_back(make(BPF_ALU64 | BPF_MOV | BPF_K, r0, 0, 0, allow ? 1 : 0));
  out.push_back(make(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
}

/// An allow rule must cover all that is asked for; a deny rule needs to touch only a part of it.
void append_rule(std::vector<bpf_insn>& out, const DeviceRule& rule) {
  std::vector<bpf_insn> body;
  const std::int32_t mask = access_mask(rule);
  if (rule.type == "c" || rule.type == "b") {
    body.push_back(
        make(BPF_JMP | BPF_JNE | BPF_K, type_reg, 0, 0, rule.type == "c" ? BPF_DEVCG_DEV_CHAR : BPF_DEVCG_DEV_BLOCK));
  }
  if (number_or_star(rule.major) != "*") {
    body.push_back(make(BPF_JMP | BPF_JNE | BPF_K, major_reg, 0, 0, static_cast<std::int32_t>(*rule.major)));
  }
  if (number_or_star(rule.minor) != "*") {
    body.push_back(make(BPF_JMP | BPF_JNE | BPF_K, minor_reg, 0, 0, static_cast<std::int32_t>(*rule.minor)));
  }
  if (mask != (BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE | BPF_DEVCG_ACC_MKNOD)) {
    body.push_back(make(BPF_ALU | BPF_MOV | BPF_X, r1, access_reg, 0, 0));
    body.push_back(make(BPF_ALU | BPF_AND | BPF_K, r1, 0, 0, rule.allow ? ~mask : mask));
    // Allow: nothing beyond the mask may be left. Deny: something of the mask must be there.
    body.push_back(make(static_cast<std::uint8_t>(BPF_JMP | (rule.allow ? BPF_JNE : BPF_JEQ) | BPF_K), r1, 0, 0, 0));
  }
  append_return(body, rule.allow);
  for (std::size_t i = 0; i < body.size(); ++i) {
    if (BPF_CLASS(body[i].code) == BPF_JMP && BPF_OP(body[i].code) != BPF_EXIT) {
      body[i].off = static_cast<std::int16_t>(body.size() - i - 1);
    }
  }
  out.insert(out.end(), body.begin(), body.end());
}

long call_bpf(bpf_cmd command, bpf_attr& attributes) {
  return ::syscall(SYS_bpf, command, &attributes, sizeof attributes);
}

UniqueFd load_program(const std::vector<bpf_insn>& program) {
  static constexpr char license[] = "Apache-2.0";
  std::string log(verifier_log_bytes, '\0');
  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attributes.insns = reinterpret_cast<std::uint64_t>(program.data());
  attributes.insn_cnt = static_cast<std::uint32_t>(program.size());
  attributes.license = reinterpret_cast<std::uint64_t>(license);
  std::memcpy(attributes.prog_name, "mydocker_dev", sizeof "mydocker_dev");
  UniqueFd fd(static_cast<int>(call_bpf(BPF_PROG_LOAD, attributes)));
  if (!fd) throw sys_error("load the device filter");
  return fd;
}

/// The program of an earlier call on this cgroup, by its name.
UniqueFd find_attached(int cgroup_fd) {
  std::uint32_t ids[64]{};
  bpf_attr query{};
  query.query.target_fd = static_cast<std::uint32_t>(cgroup_fd);
  query.query.attach_type = BPF_CGROUP_DEVICE;
  query.query.prog_ids = reinterpret_cast<std::uint64_t>(ids);
  query.query.prog_cnt = std::size(ids);
  if (call_bpf(BPF_PROG_QUERY, query) != 0 || query.query.prog_cnt == 0) return {};
  bpf_attr get{};
  get.prog_id = ids[query.query.prog_cnt - 1];
  return UniqueFd(static_cast<int>(call_bpf(BPF_PROG_GET_FD_BY_ID, get)));
}

}  // namespace

std::vector<DeviceRule> with_default_devices(const std::vector<DeviceRule>& rules) {
  if (rules.empty()) return {};
  std::size_t begin = 0;
  bool allows_all = false;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (!is_for_all(rules[i])) continue;
    begin = i + 1;
    allows_all = rules[i].allow;
  }
  if (allows_all) return rules;
  std::vector<DeviceRule> out(rules.begin(), rules.begin() + static_cast<std::ptrdiff_t>(begin));
  for (const DeviceRule& rule : make_default_device_rules()) {
    const bool listed = std::any_of(rules.begin(), rules.end(), [&](const DeviceRule& one) {
      return one.type == rule.type && one.major == rule.major && one.minor == rule.minor && one.access == rule.access;
    });
    if (rule.allow && !listed) out.push_back(rule);
  }
  out.insert(out.end(), rules.begin() + static_cast<std::ptrdiff_t>(begin), rules.end());
  return out;
}

std::vector<DeviceLine> device_lines(const std::vector<DeviceRule>& rules) {
  std::vector<DeviceLine> lines;
  for (const DeviceRule& rule : rules) {
    if (is_for_all(rule)) {
      lines.clear();  // "a" replaces everything before it, in the kernel too
      lines.push_back({rule.allow, "a"});
      continue;
    }
    const std::string numbers =
        concat(number_or_star(rule.major), ":", number_or_star(rule.minor), " ", access_of(rule));
    const bool both = rule.type.empty() || rule.type == "a";  // v1 wants a type with numbers
    for (const char* type : {"c", "b"}) {
      if (both || rule.type == type) lines.push_back({rule.allow, concat(type, " ", numbers)});
    }
  }
  return lines;
}

std::vector<bpf_insn> make_device_program(const std::vector<DeviceRule>& rules) {
  std::vector<bpf_insn> program;
  append_load(program);
  bool fallback = false;  // without a rule for all, what no rule names is refused
  std::size_t begin = 0;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (!is_for_all(rules[i])) continue;
    fallback = rules[i].allow;
    begin = i + 1;
  }
  for (std::size_t i = rules.size(); i > begin; --i) append_rule(program, rules[i - 1]);  // the last match wins
  append_return(program, fallback);
  return program;
}

void attach_device_filter(int cgroup_fd, const std::vector<DeviceRule>& rules) {
  const UniqueFd old = find_attached(cgroup_fd);
  const UniqueFd program = load_program(make_device_program(rules));
  bpf_attr attributes{};
  attributes.target_fd = static_cast<std::uint32_t>(cgroup_fd);
  attributes.attach_bpf_fd = static_cast<std::uint32_t>(program.get());
  attributes.attach_type = BPF_CGROUP_DEVICE;
  attributes.attach_flags = BPF_F_ALLOW_MULTI;
  if (old) {
    attributes.attach_flags |= BPF_F_REPLACE;
    attributes.replace_bpf_fd = static_cast<std::uint32_t>(old.get());
  }
  if (call_bpf(BPF_PROG_ATTACH, attributes) != 0) throw sys_error("attach the device filter");
}

}  // namespace mydocker::runtime
