// Containers that another OCI runtime makes: nothing of what clients see may differ.

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class RuntimesTest : public DaemonTest {
 protected:
  void SetUp() override {
    REQUIRE_PROGRAM("crun");
    REQUIRE_PROGRAM("runc");
    DaemonTest::SetUp();
  }
  std::vector<std::string> engine_flags() override {
    return {"--add-runtime=crun=crun", "--add-runtime=old=" + find_program("runc"),
            "--add-runtime=gone=/no/such/program"};
  }
  static json::object with(const char* runtime) { return {{"NetworkMode", "none"}, {"Runtime", runtime}}; }
};

constexpr const char* others[] = {"crun", "old"};

TEST_F(RuntimesTest, InfoNamesThem) {
  const json::value info = client().get("/info").json();
  EXPECT_EQ(text(at(info, "Runtimes.crun.path")), "crun");
  EXPECT_EQ(text(at(info, "Runtimes.old.path")), find_program("runc"));
  EXPECT_TRUE(at(info, "Runtimes.mydocker").is_object());
  EXPECT_EQ(text(at(info, "DefaultRuntime")), "mydocker");
}

TEST_F(RuntimesTest, OutputExitCodeUserAndLimitsAreAsAsked) {
  for (const char* runtime : others) {
    json::object host = with(runtime);
    host["Memory"] = 104857600;
    const Outcome outcome = run_to_end(
        {.command = {"sh", "-c",
                     "echo out; echo err >&2; cat /sys/fs/cgroup/memory.max 2>/dev/null || "
                     "cat /sys/fs/cgroup/memory/memory.limit_in_bytes; hostname; cat /etc/hosts | head -1; exit 9"},
         .extra = {{"Hostname", "named"}},
         .host = host});
    EXPECT_EQ(outcome.out, "out\n104857600\nnamed\n127.0.0.1\tlocalhost\n") << runtime << outcome.err;
    EXPECT_EQ(outcome.err, "err\n") << runtime;
    EXPECT_EQ(outcome.code, 9) << runtime;
  }
}

TEST_F(RuntimesTest, TheBridgeReachesThem) {
  for (const char* runtime : others) {
    const Outcome outcome = run_to_end({.command = {"sh", "-c", "cat /proc/net/dev | grep -c eth0"},
                                        .host = {{"NetworkMode", "bridge"}, {"Runtime", runtime}}});
    EXPECT_EQ(outcome.out, "1\n") << runtime << outcome.err;
  }
}

TEST_F(RuntimesTest, ExecStatsTopPauseAndStopWork) {
  for (const char* runtime : others) {
    const std::string id = run({.host = with(runtime)});
    const Outcome inside = exec(id, {"sh", "-c", "echo in; exit 4"});
    EXPECT_EQ(inside.out, "in\n") << runtime << inside.err;
    EXPECT_EQ(inside.code, 4) << runtime;
    EXPECT_EQ(at(client().get("/containers/" + id + "/stats?stream=0&one-shot=1").json(), "pids_stats.current")
                  .to_number<int>(),
              1)
        << runtime;
    EXPECT_EQ(client().get("/containers/" + id + "/top").status, 200);
    EXPECT_EQ(client().post("/containers/" + id + "/pause").status, 204);
    EXPECT_EQ(text(at(inspect(id), "State.Status")), "paused");
    EXPECT_EQ(client().post("/containers/" + id + "/unpause").status, 204);
    EXPECT_EQ(client().post("/containers/" + id + "/stop?t=1").status, 204);
    EXPECT_EQ(text(at(inspect(id), "State.Status")), "exited");
    EXPECT_EQ(text(at(inspect(id), "HostConfig.Runtime")), runtime);
  }
}

