// The systemd cgroup driver: containers are transient scopes, with the engine and with the runtime alone.

#include <unistd.h>

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

/// A property of a unit as systemd tells it.
std::string property(const std::string& unit, const std::string& name) {
  const CommandResult show = run_command({"systemctl", "show", unit, "--value", "-p", name});
  return show.out.substr(0, show.out.find('\n'));
}

bool exists(const std::string& unit) { return property(unit, "LoadState") == "loaded"; }

class SystemdDriver : public DaemonTest {
 protected:
  std::vector<std::string> engine_flags() override {
    return {"--exec-opt=native.cgroupdriver=systemd", "--cgroup-parent=system.slice", "--add-runtime=crun=crun",
            "--add-runtime=old=runc"};
  }
};

TEST_F(SystemdDriver, AContainerIsAScopeWithItsLimits) {
  EXPECT_EQ(text(at(client().get("/info").json(), "CgroupDriver")), "systemd");
  const std::string id = run({.host = {{"NetworkMode", "none"},
                                       {"Memory", 104857600},
                                       {"MemoryReservation", 52428800},
                                       {"NanoCpus", 500000000},
                                       {"CpusetCpus", "0"},
                                       {"PidsLimit", 64}}});
  const std::string unit = concat("mydocker-", id, ".scope");
  const std::string directory = "/sys/fs/cgroup/system.slice/" + unit;
  EXPECT_EQ(property(unit, "ActiveState"), "active");
  EXPECT_EQ(property(unit, "Delegate"), "yes");
  EXPECT_EQ(property(unit, "MemoryMax"), "104857600");
  EXPECT_EQ(property(unit, "MemoryLow"), "52428800");
  EXPECT_EQ(property(unit, "CPUQuotaPerSecUSec"), "500ms");
  EXPECT_EQ(property(unit, "AllowedCPUs"), "0");
  EXPECT_EQ(property(unit, "TasksMax"), "64");
  EXPECT_EQ(property(unit, "DevicePolicy"), "strict");
  // The placeholder that opened the scope is gone.
  EXPECT_EQ(read_file(directory + "/cgroup.procs"), concat(pid_of(id), "\n"));

  EXPECT_EQ(
      client().post("/containers/" + id + "/update", parse_json(R"({"Memory":52428800,"MemorySwap":52428800})")).status,
      200);
  EXPECT_EQ(property(unit, "MemoryMax"), "52428800");
  EXPECT_EQ(read_file(directory + "/memory.max"), "52428800\n");
  // systemd writes what it knows once more, and nothing changes.
  EXPECT_EQ(run_command({"systemctl", "daemon-reload"}).code, 0);
  EXPECT_EQ(read_file(directory + "/memory.max"), "52428800\n");
  EXPECT_EQ(read_file(directory + "/cpu.max"), "50000 100000\n");

  EXPECT_EQ(exec(id, {"cat", "/proc/self/cgroup"}).out, "0::/\n");
  EXPECT_EQ(client().post("/containers/" + id + "/pause").status, 204);
  EXPECT_NE(read_file(directory + "/cgroup.events").find("frozen 1"), std::string::npos);
  EXPECT_EQ(client().post("/containers/" + id + "/unpause").status, 204);
  EXPECT_EQ(client().post("/containers/" + id + "/kill").status, 204);
  EXPECT_EQ(wait(id), 137);
  EXPECT_TRUE(eventually([&] { return !exists(unit) && !path_exists(directory); }));
}

// systemd takes the empty scope, and with it the counter, as soon as it can: more than once, since it may be late.
TEST_F(SystemdDriver, AnOomKillIsToldAndTheScopeGoes) {
  for (int round = 0; round < 5; ++round) {
    const std::string id = run({.command = {"/payload", "memhog", "200"},
                                .host = {{"NetworkMode", "none"}, {"Memory", 33554432}, {"MemorySwap", 33554432}}});
    EXPECT_EQ(wait(id), 137);
    EXPECT_EQ(at(inspect(id), "State.OOMKilled"), json::value(true)) << round;
    EXPECT_TRUE(eventually([&] { return !exists(concat("mydocker-", id, ".scope")); }));
  }
}

TEST_F(SystemdDriver, AKillWithoutAnOomIsNotCalledOne) {
  const std::string id = run({.host = {{"NetworkMode", "none"}, {"Memory", 33554432}, {"MemorySwap", 33554432}}});
  EXPECT_EQ(client().post("/containers/" + id + "/kill").status, 204);
  EXPECT_EQ(wait(id), 137);
  EXPECT_EQ(at(inspect(id), "State.OOMKilled"), json::value(false));
}

TEST_F(SystemdDriver, TheParentIsASlice) {
  const std::string id = run({.host = {{"NetworkMode", "none"}, {"CgroupParent", "guest-tests.slice"}}});
  EXPECT_TRUE(path_exists(concat("/sys/fs/cgroup/guest.slice/guest-tests.slice/mydocker-", id, ".scope")));
  const Response refused = client().post(
      "/containers/create", parse_json(R"({"Image":"payload","HostConfig":{"CgroupParent":"/not/a/slice"}})"));
  EXPECT_EQ(refused.status, 400);
  EXPECT_NE(refused.message().find("valid slice"), std::string::npos);
}

TEST_F(SystemdDriver, AFailedStartLeavesNoScope) {
  const std::string id = create({.command = {"/no/such/program"}});
  EXPECT_GE(client().post("/containers/" + id + "/start").status, 400);
  EXPECT_FALSE(exists(concat("mydocker-", id, ".scope")));
}

TEST_F(SystemdDriver, OtherRuntimesUseItToo) {
  for (const char* runtime : {"crun", "old"}) {
    const std::string id = run({.host = {{"NetworkMode", "none"}, {"Memory", 104857600}, {"Runtime", runtime}}});
    const std::string unit = concat("mydocker-", id, ".scope");
    // crun writes the file and leaves the unit's property alone.
    const std::string line = read_file(concat("/proc/", pid_of(id), "/cgroup"));
    EXPECT_NE(line.find(unit), std::string::npos) << runtime << ": " << line;
    EXPECT_EQ(read_file(concat("/sys/fs/cgroup", line.substr(3, line.find('\n') - 3), "/memory.max")), "104857600\n")
        << runtime;
    EXPECT_EQ(client().post("/containers/" + id + "/kill").status, 204);
    EXPECT_EQ(wait(id), 137);
    EXPECT_TRUE(eventually([&] { return !exists(unit); })) << runtime;
  }
}

}  // namespace
}  // namespace mydocker::test
