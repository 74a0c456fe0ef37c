#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/seccomp.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "engine/base/sys.h"
#include "runtime/seccomp.h"

/// The committed table of every system call against the compiled default profile (SECURITY 6.4, H1): a change of the
/// profile shows as a change of the table. MYDOCKER_GOLDEN_OUT=FILE writes the table as it is now.
namespace mydocker::runtime {
namespace {

struct Line {
  std::string abi;
  std::uint32_t number = 0;
  std::string name;
  std::string rest;
};

std::vector<Line> read_golden(std::string& header) {
  std::istringstream text(read_file(MYDOCKER_SECCOMP_GOLDEN));
  std::getline(text, header);
  std::vector<Line> lines;
  for (std::string line; std::getline(text, line);) {
    std::istringstream words(line);
    Line one;
    words >> one.abi >> one.number >> one.name >> std::ws;
    std::getline(words, one.rest);
    lines.push_back(one);
  }
  return lines;
}

std::uint32_t audit_of(const std::string& abi) { return abi == "i386" ? AUDIT_ARCH_I386 : AUDIT_ARCH_X86_64; }

std::string verdict(const FilterProgram& program, const std::string& abi, std::uint32_t number) {
  const std::uint64_t arguments[6] = {};
  const std::uint32_t action = run_filter(program, audit_of(abi), number, arguments);
  if (action == SECCOMP_RET_ALLOW) return "allow";
  if (action == (SECCOMP_RET_ERRNO | EPERM)) return "EPERM";
  if (action == (SECCOMP_RET_ERRNO | ENOSYS)) return "ENOSYS";
  return concat("action ", action);
}

/// The default 14, and each set that has one more or one less.
struct Variants {
  FilterProgram usual;
  std::vector<std::pair<std::string, FilterProgram>> others;
};

Variants compile_variants() {
  const CapabilityMask usual = capability_mask(make_default_capabilities());
  Variants out{compile_seccomp(make_default_seccomp(usual)), {}};
  for (unsigned i = 0; !capability_name(i).empty(); ++i) {
    const CapabilityMask flipped = usual ^ CapabilityMask { 1 } << i;
    const char* sign = has_capability(usual, i) ? "-" : "+";
    out.others.emplace_back(concat(sign, capability_name(i).substr(4)), compile_seccomp(make_default_seccomp(flipped)));
  }
  return out;
}

std::string describe(const Variants& variants, const Line& line) {
  const std::string usual = verdict(variants.usual, line.abi, line.number);
  std::string changes;
  for (const auto& [name, program] : variants.others) {
    const std::string other = verdict(program, line.abi, line.number);
    if (other != usual) changes += concat(changes.empty() ? "" : ",", name, "=", other);
  }
  return concat(usual, " ", changes.empty() ? "-" : changes);
}

TEST(SeccompGolden, EverySystemCallIsAnsweredAsInTheTable) {
  std::string header;
  const std::vector<Line> lines = read_golden(header);
  const Variants variants = compile_variants();
  std::string now = header + "\n";
  std::size_t native = 0;
  for (const Line& line : lines) {
    const std::string expected = describe(variants, line);
    EXPECT_EQ(line.rest, expected) << line.abi << " " << line.number << " " << line.name;
    now += concat(line.abi, " ", line.number, " ", line.name, " ", expected, "\n");
    native += line.abi == "x86_64" ? 1 : 0;
  }
  EXPECT_GE(native, 370U);  // the table is there, and whole
  if (const char* out = std::getenv("MYDOCKER_GOLDEN_OUT")) std::ofstream(out) << now;
}

/// A number without a name in the table is unknown to the profile as well.
TEST(SeccompGolden, NumbersThatAreNotInTheTableGetEnosys) {
  std::string header;
  const Variants variants = compile_variants();
  for (const char* abi : {"x86_64", "i386"}) {
    std::vector<bool> named(1024);
    for (const Line& line : read_golden(header)) {
      if (line.abi == abi) named[line.number] = true;
    }
    for (std::uint32_t number = 0; number < named.size(); ++number) {
      const bool x32_only = std::string(abi) == "x86_64" && number >= 512 && number <= 547;
      if (!named[number] && !x32_only) {
        EXPECT_EQ(verdict(variants.usual, abi, number), "ENOSYS") << abi << " " << number;
      }
    }
  }
}

/// The names mean these numbers: a profile that names one call decides about that number alone.
TEST(SeccompGolden, EachNameIsItsNumber) {
  std::string header;
  for (const Line& line : read_golden(header)) {
    Seccomp profile;
    profile.default_action = "SCMP_ACT_ALLOW";
    profile.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"};
    profile.syscalls = {{{line.name}, "SCMP_ACT_ERRNO", 77, {}}};
    const FilterProgram program = compile_seccomp(profile);
    const std::uint64_t arguments[6] = {};
    EXPECT_EQ(run_filter(program, audit_of(line.abi), line.number, arguments), SECCOMP_RET_ERRNO | 77U)
        << line.abi << " " << line.name;
    EXPECT_EQ(run_filter(program, audit_of(line.abi), line.number + 1, arguments),
              static_cast<std::uint32_t>(SECCOMP_RET_ALLOW))
        << line.abi << " " << line.name;
  }
}

}  // namespace
}  // namespace mydocker::runtime
