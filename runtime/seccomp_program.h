#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <vector>

/// Makes classic BPF programs for seccomp(2): per ABI a binary search over ranges of system call numbers, so that both
/// loading (the kernel runs the filter once per number to fill its cache) and the calls themselves stay cheap.
/// Pure; any thread.
namespace mydocker::runtime {

enum class Compare { equal, not_equal, less, less_or_equal, greater, greater_or_equal, masked_equal };

/// One condition on a 64-bit argument. masked_equal: (argument & mask) == value.
struct ArgumentCheck {
  unsigned index = 0;
  Compare compare = Compare::equal;
  std::uint64_t value = 0;
  std::uint64_t mask = 0;
};

/// Applies when all checks hold.
struct FilterRule {
  std::uint32_t action = 0;  ///< SECCOMP_RET_* with its data
  std::vector<ArgumentCheck> checks;
};

/// The rules of one system call; the first that applies decides, else the default action of the ABI.
struct FilterEntry {
  std::uint32_t number = 0;
  std::vector<FilterRule> rules;
};

/// One AUDIT_ARCH_* value. On x86-64 the x32 calls are numbers from 0x40000000 of the same ABI.
struct FilterAbi {
  std::uint32_t audit_arch = 0;
  std::uint32_t default_action = 0;
  std::vector<FilterEntry> entries;  ///< any order; entries of one number are joined in their order
  /// Numbers from here up to 0x3fffffff get `beyond_action`, unless 0.
  std::uint32_t beyond_number = 0;
  std::uint32_t beyond_action = 0;
};

using FilterProgram = std::vector<sock_filter>;

/// The first ABI is tested first. Other architectures get `foreign_action`. Throws Error{invalid_argument} when the
/// program becomes longer than the kernel takes (4096 instructions).
FilterProgram build_filter(std::vector<FilterAbi> abis, std::uint32_t foreign_action);

/// Runs a program in user space: what seccomp(2) would answer. For tests.
std::uint32_t run_filter(const FilterProgram& program, std::uint32_t audit_arch, std::uint32_t number,
                         const std::uint64_t (&arguments)[6]);

}  // namespace mydocker::runtime
