#include "runtime/device_filter.h"

#include <gtest/gtest.h>

#include "runtime/spec.h"

namespace mydocker::runtime {
namespace {

TEST(DeviceFilter, ARuleForAllResetsWhatCameBefore) {
  const std::vector<DeviceLine> lines =
      device_lines({{true, "c", 1, 3, "rw"}, {false, "", {}, {}, "rwm"}, {true, "c", 5, -1, "r"}});
  EXPECT_EQ(lines, (std::vector<DeviceLine>{{false, "a"}, {true, "c 5:* r"}}));
}

TEST(DeviceFilter, ARuleWithoutTypeMeansBoth) {
  EXPECT_EQ(device_lines({{true, "a", 10, 200, ""}}),
            (std::vector<DeviceLine>{{true, "c 10:200 rwm"}, {true, "b 10:200 rwm"}}));
}

TEST(DeviceFilter, DefaultDevicesComeRightAfterTheDenialOfAll) {
  const std::vector<DeviceRule> rules = with_default_devices({{false, "a", {}, {}, "rwm"}, {false, "c", 5, 0, "rwm"}});
  ASSERT_GT(rules.size(), 10U);
  EXPECT_FALSE(rules.front().allow);
  EXPECT_FALSE(rules.back().allow);  // the caller's denial of /dev/tty still has the last word
  EXPECT_EQ(rules.back().minor, 0);
  EXPECT_EQ(with_default_devices({{true, "a", {}, {}, "rwm"}}).size(), 1U);
  EXPECT_TRUE(with_default_devices({}).empty());
}

TEST(DeviceFilter, FuseAndTunAreNotAmongTheDefaults) {
  for (const DeviceRule& rule : make_default_device_rules()) {
    if (rule.allow) {
      EXPECT_NE(rule.major, 10);
    }
  }
}

/// What the program answers, by a small interpreter of the instructions that we emit.
bool run_program(const std::vector<bpf_insn>& program, std::uint32_t type, std::uint32_t access, std::uint32_t major,
                 std::uint32_t minor) {
  const std::uint32_t context[3] = {type | access << 16, major, minor};
  std::uint32_t registers[11]{};
  for (std::size_t at = 0; at < program.size(); ++at) {
    const bpf_insn& one = program[at];
    std::uint32_t& target = registers[one.dst_reg];
    const auto value = static_cast<std::uint32_t>(one.imm);
    switch (one.code) {
      case BPF_LDX | BPF_W | BPF_MEM:
        target = context[one.off / 4];
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        target &= value;
        break;
      case BPF_ALU | BPF_RSH | BPF_K:
        target >>= value;
        break;
      case BPF_ALU | BPF_MOV | BPF_X:
        target = registers[one.src_reg];
        break;
      case BPF_ALU64 | BPF_MOV | BPF_K:
        target = value;
        break;
      case BPF_JMP | BPF_JNE | BPF_K:
        if (target != value) at += static_cast<std::size_t>(one.off);
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        if (target == value) at += static_cast<std::size_t>(one.off);
        break;
      case BPF_JMP | BPF_EXIT:
        return registers[0] != 0;
      default:
        ADD_FAILURE() << "unknown instruction " << int{one.code};
        return false;
    }
  }
  ADD_FAILURE() << "a program without end";
  return false;
}

TEST(DeviceFilter, TheV2ProgramAnswersAsTheV1FilesDo) {
  constexpr std::uint32_t character = BPF_DEVCG_DEV_CHAR;
  constexpr std::uint32_t block = BPF_DEVCG_DEV_BLOCK;
  constexpr std::uint32_t make = BPF_DEVCG_ACC_MKNOD;
  constexpr std::uint32_t read = BPF_DEVCG_ACC_READ;
  constexpr std::uint32_t write = BPF_DEVCG_ACC_WRITE;
  const std::vector<bpf_insn> program = make_device_program(make_default_device_rules());
  EXPECT_TRUE(run_program(program, character, read | write, 1, 3));
  EXPECT_TRUE(run_program(program, character, read, 136, 7));
  EXPECT_TRUE(run_program(program, block, make, 254, 0));
  EXPECT_TRUE(run_program(program, character, make, 1, 1));
  EXPECT_FALSE(run_program(program, block, read, 254, 0));
  EXPECT_FALSE(run_program(program, block, read | make, 8, 0));
  EXPECT_FALSE(run_program(program, character, read, 1, 1));      // /dev/mem
  EXPECT_FALSE(run_program(program, character, read, 1, 11));     // /dev/kmsg
  EXPECT_FALSE(run_program(program, character, read, 10, 229));   // fuse
  EXPECT_FALSE(run_program(program, character, write, 10, 200));  // tun
  EXPECT_TRUE(run_program(make_device_program({{true, "a", {}, {}, "rwm"}}), block, read | write, 8, 0));
}

}  // namespace
}  // namespace mydocker::runtime
