// The whole engine on a host with pure cgroup v2: what the other suites see on this machine's hierarchies, once more
// there.

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class EngineOnV2 : public DaemonTest {
 protected:
  std::string cgroup_of(const std::string& id) {
    const std::string text = read_file(concat("/proc/", pid_of(id), "/cgroup"));
    return concat("/sys/fs/cgroup", text.substr(3, text.find('\n') - 3));
  }
};

TEST_F(EngineOnV2, TheHostIsSeenAsOne) {
  const json::value info = client().get("/info").json();
  EXPECT_EQ(text(at(info, "CgroupVersion")), "2");
  EXPECT_EQ(text(at(info, "CgroupDriver")), "cgroupfs");
}

TEST_F(EngineOnV2, TheMainJobShowsItsLimits) {
  const CommandResult run = mydocker({"run", "--rm", "--network=none", "--cpus=0.5", "--memory=100m", "busybox:bundled",
                                      "sh", "-c", "cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/memory.max"});
  EXPECT_EQ(run.out, "50000 100000\n104857600\n") << run.err;
  EXPECT_EQ(mydocker({"rmi", "busybox:bundled"}).code, 0);
}

TEST_F(EngineOnV2, AnOomKillIsTold) {
  const std::string id = run({.command = {"/payload", "memhog", "200"},
                              .host = {{"NetworkMode", "none"}, {"Memory", 33554432}, {"MemorySwap", 33554432}}});
  EXPECT_EQ(wait(id), 137);
  EXPECT_EQ(at(inspect(id), "State.OOMKilled"), json::value(true));
}

TEST_F(EngineOnV2, ARunningOneIsPausedUpdatedCountedAndEntered) {
  const std::string id = run({.host = {{"NetworkMode", "none"}, {"Memory", 104857600}, {"PidsLimit", 50}}});
  const std::string cgroup = cgroup_of(id);

  EXPECT_EQ(client().post("/containers/" + id + "/pause").status, 204);
  EXPECT_NE(read_file(cgroup + "/cgroup.events").find("frozen 1"), std::string::npos);
  EXPECT_EQ(client().post("/containers/" + id + "/unpause").status, 204);
  EXPECT_NE(read_file(cgroup + "/cgroup.events").find("frozen 0"), std::string::npos);

  EXPECT_EQ(
      client()
          .post("/containers/" + id + "/update", parse_json(R"({"Memory":52428800,"MemorySwap":52428800,"CpuShares":512,
      "CpuPeriod":100000,"CpuQuota":20000,"CpusetCpus":"0"})"))
          .status,
      200);
  EXPECT_EQ(read_file(cgroup + "/memory.max"), "52428800\n");
  EXPECT_EQ(read_file(cgroup + "/memory.swap.max"), "0\n");
  EXPECT_EQ(read_file(cgroup + "/cpu.max"), "20000 100000\n");
  EXPECT_EQ(read_file(cgroup + "/cpu.weight"), "59\n");
  EXPECT_EQ(read_file(cgroup + "/cpuset.cpus"), "0\n");

  const json::value stats = client().get("/containers/" + id + "/stats?stream=false&one-shot=true").json();
  EXPECT_EQ(at(stats, "memory_stats.limit").to_number<std::int64_t>(), 52428800);
  EXPECT_GT(at(stats, "memory_stats.usage").to_number<std::int64_t>(), 0);
  EXPECT_GT(at(stats, "cpu_stats.cpu_usage.total_usage").to_number<std::int64_t>(), 0);
  EXPECT_EQ(at(stats, "pids_stats.limit").to_number<std::int64_t>(), 50);

  const Outcome inside = exec(id, {"sh", "-c", "cat /proc/self/cgroup /sys/fs/cgroup/memory.max"});
  EXPECT_EQ(inside.out, "0::/\n52428800\n") << inside.err;
  EXPECT_EQ(client().post("/containers/" + id + "/kill").status, 204);
  EXPECT_EQ(wait(id), 137);
  EXPECT_TRUE(eventually([&] { return !path_exists(cgroup); }));
}

TEST_F(EngineOnV2, TheDeviceFilterIsABpfProgram) {
  const Outcome outcome = run_to_end(
      {.command = {"sh", "-c", "mknod /tmp/k c 1 2 && echo made; cat /tmp/k; echo x > /dev/null && echo null"}});
  EXPECT_EQ(outcome.out, "made\nnull\n");
  EXPECT_NE(outcome.err.find("Operation not permitted"), std::string::npos) << outcome.err;
}

/// Whether a scheduler of the disk heeds it is not looked at: the guest has none. The file has the number.
TEST_F(EngineOnV2, ABlockIoWeightStandsInTheFile) {
  const Outcome outcome = run_to_end(
      {.command = {"sh", "-c", "cat /sys/fs/cgroup/io.bfq.weight 2>/dev/null || cat /sys/fs/cgroup/io.weight"},
       .host = {{"NetworkMode", "none"}, {"BlkioWeight", 300}}});
  EXPECT_TRUE(outcome.out == "default 300\n" || outcome.out == "default 2930\n") << outcome.out << outcome.err;
}

class OtherRuntimesOnV2 : public EngineOnV2 {
 protected:
  std::vector<std::string> engine_flags() override { return {"--add-runtime=crun=crun", "--add-runtime=old=runc"}; }
};

TEST_F(OtherRuntimesOnV2, CrunAndRuncRunContainersUnderLimits) {
  for (const char* runtime : {"crun", "old"}) {
    const Outcome outcome =
        run_to_end({.command = {"sh", "-c", "cat /sys/fs/cgroup/memory.max; exit 3"},
                    .host = {{"NetworkMode", "none"}, {"Memory", 104857600}, {"Runtime", runtime}}});
    EXPECT_EQ(outcome.out, "104857600\n") << runtime << outcome.err;
    EXPECT_EQ(outcome.code, 3) << runtime;
  }
}

}  // namespace
}  // namespace mydocker::test
