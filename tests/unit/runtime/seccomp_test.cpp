#include "runtime/seccomp.h"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <cerrno>

#include "tests/support/requirements.h"

namespace mydocker::runtime {
namespace {

constexpr std::uint32_t allow = SECCOMP_RET_ALLOW;
constexpr std::uint32_t eperm = SECCOMP_RET_ERRNO | EPERM;
constexpr std::uint32_t enosys = SECCOMP_RET_ERRNO | ENOSYS;

CapabilityMask default_capabilities() { return capability_mask(make_default_capabilities()); }

std::uint32_t ask(const FilterProgram& program, long number, std::uint64_t a = 0, std::uint64_t b = 0,
                  std::uint64_t c = 0, std::uint32_t arch = AUDIT_ARCH_X86_64) {
  const std::uint64_t arguments[6] = {a, b, c, 0, 0, 0};
  return run_filter(program, arch, static_cast<std::uint32_t>(number), arguments);
}

FilterProgram compile_default(CapabilityMask bounding) { return compile_seccomp(make_default_seccomp(bounding)); }

TEST(SeccompDefault, OrdinaryCallsPass) {
  const FilterProgram program = compile_default(default_capabilities());
  for (const long number : {SYS_read, SYS_openat, SYS_execve, SYS_mmap, SYS_futex, SYS_ptrace, SYS_process_vm_readv,
                            SYS_chroot, SYS_rseq, SYS_statx, SYS_close_range, SYS_landlock_create_ruleset}) {
    EXPECT_EQ(ask(program, number), allow) << number;
  }
  for (const long number : {451L, 452L, 454L, 455L, 456L, 462L, 463L, 468L, 469L}) {
    EXPECT_EQ(ask(program, number), allow) << number;
  }
}

TEST(SeccompDefault, DangerousCallsGetEperm) {
  const FilterProgram program = compile_default(default_capabilities());
  for (const long number : {SYS_keyctl,
                            SYS_add_key,
                            SYS_request_key,
                            SYS_userfaultfd,
                            SYS_io_uring_setup,
                            SYS_io_uring_enter,
                            SYS_io_uring_register,
                            SYS_kexec_load,
                            SYS_pivot_root,
                            SYS_swapon,
                            SYS_move_pages,
                            SYS_mount,
                            SYS_umount2,
                            SYS_unshare,
                            SYS_setns,
                            SYS_bpf,
                            SYS_perf_event_open,
                            SYS_fsopen,
                            SYS_fsconfig,
                            SYS_open_tree,
                            SYS_move_mount,
                            SYS_mount_setattr,
                            SYS_reboot,
                            SYS_init_module,
                            SYS_finit_module,
                            SYS_acct,
                            SYS_kcmp,
                            SYS_iopl,
                            SYS_settimeofday,
                            SYS_clock_settime,
                            SYS_vhangup,
                            SYS_mbind,
                            SYS_open_by_handle_at,
                            SYS_syslog,
                            SYS_quotactl,
                            SYS_fanotify_init,
                            SYS_sethostname,
                            SYS_pidfd_getfd,
                            SYS_process_madvise}) {
    EXPECT_EQ(ask(program, number), eperm) << number;
  }
}

TEST(SeccompDefault, UnknownCallsGetEnosys) {
  const FilterProgram program = compile_default(default_capabilities());
  for (const long number : {470L, 471L, 500L, 1023L, 100000L, 0x3fffffffL, 387L, 423L}) {
    EXPECT_EQ(ask(program, number), enosys) << number;
  }
}

/// Every number is decided: allowed, EPERM or ENOSYS, and everything up to the newest known one is in the table.
TEST(SeccompDefault, EveryKnownNumberIsInTheTable) {
  const FilterProgram program = compile_default(default_capabilities());
  for (long number = 0; number <= 334; ++number) {
    EXPECT_TRUE(ask(program, number) == allow || ask(program, number) == eperm) << number;
  }
  for (long number = 424; number <= 469; ++number) {
    if (number == SYS_clone3) continue;
    EXPECT_TRUE(ask(program, number) == allow || ask(program, number) == eperm) << number;
  }
}

struct Unlocked {
  const char* capability;
  std::vector<long> calls;
};

TEST(SeccompDefault, CapabilitiesUnlockTheirCalls) {
  const Unlocked table[] = {
      {"SYS_ADMIN",
       {SYS_mount, SYS_umount2, SYS_unshare, SYS_setns, SYS_bpf, SYS_perf_event_open, SYS_fsopen, SYS_clone3,
        SYS_syslog, SYS_quotactl, SYS_sethostname, SYS_fanotify_init, 457, 459}},
      {"BPF", {SYS_bpf}},
      {"PERFMON", {SYS_perf_event_open}},
      {"SYSLOG", {SYS_syslog}},
      {"SYS_BOOT", {SYS_reboot}},
      {"SYS_CHROOT", {SYS_chroot}},
      {"SYS_MODULE", {SYS_init_module, SYS_finit_module, SYS_delete_module}},
      {"SYS_PACCT", {SYS_acct}},
      {"SYS_PTRACE", {SYS_kcmp, SYS_process_madvise, SYS_pidfd_getfd}},
      {"SYS_RAWIO", {SYS_iopl, SYS_ioperm}},
      {"SYS_TIME", {SYS_settimeofday, SYS_clock_settime}},
      {"SYS_TTY_CONFIG", {SYS_vhangup}},
      {"SYS_NICE", {SYS_mbind, SYS_get_mempolicy, SYS_set_mempolicy}},
      {"DAC_READ_SEARCH", {SYS_open_by_handle_at}},
  };
  const FilterProgram none = compile_default(0);
  for (const Unlocked& row : table) {
    const FilterProgram with = compile_default(capability_mask({row.capability}));
    for (const long number : row.calls) {
      EXPECT_EQ(ask(with, number), allow) << row.capability << " " << number;
      EXPECT_NE(ask(none, number), allow) << row.capability << " " << number;
    }
  }
}

TEST(SeccompDefault, CloneMayNotMakeNamespaces) {
  const FilterProgram program = compile_default(default_capabilities());
  EXPECT_EQ(ask(program, SYS_clone, 0x11), allow);
  for (const std::uint64_t flag :
       {0x20000ULL, 0x02000000ULL, 0x04000000ULL, 0x08000000ULL, 0x10000000ULL, 0x20000000ULL, 0x40000000ULL}) {
    EXPECT_EQ(ask(program, SYS_clone, flag | 0x11), eperm) << flag;
  }
  EXPECT_EQ(ask(program, SYS_clone3), enosys);
}

TEST(SeccompDefault, SocketFamiliesAlgAndVsockAreRefused) {
  const FilterProgram program = compile_default(default_capabilities());
  for (const std::uint64_t family : {1U, 2U, 10U, 16U, 17U, 37U, 39U, 41U, 44U})
    EXPECT_EQ(ask(program, SYS_socket, family), allow) << family;
  for (const std::uint64_t family : {38U, 40U}) EXPECT_EQ(ask(program, SYS_socket, family), eperm) << family;
}

TEST(SeccompDefault, OnlyHarmlessPersonalities) {
  const FilterProgram program = compile_default(default_capabilities());
  for (const std::uint64_t value : {0x0ULL, 0x8ULL, 0x20000ULL, 0x20008ULL, 0xffffffffULL}) {
    EXPECT_EQ(ask(program, SYS_personality, value), allow) << value;
  }
  for (const std::uint64_t value : {0x40000ULL, 0x1ULL, 0x400000ULL, 0x1ffffffffULL}) {
    EXPECT_EQ(ask(program, SYS_personality, value), eperm) << value;
  }
}

TEST(SeccompDefault, TheOtherAbisAreFilteredToo) {
  const FilterProgram program = compile_default(default_capabilities());
  EXPECT_EQ(ask(program, 4, 0, 0, 0, AUDIT_ARCH_I386), allow);     // write
  EXPECT_EQ(ask(program, 21, 0, 0, 0, AUDIT_ARCH_I386), eperm);    // mount
  EXPECT_EQ(ask(program, 102, 1, 0, 0, AUDIT_ARCH_I386), allow);   // socketcall
  EXPECT_EQ(ask(program, 359, 38, 0, 0, AUDIT_ARCH_I386), eperm);  // socket(AF_ALG)
  EXPECT_EQ(ask(program, 359, 2, 0, 0, AUDIT_ARCH_I386), allow);
  EXPECT_EQ(ask(program, 0x40000000L + SYS_read), allow);  // x32
  EXPECT_EQ(ask(program, 0x40000000L + SYS_mount), eperm);
  EXPECT_EQ(ask(program, SYS_read, 0, 0, 0, AUDIT_ARCH_AARCH64), static_cast<std::uint32_t>(SECCOMP_RET_KILL_THREAD));
}

TEST(SeccompDefault, TheProgramIsSmall) { EXPECT_LT(compile_default(default_capabilities()).size(), 700U); }

Seccomp make_profile(std::vector<SeccompRule> rules) {
  Seccomp seccomp;
  seccomp.default_action = "SCMP_ACT_ERRNO";
  seccomp.syscalls = std::move(rules);
  return seccomp;
}

TEST(Seccomp, ComparisonsAreOn64Bits) {
  struct Row {
    const char* op;
    std::uint64_t value, value_two;
    std::vector<std::uint64_t> yes, no;
  };
  constexpr std::uint64_t big = 0x100000005ULL;
  const Row table[] = {
      {"SCMP_CMP_EQ", big, 0, {big}, {5, big + 1, big + (1ULL << 32)}},
      {"SCMP_CMP_NE", big, 0, {5, big + 1}, {big}},
      {"SCMP_CMP_GT", big, 0, {big + 1, big + (1ULL << 32), 0x200000000ULL}, {big, 5, 0xffffffffULL}},
      {"SCMP_CMP_GE", big, 0, {big, big + 1}, {big - 1, 0xffffffffULL}},
      {"SCMP_CMP_LT", big, 0, {big - 1, 0, 0xffffffffULL}, {big, big + 1, 0x200000000ULL}},
      {"SCMP_CMP_LE", big, 0, {big, big - 1}, {big + 1}},
      {"SCMP_CMP_MASKED_EQ", 0xf000000f0ULL, 0x100000050ULL, {0x100000050ULL, 0x10000005fULL}, {0x50, 0x200000050ULL}},
  };
  for (const Row& row : table) {
    const FilterProgram program = compile_seccomp(
        make_profile({{{"write"}, "SCMP_ACT_ALLOW", std::nullopt, {{1, row.value, row.value_two, row.op}}}}));
    for (const std::uint64_t value : row.yes) EXPECT_EQ(ask(program, SYS_write, 0, value), allow) << row.op << value;
    for (const std::uint64_t value : row.no) EXPECT_EQ(ask(program, SYS_write, 0, value), eperm) << row.op << value;
  }
}

TEST(Seccomp, DifferentArgumentsMustAllMatchSameOnesAreAlternatives) {
  const FilterProgram both = compile_seccomp(make_profile(
      {{{"write"}, "SCMP_ACT_ALLOW", std::nullopt, {{0, 1, 0, "SCMP_CMP_EQ"}, {2, 3, 0, "SCMP_CMP_EQ"}}}}));
  EXPECT_EQ(ask(both, SYS_write, 1, 0, 3), allow);
  EXPECT_EQ(ask(both, SYS_write, 1, 0, 4), eperm);
  EXPECT_EQ(ask(both, SYS_write, 2, 0, 3), eperm);
  const FilterProgram either = compile_seccomp(make_profile(
      {{{"write"}, "SCMP_ACT_ALLOW", std::nullopt, {{0, 1, 0, "SCMP_CMP_EQ"}, {0, 2, 0, "SCMP_CMP_EQ"}}}}));
  EXPECT_EQ(ask(either, SYS_write, 1), allow);
  EXPECT_EQ(ask(either, SYS_write, 2), allow);
  EXPECT_EQ(ask(either, SYS_write, 3), eperm);
}

TEST(Seccomp, ActionsAndErrnoAreKept) {
  Seccomp profile = make_profile({{{"write"}, "SCMP_ACT_ERRNO", 42, {}},
                                  {{"read"}, "SCMP_ACT_KILL_PROCESS", std::nullopt, {}},
                                  {{"open"}, "SCMP_ACT_LOG", std::nullopt, {}},
                                  {{"close"}, "SCMP_ACT_NOTIFY", std::nullopt, {}}});
  profile.listener_path = "/run/agent";
  const FilterProgram program = compile_seccomp(profile);
  EXPECT_EQ(ask(program, SYS_write), SECCOMP_RET_ERRNO | 42U);
  EXPECT_EQ(ask(program, SYS_read), static_cast<std::uint32_t>(SECCOMP_RET_KILL_PROCESS));
  EXPECT_EQ(ask(program, SYS_open), static_cast<std::uint32_t>(SECCOMP_RET_LOG));
  EXPECT_EQ(ask(program, SYS_close), static_cast<std::uint32_t>(SECCOMP_RET_USER_NOTIF));
  EXPECT_EQ(ask(program, 1000), enosys);  // newer than we know
}

TEST(Seccomp, UnknownWordsAreRefusedUnknownCallsSkipped) {
  EXPECT_THROW_ERROR(compile_seccomp(make_profile({{{"read"}, "SCMP_ACT_X", std::nullopt, {}}})),
                     ErrorKind::invalid_argument, "SCMP_ACT_X");
  EXPECT_THROW_ERROR(
      compile_seccomp(make_profile({{{"read"}, "SCMP_ACT_ALLOW", std::nullopt, {{0, 1, 0, "SCMP_CMP_X"}}}})),
      ErrorKind::invalid_argument, "SCMP_CMP_X");
  Seccomp arch = make_profile({});
  arch.architectures = {"SCMP_ARCH_Z80"};
  EXPECT_THROW_ERROR(compile_seccomp(arch), ErrorKind::invalid_argument, "SCMP_ARCH_Z80");
  const FilterProgram program =
      compile_seccomp(make_profile({{{"no_such_call", "read"}, "SCMP_ACT_ALLOW", std::nullopt, {}}}));
  EXPECT_EQ(ask(program, SYS_read), allow);
}

TEST(SeccompProfile, ConditionsAreDecided) {
  const std::string text = R"({
    "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
                {"architecture": "SCMP_ARCH_S390X", "subArchitectures": ["SCMP_ARCH_S390"]}],
    "syscalls": [
      {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
      {"name": "write", "action": "SCMP_ACT_ALLOW"},
      {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
      {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
      {"names": ["bpf"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.0"}},
      {"names": ["close"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["s390x"]}},
      {"names": ["dup"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]}}]})";
  const FilterProgram plain = compile_seccomp(parse_seccomp_profile(text, 0, "6.1.0-13-amd64"));
  EXPECT_EQ(ask(plain, SYS_read), allow);
  EXPECT_EQ(ask(plain, SYS_write), allow);
  EXPECT_EQ(ask(plain, SYS_mount), eperm);
  EXPECT_EQ(ask(plain, SYS_ptrace), allow);
  EXPECT_EQ(ask(plain, SYS_bpf), eperm);
  EXPECT_EQ(ask(plain, SYS_close), eperm);
  EXPECT_EQ(ask(plain, SYS_dup), allow);
  EXPECT_EQ(ask(plain, 3, 0, 0, 0, AUDIT_ARCH_I386), allow);
  const FilterProgram admin = compile_seccomp(parse_seccomp_profile(text, capability_mask({"SYS_ADMIN"}), "4.4"));
  EXPECT_EQ(ask(admin, SYS_mount), allow);
  EXPECT_EQ(ask(admin, SYS_ptrace), eperm);
  EXPECT_EQ(ask(admin, SYS_dup), eperm);
}

TEST(SeccompProfile, BadProfilesAreRefused) {
  EXPECT_THROW_ERROR(parse_seccomp_profile("{", 0, "6.1"), ErrorKind::invalid_argument, "decoding seccomp profile");
  EXPECT_THROW_ERROR(parse_seccomp_profile("{}", 0, "6.1"), ErrorKind::invalid_argument, "action");
  EXPECT_THROW_ERROR(parse_seccomp_profile(R"({"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],
      "archMap":[{"architecture":"SCMP_ARCH_X86_64"}]})",
                                           0, "6.1"),
                     ErrorKind::invalid_argument, "either");
}

}  // namespace
}  // namespace mydocker::runtime