/// Whoever makes the directories above a container's cgroup: they go with the last container below them.
TEST_F(RuntimesTest, ParentsOfACgroupGoWithTheLastContainer) {
  for (const char* runtime : others) {
    const std::string top = "/mydocker-runtimes-" + random_hex(4);
    const auto find = [](const std::string& path) {
      return run_command({"sh", "-c", concat("ls -d /sys/fs/cgroup/*", path, " /sys/fs/cgroup", path, " 2>/dev/null")})
          .out;
    };
    const auto below = [&](const std::string& parent) {
      json::object host = with(runtime);
      host["CgroupParent"] = parent;
      return run({.host = host});
    };
    const std::string id = below(top + "/a/b");
    const std::string other = below(top);
    const std::string seen = read_file("/proc/" + std::to_string(pid_of(id)) + "/cgroup");
    EXPECT_NE(seen.find(top + "/a/b/" + id), std::string::npos) << runtime << seen;
    remove(id);
    EXPECT_TRUE(eventually([&] { return find(top + "/a").empty(); })) << runtime << find(top + "/a");
    EXPECT_NE(find(top), "") << runtime;
    remove(other);
    EXPECT_TRUE(eventually([&] { return find(top).empty(); })) << runtime << find(top);
    // One that never ran leaves as little.
    json::object host = with(runtime);
    host["CgroupParent"] = top + "/c";
    const std::string absent = create({.command = {"/absent"}, .host = host});
    EXPECT_EQ(client().post("/containers/" + absent + "/start").status, 400) << runtime;
    EXPECT_TRUE(eventually([&] { return find(top).empty(); })) << runtime << find(top);
  }
}

TEST_F(RuntimesTest, ATerminalIsOneAndCanBeResized) {
  const std::vector<std::string> environment = client_environment();
  for (const char* runtime : others) {
    RunningCommand command({program("mydocker"), "run", "-it", "--rm", "--runtime", runtime, "payload", "sh"},
                           {.environment = environment, .terminal = true});
    command.write("tty; /payload winsize; exit 5\r");
    EXPECT_TRUE(command.read_until("/dev/pts/0")) << runtime << command.out();
    EXPECT_TRUE(command.read_until("24 80")) << runtime << command.out();
    EXPECT_EQ(command.wait().code, 5) << runtime;
  }
}

TEST_F(RuntimesTest, AnOomKillIsTold) {
  for (const char* runtime : others) {
    json::object host = with(runtime);
    host["Memory"] = host["MemorySwap"] = 33554432;
    const std::string id = run({.command = {"/payload", "memhog", "200"}, .host = host});
    EXPECT_EQ(wait(id), 137) << runtime;
    EXPECT_EQ(at(inspect(id), "State.OOMKilled"), json::value(true)) << runtime;
  }
}

TEST_F(RuntimesTest, TheySurviveTheEnginesDeath) {
  REQUIRE_USER_NAMESPACES();  // of a chroot, too: there `crun exec` enters the machine's root instead of the
                              // container's
  for (const char* runtime : others) {
    const std::string id =
        run({.command = {"sh", "-c", "echo before; while [ ! -e /go ]; do sleep 0.1; done; echo after"},
             .host = with(runtime)});
    engine().restart();
    EXPECT_EQ(text(at(inspect(id), "State.Status")), "running") << runtime;
    EXPECT_EQ(exec(id, {"sh", "-c", "echo > /go"}).code, 0) << runtime;
    EXPECT_EQ(wait(id), 0) << runtime;
    EXPECT_EQ(logs(id).out, "before\nafter\n") << runtime;
    remove(id);
  }
  take_snapshot();  // another engine, other descriptors
}

TEST_F(RuntimesTest, AMissingProgramIs127AndAMissingRuntimeIsNamed) {
  for (const char* runtime : others) {
    const std::string id = create({.command = {"/no/such/program"}, .host = with(runtime)});
    EXPECT_EQ(client().post("/containers/" + id + "/start").status, 400) << runtime;
    EXPECT_EQ(at(inspect(id), "State.ExitCode").to_number<int>(), 127) << runtime;
  }
  const std::string gone = create({.host = with("gone")});
  EXPECT_NE(client().post("/containers/" + gone + "/start").message().find("/no/such/program"), std::string::npos);
  const Response unknown =
      client().post("/containers/create", parse_json(R"({"Image":"payload","HostConfig":{"Runtime":"nope"}})"));
  EXPECT_EQ(unknown.status, 400);
  EXPECT_EQ(unknown.message(), "unknown or invalid runtime name: nope");
}

class DefaultRuntimeTest : public DaemonTest {
 protected:
  void SetUp() override {
    REQUIRE_PROGRAM("crun");
    DaemonTest::SetUp();
  }
  std::vector<std::string> engine_flags() override { return {"--add-runtime=crun=crun", "--default-runtime=crun"}; }
};

TEST_F(DefaultRuntimeTest, IsTakenWhenNoneIsAskedFor) {
  const std::string id = run();
  EXPECT_EQ(text(at(inspect(id), "HostConfig.Runtime")), "crun");
  EXPECT_EQ(text(at(client().get("/info").json(), "DefaultRuntime")), "crun");
  EXPECT_EQ(exec(id, {"true"}).code, 0);
}

}  // namespace
}  // namespace mydocker::test
