#include "runtime/seccomp_program.h"

#include <linux/seccomp.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <map>

#include "engine/base/error.h"

namespace mydocker::runtime {
namespace {

constexpr std::uint32_t x32_bit = 0x40000000;
constexpr std::size_t farthest = 255;  // conditional jumps have eight bits

constexpr std::uint32_t number_offset = offsetof(seccomp_data, nr);
constexpr std::uint32_t arch_offset = offsetof(seccomp_data, arch);
// The halves of an argument in little-endian memory.
constexpr std::uint32_t low_offset(unsigned index) {
  return static_cast<std::uint32_t>(offsetof(seccomp_data, args)) + 8 * index;
}
constexpr std::uint32_t high_offset(unsigned index) { return low_offset(index) + 4; }

/// Writes a program from its end to its start, so that every jump target is known when the jump is written.
class Assembler {
 public:
  using Label = std::size_t;  ///< how many instructions follow the labelled one, itself included

  Label emit_return(std::uint32_t action) {
    const auto known = returns_.find(action);
    if (known != returns_.end() && code_.size() - known->second < farthest / 2) return known->second;
    const Label label = emit(BPF_STMT(BPF_RET | BPF_K, action));
    returns_[action] = label;
    return label;
  }

  Label emit_load(std::uint32_t offset, Label next) {
    follow(next);
    return emit(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset));
  }

  Label emit_and(std::uint32_t mask, Label next) {
    follow(next);
    return emit(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask));
  }

  Label emit_jump(std::uint16_t condition, std::uint32_t value, Label yes, Label no) {
    if (yes == no) return yes;
    yes = near(yes, 1);
    no = near(no, 0);
    const std::size_t here = code_.size();
    return emit(BPF_JUMP(static_cast<std::uint16_t>(BPF_JMP | condition | BPF_K), value,
                         static_cast<std::uint8_t>(here - yes), static_cast<std::uint8_t>(here - no)));
  }

  FilterProgram take(Label start) {
    follow(start);
    std::reverse(code_.begin(), code_.end());
    return std::move(code_);
  }

 private:
  Label emit(sock_filter instruction) {
    code_.push_back(instruction);
    return code_.size();
  }

  /// Makes `next` the instruction that is executed after the one to be written.
  void follow(Label next) {
    if (next != code_.size())
      emit(sock_filter{BPF_JMP | BPF_JA, 0, 0, static_cast<std::uint32_t>(code_.size() - next)});
  }

  /// A label within reach of the next conditional jump, `room` instructions of which may come in between.
  Label near(Label target, std::size_t room) {
    if (code_.size() + room - target <= farthest) return target;
    return emit(sock_filter{BPF_JMP | BPF_JA, 0, 0, static_cast<std::uint32_t>(code_.size() - target)});
  }

  FilterProgram code_;  ///< last instruction first
  std::map<std::uint32_t, Label> returns_;
};

/// Consecutive numbers that are treated alike.
struct Range {
  std::uint32_t first = 0;
  const std::vector<FilterRule>* rules = nullptr;  ///< nullptr: `action` decides
  std::uint32_t action = 0;
};

using Label = Assembler::Label;

Label emit_greater(Assembler& out, const ArgumentCheck& check, std::uint16_t low_condition, Label yes, Label no) {
  const auto high = static_cast<std::uint32_t>(check.value >> 32);
  const auto low = static_cast<std::uint32_t>(check.value);
  Label at = out.emit_jump(low_condition, low, yes, no);
  at = out.emit_load(low_offset(check.index), at);
  at = out.emit_jump(BPF_JEQ, high, at, no);
  at = out.emit_jump(BPF_JGT, high, yes, at);
  return out.emit_load(high_offset(check.index), at);
}

Label emit_equal(Assembler& out, const ArgumentCheck& check, bool masked, Label yes, Label no) {
  Label at = out.emit_jump(BPF_JEQ, static_cast<std::uint32_t>(check.value), yes, no);
  if (masked) at = out.emit_and(static_cast<std::uint32_t>(check.mask), at);
  at = out.emit_load(low_offset(check.index), at);
  at = out.emit_jump(BPF_JEQ, static_cast<std::uint32_t>(check.value >> 32), at, no);
  if (masked) at = out.emit_and(static_cast<std::uint32_t>(check.mask >> 32), at);
  return out.emit_load(high_offset(check.index), at);
}

Label emit_check(Assembler& out, const ArgumentCheck& check, Label yes, Label no) {
  switch (check.compare) {
    case Compare::equal:
      return emit_equal(out, check, false, yes, no);
    case Compare::not_equal:
      return emit_equal(out, check, false, no, yes);
    case Compare::masked_equal:
      return emit_equal(out, check, true, yes, no);
    case Compare::greater:
      return emit_greater(out, check, BPF_JGT, yes, no);
    case Compare::greater_or_equal:
      return emit_greater(out, check, BPF_JGE, yes, no);
    case Compare::less:
      return emit_greater(out, check, BPF_JGE, no, yes);
    case Compare::less_or_equal:
      return emit_greater(out, check, BPF_JGT, no, yes);
  }
  throw Error(ErrorKind::internal, "unknown comparison in a seccomp rule");
}

