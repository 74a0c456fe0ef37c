#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/sys.h"
#include "tests/integration/runtime_fixture.h"

/// The `process` object of config.json, seen from inside (OCI config.md "Process"), and of exec.
namespace mydocker::test {
namespace {

TEST_F(RuntimeTest, UserGroupsAndUmaskAreAsAsked) {
  json::value config = make_config("id -u; id -g; id -G; touch /tmp/made; stat -c %a /tmp/made");
  ASSERT_EQ(::chmod((rootfs() + "/tmp").c_str(), 0777), 0);
  edit(config, "process")["user"] =
      json::object{{"uid", 1000}, {"gid", 1001}, {"umask", 077}, {"additionalGids", json::array{5, 8}}};
  EXPECT_EQ(run(config).out, "1000\n1001\n1001 5 8\n600\n");
}

TEST_F(RuntimeTest, EachOfTheFiveCapabilitySetsIsExact) {
  json::value config = make_config_for({"grep", "^Cap", "/proc/self/status"});
  edit(config, "process")["capabilities"] =
      json::object{{"bounding", json::array{"CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"}},
                   {"permitted", json::array{"CAP_CHOWN", "CAP_KILL"}},
                   {"effective", json::array{"CAP_CHOWN"}},
                   {"inheritable", json::array{"CAP_KILL"}},
                   {"ambient", json::array{"CAP_KILL"}}};
  edit(config, "process")["user"] = json::object{{"uid", 1000}, {"gid", 1000}};
  // After the execve of an ordinary user only what is ambient is permitted and effective (man 7 capabilities).
  EXPECT_EQ(run(config).out,
            "CapInh:\t0000000000000020\nCapPrm:\t0000000000000020\nCapEff:\t0000000000000020\n"
            "CapBnd:\t0000000000002021\nCapAmb:\t0000000000000020\n");
  edit(config, "process")["user"] = json::object{{"uid", 0}, {"gid", 0}};
  edit(config, "process", "capabilities")["ambient"] = json::array();
  edit(config, "process", "capabilities")["inheritable"] = json::array();
  EXPECT_NE(run(config).out.find("CapBnd:\t0000000000002021\nCapAmb:\t0000000000000000\n"), std::string::npos);
  edit(config, "process", "capabilities")["bounding"] = json::array{"CAP_NO_SUCH"};
  expect_refused(run(config), "unknown capability \"CAP_NO_SUCH\"");
}

TEST_F(RuntimeTest, NoNewPrivilegesIsSetOrNot) {
  json::value config = make_config_for({"grep", "NoNewPrivs", "/proc/self/status"});
  edit(config, "process")["noNewPrivileges"] = true;
  EXPECT_EQ(run(config).out, "NoNewPrivs:\t1\n");
  edit(config, "process")["noNewPrivileges"] = false;
  EXPECT_EQ(run(config).out, "NoNewPrivs:\t0\n");
}

TEST_F(RuntimeTest, RlimitsAreSetAndUnknownOnesRefused) {
  json::value config = make_config("ulimit -Sn; ulimit -Hn; ulimit -c");
  edit(config, "process")["rlimits"] =
      json::array{json::object{{"type", "RLIMIT_NOFILE"}, {"soft", 100}, {"hard", 200}},
                  json::object{{"type", "RLIMIT_CORE"}, {"soft", 0}, {"hard", 0}}};
  EXPECT_EQ(run(config).out, "100\n200\n0\n");
  edit(config, "process")["rlimits"] = json::array{json::object{{"type", "RLIMIT_X"}, {"soft", 1}, {"hard", 2}}};
  expect_refused(run(config), "RLIMIT_X");
}

TEST_F(RuntimeTest, OomScoreAdjIsWritten) {
  json::value config = make_config("cat /proc/self/oom_score_adj");
  edit(config, "process")["oomScoreAdj"] = 321;
  EXPECT_EQ(run(config).out, "321\n");
}

/// Of this process, which the containers inherit: the tests may run under nice(1).
std::string own_nice() { return std::to_string(::getpriority(PRIO_PROCESS, 0)); }

TEST_F(RuntimeTest, TheSchedulerIsSet) {
  json::value config = make_config_for({"/payload", "scheduler"});
  edit(config, "process")["scheduler"] = json::object{{"policy", "SCHED_BATCH"}, {"nice", 5}};
  EXPECT_EQ(run(config).out, "policy 3 nice 5 priority 0 reset 0 affinity all io 0\n");
  edit(config, "process")["scheduler"] =
      json::object{{"policy", "SCHED_IDLE"}, {"flags", json::array{"SCHED_FLAG_RESET_ON_FORK"}}};
  EXPECT_EQ(run(config).out, concat("policy 5 nice ", own_nice(), " priority 0 reset 1 affinity all io 0\n"));
  edit(config, "process")["scheduler"] = json::object{{"policy", "SCHED_NEVER"}};
  expect_refused(run(config), "process.scheduler");
  edit(config, "process")["scheduler"] = json::object{{"policy", "SCHED_OTHER"}, {"nice", 20}};
  expect_refused(run(config), "process.scheduler.nice");
  edit(config, "process")["scheduler"] = json::object{{"policy", "SCHED_OTHER"}, {"flags", json::array{"SCHED_X"}}};
  expect_refused(run(config), "SCHED_X");
  // A real-time policy in a cgroup without real-time budget, or a deadline of nothing: the kernel's word counts.
  edit(config, "process")["scheduler"] = json::object{{"policy", "SCHED_DEADLINE"}};
  expect_refused(run(config), "set the scheduler");
}

TEST_F(RuntimeTest, TheIoPriorityIsSet) {
  json::value config = make_config_for({"/payload", "scheduler"});
  edit(config, "process")["ioPriority"] = json::object{{"class", "IOPRIO_CLASS_BE"}, {"priority", 6}};
  EXPECT_EQ(run(config).out, concat("policy 0 nice ", own_nice(), " priority 0 reset 0 affinity all io 16390\n"));
  edit(config, "process")["ioPriority"] = json::object{{"class", "IOPRIO_CLASS_IDLE"}, {"priority", 0}};
  EXPECT_EQ(run(config).out, concat("policy 0 nice ", own_nice(), " priority 0 reset 0 affinity all io 24576\n"));
  edit(config, "process")["ioPriority"] = json::object{{"class", "IOPRIO_CLASS_BE"}, {"priority", 8}};
  expect_refused(run(config), "process.ioPriority.priority");
  edit(config, "process")["ioPriority"] = json::object{{"class", "IOPRIO_CLASS_X"}, {"priority", 1}};
  expect_refused(run(config), "process.ioPriority.class");
}

TEST_F(RuntimeTest, ExecCpuAffinityIsOfTheExecOnly) {
  if (::sysconf(_SC_NPROCESSORS_ONLN) < 2) GTEST_SKIP() << "needs two CPUs";
  json::value config = make_config("echo ready; sleep 1000");
  edit(config, "process")["execCPUAffinity"] = json::object{{"initial", "0"}, {"final", "1"}};
  start(config);
  EXPECT_EQ(exec("taskset -p $$ | cut -d: -f2").out, " 2\n");
  // The container's own process is not touched, nor is an exec whose process says otherwise.
  const std::string mask = run_command({"taskset", "-p", std::to_string(::getpid())}).out;
  EXPECT_EQ(exec("taskset -p 1 | cut -d: -f2").out, mask.substr(mask.rfind(": ") + 1));
  const std::string process = write_file(
      "process.json",
      R"({"args": ["/payload", "scheduler"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "execCPUAffinity": {"final": "0"}})");
  EXPECT_EQ(runtime({"exec", "--process", process, "one"}).out,
            concat("policy 0 nice ", own_nice(), " priority 0 reset 0 affinity 0 io 0\n"));
  const std::string bad =
      write_file("bad.json",
                 R"({"args": ["true"], "cwd": "/", "user": {"uid": 0, "gid": 0}, "execCPUAffinity": {"final": "0-"}})");
  const CommandResult refused = runtime({"exec", "--process", bad, "one"});
  EXPECT_EQ(refused.code, 255);
  EXPECT_NE(refused.err.find("bad CPU list \"0-\""), std::string::npos) << refused.err;
  delete_forced();
}

TEST_F(RuntimeTest, PersonalityLinux32ChangesTheMachineName) {
  json::value config = make_config("uname -m");
  edit(config, "linux")["personality"] = json::object{{"domain", "LINUX32"}};
  EXPECT_EQ(run(config).out, "i686\n");
  edit(config, "linux")["personality"] = json::object{{"domain", "LINUX"}};
  EXPECT_EQ(run(config).out, "x86_64\n");
  edit(config, "linux")["personality"] = json::object{{"domain", "BSD"}};
  expect_refused(run(config), "linux.personality.domain");
  edit(config, "linux")["personality"] = json::object{{"domain", "LINUX"}, {"flags", json::array{"ADDR_NO_RANDOMIZE"}}};
  expect_refused(run(config), "linux.personality.flags");
  edit(config, "linux")["personality"] = json::object{{"domain", "LINUX32"}};
  edit(config, "process")["args"] = json::array{"sleep", "1000"};
  start(config);
  EXPECT_EQ(exec("uname -m").out, "i686\n");
  delete_forced();
}

TEST_F(RuntimeTest, TheMemoryPolicyIsSet) {
  if (!path_exists("/proc/self/numa_maps")) GTEST_SKIP() << "needs a kernel with memory policies";
  const std::string script = "head -n 1 /proc/self/numa_maps | cut -d ' ' -f 2";
  const auto policy = [&](const json::object& value) {
    json::value config = make_config(script);
    edit(config, "linux")["memoryPolicy"] = value;
    return config;
  };
  EXPECT_EQ(run(make_config(script)).out, "default\n");
  EXPECT_EQ(run(policy({{"mode", "MPOL_INTERLEAVE"}, {"nodes", "0"}})).out, "interleave:0\n");
  EXPECT_EQ(run(policy({{"mode", "MPOL_BIND"}, {"nodes", "0"}, {"flags", json::array{"MPOL_F_STATIC_NODES"}}})).out,
            "bind=static:0\n");
  EXPECT_EQ(run(policy({{"mode", "MPOL_LOCAL"}})).out, "local\n");
  expect_refused(run(policy({{"mode", "MPOL_BEST"}})), "linux.memoryPolicy.mode has the unknown word \"MPOL_BEST\"");
  expect_refused(run(policy({{"mode", "MPOL_BIND"}, {"flags", json::array{"X"}}})), "linux.memoryPolicy.flags");
  expect_refused(run(policy({{"mode", "MPOL_BIND"}, {"nodes", "0-x"}})), "bad linux.memoryPolicy.nodes list");
  expect_refused(run(policy({{"mode", "MPOL_BIND"}})), "linux.memoryPolicy: the kernel refuses MPOL_BIND");
  json::value config = policy({{"mode", "MPOL_BIND"}, {"nodes", "0"}});
  edit(config, "process")["args"] = json::array{"sleep", "1000"};
  start(config);
  EXPECT_EQ(exec(script).out, "bind:0\n");
  delete_forced();
}

TEST_F(RuntimeTest, TimeOffsetsMoveTheClocks) {
  json::value config = make_config("read up rest < /proc/uptime; [ ${up%.*} -gt 100000000 ] && echo moved");
  add_namespace(config, "time");
  EXPECT_EQ(run(config).out, "");
  edit(config, "linux")["timeOffsets"] = json::object{{"boottime", json::object{{"secs", 100000000}}},
                                                      {"monotonic", json::object{{"secs", -1}, {"nanosecs", 5}}}};
  EXPECT_EQ(run(config).out, "moved\n");
  edit(config, "linux")["timeOffsets"] = json::object{{"realtime", json::object{{"secs", 1}}}};
  expect_refused(run(config), "linux.timeOffsets");
  edit(config, "linux")["timeOffsets"] = json::object{{"boottime", json::object{{"secs", 1}}}};
  remove_namespace(config, "time");
  expect_refused(run(config), "linux.timeOffsets without a time namespace");
}

TEST_F(RuntimeTest, ATerminalHasTheSizeOfTheConfig) {
  json::value config = make_config("stty size; tty");
  edit(config, "process")["terminal"] = true;
  edit(config, "process")["consoleSize"] = json::object{{"height", 31}, {"width", 101}};
  const UniqueFd listener = listen_unix(root() + "/console", SOCK_STREAM);
  write_config(config);
  ASSERT_EQ(runtime({"create", "--bundle", bundle(), "--console-socket", root() + "/console", "one"}).code, 0);
  const UniqueFd connection(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  std::optional<Packet> packet = receive_packet(connection.get());
  ASSERT_TRUE(packet && packet->fds.size() == 1);
  ASSERT_EQ(runtime({"start", "one"}).code, 0);
  std::string out;
  char buffer[256];
  for (ssize_t got = 0; (got = ::read(packet->fds[0].get(), buffer, sizeof buffer)) > 0;) {
    out.append(buffer, static_cast<std::size_t>(got));
  }
  EXPECT_EQ(out, "31 101\r\n/dev/pts/0\r\n");
  delete_forced();
}

TEST_F(RuntimeTest, TheEnvironmentAndHomeAreComplete) {
  json::value config = make_config_for({"/bin/env"});
  edit(config, "process")["env"] = json::array{"A=1", "B=two words", "A=2"};
  EXPECT_EQ(run(config).out, "A=1\nB=two words\nA=2\nHOME=/root\n");
  edit(config, "process")["user"] = json::object{{"uid", 1000}, {"gid", 1001}};
  edit(config, "process")["env"] = json::array();
  EXPECT_EQ(run(config).out, "HOME=/home/user\n");
}

TEST_F(RuntimeTest, TheKernelHasNoSuchSecurityModule) {
  json::value config = make_config("true");
  if (!path_exists("/sys/module/apparmor/parameters/enabled")) {
    edit(config, "process")["apparmorProfile"] = "docker-default";
    expect_refused(run(config), "AppArmor profile \"docker-default\" cannot be applied: this kernel runs no AppArmor");
    edit(config, "process")["apparmorProfile"] = "unconfined";  // nothing is asked for
    EXPECT_EQ(run(config).code, 0);
    edit(config, "process").erase("apparmorProfile");
  }
  if (!path_exists("/sys/fs/selinux/enforce")) {
    edit(config, "process")["selinuxLabel"] = "system_u:system_r:container_t:s0";
    expect_refused(run(config),
                   "SELinux label \"system_u:system_r:container_t:s0\" cannot be applied: this kernel runs no SELinux");
    edit(config, "process").erase("selinuxLabel");
    edit(config, "linux")["mountLabel"] = "system_u:object_r:container_file_t:s0";
    expect_refused(run(config),
                   "SELinux mount label \"system_u:object_r:container_file_t:s0\" cannot be applied: this "
                   "kernel runs no SELinux");
    edit(config, "linux")["mountLabel"] = "";  // no label
    EXPECT_EQ(run(config).code, 0);
  }
}

TEST_F(RuntimeTest, AnAppArmorProfileConfinesContainerAndExec) {
  if (!path_exists("/sys/kernel/security/apparmor")) GTEST_SKIP() << "needs AppArmor";
  REQUIRE_PROGRAM("apparmor_parser");
  const std::string profile = write_file("profile",
                                         "profile mydocker-test flags=(attach_disconnected,mediate_deleted) {\n"
                                         "  file,\n  capability,\n  signal,\n  deny /forbidden w,\n}\n");
  ASSERT_EQ(run_command({"apparmor_parser", "--replace", "--skip-cache", profile}).code, 0);
  const std::string script = "cat /proc/self/attr/current; (echo x > /forbidden) 2>/dev/null && echo written; true";
  json::value config = make_config(script);
  EXPECT_EQ(run(config).out, "unconfined\nwritten\n");
  edit(config, "process")["apparmorProfile"] = "mydocker-test";
  EXPECT_EQ(run(config).out, "mydocker-test (enforce)\n");
  edit(config, "process")["apparmorProfile"] = "unconfined";
  EXPECT_EQ(run(config).out, "unconfined\nwritten\n");
  edit(config, "process")["apparmorProfile"] = "no-such-profile";
  expect_refused(run(config), "AppArmor profile \"no-such-profile\" cannot be applied");
  start(make_config("sleep 1000"));
  EXPECT_EQ(exec(script, {"--apparmor", "mydocker-test"}).out, "mydocker-test (enforce)\n");
  delete_forced();
  EXPECT_EQ(run_command({"apparmor_parser", "--remove", profile}).code, 0);
}

/// The rules of a v1 device list go in one by one, the first refusing all: no process may be in while that lasts.
TEST_F(RuntimeTest, DeviceRulesStandBeforeTheFirstProcess) {
  write_config(make_config("echo there > /dev/null && echo done"));
  CommandOptions slowly;
  slowly.environment = {"MYDOCKER_FAILPOINTS=cgroup.device=delay:50"};
  const CommandResult result = runtime({"run", "--bundle", bundle(), "one"}, slowly);
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "done\n");
}

}  // namespace
}  // namespace mydocker::test
