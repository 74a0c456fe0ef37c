#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <chrono>

#include "engine/base/sys.h"
#include "runtime/seccomp.h"
#include "tests/integration/runtime_fixture.h"

/// SECURITY section 4, I1 to I3, and H1, H2 and H4, against mydocker-runtime: who the process is, and what the defaults
/// of `mydocker-runtime spec` leave it. The same through the engine's API is in hardening_test.cpp.
namespace mydocker::test {
namespace {

class RuntimeHardeningTest : public RuntimeTest {
 protected:
  void start_sleeper(json::value config) {
    edit(config, "process")["args"] = json::array{"sh", "-c", "echo ready; exec sleep 1000"};
    start(config);
    ASSERT_TRUE(eventually([&] { return output() == "ready\n"; }));
  }
  static void give_usual_capabilities(json::value& config) {
    const std::vector<std::string> names = runtime::make_default_capabilities();
    for (const char* set : {"bounding", "effective", "permitted"}) {
      edit(config, "process", "capabilities")[set] = json::array(names.begin(), names.end());
    }
  }
  static void use_default_seccomp(json::value& config) {
    const runtime::CapabilityMask usual = runtime::capability_mask(runtime::make_default_capabilities());
    edit(config, "linux")["seccomp"] = to_json(runtime::make_default_seccomp(usual));
  }
};

/// I1: ids of the document. (With 32 bits that wrap, 4294967296 would be root.)
TEST_F(RuntimeHardeningTest, IdsOfTheConfigAreExactOrRefused) {
  json::value config = make_config("id -u; id -g; id -G");
  for (const json::value& bad : {json::value(-1), json::value(2147483648U), json::value(4294967295U),
                                 json::value(4294967296), json::value(1.5), json::value("0"), json::value("root")}) {
    for (const char* member : {"uid", "gid"}) {
      edit(config, "process")["user"] = json::object{{"uid", 5}, {"gid", 6}};
      edit(config, "process", "user")[member] = bad;
      expect_refused(run(config), concat("process.user.", member));
    }
    edit(config, "process")["user"] = json::object{{"uid", 5}, {"gid", 6}, {"additionalGids", json::array{bad}}};
    expect_refused(run(config), "process.user.additionalGids");
  }
  edit(config, "process")["user"] =
      json::object{{"uid", 2147483647}, {"gid", 2147483647}, {"additionalGids", json::array{7}}, {"username", "root"}};
  EXPECT_EQ(run(config).out, "2147483647\n2147483647\n2147483647 7\n");
}

/// I1: `exec --user` takes numbers alone, in range.
TEST_F(RuntimeHardeningTest, IdsOfAnExecAreExactOrRefused) {
  start_sleeper(make_config(""));
  const std::pair<const char*, const char*> good[] = {
      {"0", "0 0\n"}, {"1", "1 0\n"}, {"01", "1 0\n"}, {"1000:1001", "1000 1001\n"}, {"2147483647", "2147483647 0\n"}};
  for (const auto& [user, ids] : good) {
    EXPECT_EQ(exec("echo $(id -u) $(id -g)", {"--user", user}).out, ids) << user;
  }
  for (const char* user :
       {"-1", "+1", " 1", "1 ", "0x1", "2147483648", "4294967295", "4294967296", "18446744073709551616",
        "1:99999999999", "1:-1", "1:", ":1", "user:", ":grp", "root", "a1"}) {
    const CommandResult refused = exec("id", {"--user", user});
    EXPECT_EQ(refused.code, 255) << user;
    EXPECT_EQ(refused.out, "") << user;
    EXPECT_NE(refused.err.find("invalid "), std::string::npos) << user << ": " << refused.err;
  }
  delete_forced();
}

/// I2, for run and exec: no inheritable and no ambient capability, the bounding set as asked, the gid among the groups.
TEST_F(RuntimeHardeningTest, RightsOfRunAndExecAreTheSameAndExact) {
  const std::string facts = "grep -E '^(Groups|Cap|NoNewPrivs|Seccomp:)' /proc/self/status";
  const std::string tail =
      "CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\n"
      "CapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";
  json::value config = make_config(facts);
  give_usual_capabilities(config);
  use_default_seccomp(config);
  EXPECT_EQ(run(config).out, "Groups:\t0 \n" + tail);
  start_sleeper(config);
  EXPECT_EQ(exec(facts).out, "Groups:\t0 \n" + tail);
  // CVE-2022-29162: a capability that an exec gets is not inheritable.
  const std::string more = exec(facts, {"--cap", "CAP_NET_ADMIN"}).out;
  EXPECT_NE(more.find("CapInh:\t0000000000000000"), std::string::npos) << more;
  EXPECT_NE(more.find("CapEff:\t00000000a80435fb"), std::string::npos) << more;
  EXPECT_NE(more.find("CapAmb:\t0000000000000000"), std::string::npos) << more;
  const std::string user = exec(facts, {"--user", "1000:1001", "--additional-gids", "29"}).out;
  EXPECT_TRUE(user.starts_with("Groups:\t29 1001 \nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n")) << user;
  delete_forced();
}

/// I3: a passwd that would hang or exhaust whoever reads it (the runtime does, for HOME): a refusal or a start without
/// it, at once.
TEST_F(RuntimeHardeningTest, AHostilePasswdNeitherHangsNorExhausts) {
  const std::string passwd = rootfs() + "/etc/passwd";
  const std::pair<const char*, void (*)(const std::string&)> kinds[] = {
      {"a FIFO", [](const std::string& path) { ASSERT_EQ(::mkfifo(path.c_str(), 0666), 0); }},
      {"a device", [](const std::string& path) { ASSERT_EQ(::mknod(path.c_str(), S_IFCHR | 0666, makedev(1, 5)), 0); }},
      {"a loop", [](const std::string& path) { ASSERT_EQ(::symlink("passwd", path.c_str()), 0); }},
      {"20 GiB", [](const std::string& path) { ASSERT_EQ(::truncate(path.c_str(), off_t{20} << 30), 0); }},
      {"a directory", [](const std::string& path) { ASSERT_EQ(::mkdir(path.c_str(), 0755), 0); }},
  };
  for (const auto& [what, make] : kinds) {
    ::unlink(passwd.c_str());
    if (std::string(what) == "20 GiB") open_file(passwd, O_CREAT | O_WRONLY, 0644);
    make(passwd);
    std::chrono::steady_clock::duration best = std::chrono::hours(1);
    for (int i = 0; i < 5; ++i) {  // the machine may be busy with something else for once
      const auto begin = std::chrono::steady_clock::now();
      const CommandResult result = run(make_config("echo ran"));
      best = std::min(best, std::chrono::steady_clock::now() - begin);
      EXPECT_EQ(result.code, 1) << what << result.out;
      EXPECT_NE(result.err.find("/etc/passwd"), std::string::npos) << what << ": " << result.err;
      if (best < std::chrono::seconds(1)) break;
    }
    EXPECT_LT(best, std::chrono::seconds(1)) << what;
    if (::unlink(passwd.c_str()) != 0) ASSERT_EQ(::rmdir(passwd.c_str()), 0);
  }
  write_file("bundle/rootfs/etc/passwd", "root:x:0:0:root:/home/root:/bin/sh\n");
  EXPECT_EQ(run("echo $HOME").out, "/home/root\n");
}

/// H1: what the default profile judges by arguments, on the calls themselves.
constexpr const char* expected_arguments =
    "socket 1: ok\nsocket 2: ok\nsocket 10: ok\nsocket 26: errno 1\nsocket 28: errno 1\n"
    "clone 0: ok\nclone 20000: errno 1\nclone 2000000: errno 1\nclone 4000000: errno 1\nclone 8000000: errno 1\n"
    "clone 10000000: errno 1\nclone 20000000: errno 1\nclone 40000000: errno 1\nclone3 0: errno 38\n"
    "personality ffffffff: ok\npersonality 0: ok\npersonality 8: ok\npersonality 20000: ok\npersonality 20008: ok\n"
    "personality 40000: errno 1\npersonality 8000000: errno 1\n";

TEST_F(RuntimeHardeningTest, SystemCallsAreJudgedByTheirArguments) {
  json::value config = make_config_for({"/payload", "arguments"});
  give_usual_capabilities(config);
  use_default_seccomp(config);
  EXPECT_EQ(run(config).out, expected_arguments);
  // The twin: without the profile the same calls reach the kernel.
  edit(config, "linux").erase("seccomp");
  const std::string free = run(config).out;
  EXPECT_NE(free.find("socket 26: ok"), std::string::npos) << free;
  EXPECT_NE(free.find("personality 40000: ok"), std::string::npos) << free;
}

/// H2: the lists of SECURITY 6.2, as root with DAC_OVERRIDE inside.
TEST_F(RuntimeHardeningTest, EveryMaskedPathIsUnreadableAndEveryReadOnlyOneUnwritable) {
  constexpr const char* masked[] = {"/proc/acpi",        "/proc/asound",  "/proc/interrupts",
                                    "/proc/kcore",       "/proc/keys",    "/proc/latency_stats",
                                    "/proc/sched_debug", "/proc/scsi",    "/proc/timer_list",
                                    "/proc/timer_stats", "/sys/firmware", "/sys/devices/virtual/powercap"};
  constexpr const char* read_only[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
  std::string script = "for p in";
  for (const char* path : masked) script += concat(" ", path);
  script +=
      " /sys/devices/system/cpu/cpu*/thermal_throttle; do [ -e $p ] || continue; if [ -d $p ]; then ls -A $p; touch "
      "$p/x 2>/dev/null && echo made $p/x; else head -c 1 $p; fi; done; /payload writable";
  for (const char* path : read_only) script += concat(" ", path);
  script += "; mkdir /proc/sys/x 2>/dev/null && echo made; echo end";
  json::value config = make_config(script);
  give_usual_capabilities(config);
  const CommandResult result = run(config);
  EXPECT_EQ(result.out, "end\n") << result.err;
  start_sleeper(config);
  EXPECT_EQ(exec(script).out, "end\n");
  delete_forced();
  // The twin: with empty lists some of them show.
  edit(config, "linux")["maskedPaths"] = json::array();
  edit(config, "linux")["readonlyPaths"] = json::array();
  edit(config, "process")["args"] = json::array{"sh", "-c", script};
  EXPECT_NE(run(config).out, "end\n");
}

/// H4: mounts, limits, umask and sysctls of `mydocker-runtime spec`, exactly (SECURITY 6.3).
TEST_F(RuntimeHardeningTest, DefaultMountsHaveExactlyTheirOptions) {
  const CommandResult result =
      run("cut -d' ' -f5,6,8- /proc/self/mountinfo | sed -e 's/^\\([^ ]* [^ ]*\\) - /\\1 /' -e 's/,inode64//' | "
          "grep -E '^(/proc|/dev|/dev/pts|/dev/shm|/dev/mqueue|/sys) '; "
          "cut -d' ' -f5,6 /proc/self/mountinfo | grep '^/sys/fs/cgroup' | cut -d' ' -f2 | sort -u; "
          "umask; ulimit -Sn; ulimit -Hn; stat -c '%a' /dev /dev/shm /dev/pts/ptmx");
  EXPECT_EQ(result.out,
            "/proc rw,nosuid,nodev,noexec,relatime proc proc rw\n"
            "/dev rw,nosuid tmpfs tmpfs rw,size=65536k,mode=755\n"
            "/dev/pts rw,nosuid,noexec,relatime devpts devpts rw,gid=5,mode=620,ptmxmode=666\n"
            "/dev/shm rw,nosuid,nodev,noexec,relatime tmpfs shm rw,size=65536k\n"
            "/dev/mqueue rw,nosuid,nodev,noexec,relatime mqueue mqueue rw\n"
            "/sys ro,nosuid,nodev,noexec,relatime sysfs sysfs rw\n"
            "ro,nosuid,nodev,noexec,relatime\n0022\n1024\n1024\n755\n1777\n666\n")
      << result.err;
}

/// H1 on the 32-bit ABI: what the table refuses there is refused inside, whatever the machine's own number means.
TEST_F(RuntimeHardeningTest, RefusedSystemCallsOfTheOtherAbiAreRefusedInside) {
  const runtime::CapabilityMask usual = runtime::capability_mask(runtime::make_default_capabilities());
  const runtime::FilterProgram program = runtime::compile_seccomp(runtime::make_default_seccomp(usual));
  const std::uint64_t arguments[6] = {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff};
  json::value config = make_config_for({"/payload", "errnos32"});
  json::array& words = config.at("process").at("args").as_array();
  std::string expected;
  for (std::uint32_t number = 0; number < 1024; ++number) {
    const std::uint32_t action = runtime::run_filter(program, AUDIT_ARCH_I386, number, arguments);
    if ((action & SECCOMP_RET_ACTION_FULL) != SECCOMP_RET_ERRNO) continue;
    words.push_back(json::string(std::to_string(number)));
    expected += concat(number, " ", action & SECCOMP_RET_DATA, "\n");
  }
  ASSERT_GT(words.size(), 500U);
  give_usual_capabilities(config);
  use_default_seccomp(config);
  const CommandResult result = run(config);
  if (result.code == 3) GTEST_SKIP() << "needs a kernel with the 32-bit ABI";
  EXPECT_EQ(result.out, expected);
  config.at("process").at("args") = json::array{"/payload", "errnos32", "20", "64"};  // the twin: getpid, getppid
  EXPECT_EQ(run(config).out, "20 0\n64 0\n");
}

}  // namespace
}  // namespace mydocker::test