Label emit_rules(Assembler& out, const std::vector<FilterRule>& rules, std::uint32_t default_action) {
  Label next = out.emit_return(default_action);
  for (std::size_t i = rules.size(); i-- > 0;) {
    Label at = out.emit_return(rules[i].action);
    for (std::size_t j = rules[i].checks.size(); j-- > 0;) at = emit_check(out, rules[i].checks[j], at, next);
    next = at;
  }
  return next;
}

Label emit_search(Assembler& out, const std::vector<Range>& ranges, std::size_t begin, std::size_t end,
                  std::uint32_t default_action) {
  if (end - begin == 1) {
    const Range& range = ranges[begin];
    return range.rules != nullptr ? emit_rules(out, *range.rules, default_action) : out.emit_return(range.action);
  }
  const std::size_t middle = begin + (end - begin) / 2;
  const Label right = emit_search(out, ranges, middle, end, default_action);
  const Label left = emit_search(out, ranges, begin, middle, default_action);
  return out.emit_jump(BPF_JGE, ranges[middle].first, right, left);
}

using JoinedEntries = std::map<std::uint32_t, std::vector<FilterRule>>;

JoinedEntries join_entries(std::vector<FilterEntry>& entries) {
  JoinedEntries joined;
  for (FilterEntry& entry : entries) {
    auto& rules = joined[entry.number];
    std::move(entry.rules.begin(), entry.rules.end(), std::back_inserter(rules));
  }
  return joined;
}

void add_range(std::vector<Range>& ranges, const Range& range) {
  if (!ranges.empty() && ranges.back().rules == nullptr && range.rules == nullptr &&
      ranges.back().action == range.action) {
    return;
  }
  if (!ranges.empty() && ranges.back().first == range.first) {
    ranges.back() = range;
    return;
  }
  ranges.push_back(range);
}

std::vector<Range> make_ranges(const FilterAbi& abi, const JoinedEntries& joined) {
  std::vector<Range> ranges;
  std::uint32_t next = 0;
  const auto fill_gap = [&](std::uint32_t until) {  // [next, until) has no entry
    if (next >= until) return;
    const auto fill = [&](std::uint32_t from, std::uint32_t to, std::uint32_t action) {
      if (from < to) add_range(ranges, {from, nullptr, action});
    };
    if (abi.beyond_action == 0) return fill(next, until, abi.default_action);
    const std::uint32_t low = std::min(until, std::max(next, abi.beyond_number));
    const std::uint32_t high = std::min(until, std::max(next, x32_bit));
    fill(next, low, abi.default_action);
    fill(low, high, abi.beyond_action);
    fill(std::max(next, high), until, abi.default_action);
  };
  for (const auto& [number, rules] : joined) {
    fill_gap(number);
    const bool simple = !rules.empty() && rules.front().checks.empty();
    add_range(ranges, simple ? Range{number, nullptr, rules.front().action} : Range{number, &rules, 0});
    next = number + 1;
  }
  fill_gap(0xffffffff);
  return ranges;
}

}  // namespace

FilterProgram build_filter(std::vector<FilterAbi> abis, std::uint32_t foreign_action) {
  Assembler out;
  Label next = out.emit_return(foreign_action);
  for (std::size_t i = abis.size(); i-- > 0;) {
    const JoinedEntries joined = join_entries(abis[i].entries);
    const std::vector<Range> ranges = make_ranges(abis[i], joined);
    Label at = emit_search(out, ranges, 0, ranges.size(), abis[i].default_action);
    at = out.emit_load(number_offset, at);
    next = out.emit_jump(BPF_JEQ, abis[i].audit_arch, at, next);
  }
  FilterProgram program = out.take(out.emit_load(arch_offset, next));
  if (program.size() > BPF_MAXINSNS) {
    throw Error(ErrorKind::invalid_argument, "the seccomp profile is too large for the kernel");
  }
  return program;
}

std::uint32_t run_filter(const FilterProgram& program, std::uint32_t audit_arch, std::uint32_t number,
                         const std::uint64_t (&arguments)[6]) {
  seccomp_data data{};
  data.nr = static_cast<int>(number);
  data.arch = audit_arch;
  std::copy(std::begin(arguments), std::end(arguments), std::begin(data.args));
  std::uint32_t accumulator = 0;
  for (std::size_t at = 0; at < program.size(); ++at) {
    const sock_filter& one = program[at];
    const bool yes = BPF_OP(one.code) == BPF_JEQ   ? accumulator == one.k
                     : BPF_OP(one.code) == BPF_JGT ? accumulator > one.k
                                                   : accumulator >= one.k;
    switch (BPF_CLASS(one.code)) {
      case BPF_RET:
        return one.k;
      case BPF_LD:
        std::memcpy(&accumulator, reinterpret_cast<const char*>(&data) + one.k, 4);
        break;
      case BPF_ALU:
        accumulator &= one.k;
        break;
      default:
        at += BPF_OP(one.code) == BPF_JA ? one.k : yes ? one.jt : one.jf;
        break;
    }
  }
  throw Error(ErrorKind::internal, "a seccomp program without end");
}

}  // namespace mydocker::runtime
