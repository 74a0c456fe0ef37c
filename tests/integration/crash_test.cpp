// SIGKILL of the engine is a normal day: containers run on, and the next engine takes them over.

#include <csignal>
#include <map>
#include <sstream>

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class CrashTest : public DaemonTest {
 protected:
  /// Numbers 1, 2, 3, ... without a gap; gives the last.
  static long check_sequence(const std::string& text) {
    std::istringstream lines(text);
    long expected = 0;
    for (std::string line; std::getline(lines, line);) {
      ++expected;
      if (line != std::to_string(expected)) {
        ADD_FAILURE() << "expected " << expected << ", got " << line;
        return -1;
      }
    }
    return expected;
  }
};

TEST_F(CrashTest, TenContainersSurviveWithTheirPidsAndNoLineIsLost) {
  std::map<std::string, pid_t> pids;
  for (int i = 0; i < 9; ++i) {
    const std::string id =
        run({.name = concat("survivor", i), .host = {{"NetworkMode", i % 2 == 0 ? "bridge" : "none"}}});
    pids[id] = pid_of(id);
  }
  const std::string writer = run({.command = {"/payload", "seq", "500"}, .name = "writer"});
  pids[writer] = pid_of(writer);
  ASSERT_TRUE(eventually([&] { return logs(writer).out.size() > 100; }));

  for (int round = 0; round < 3; ++round) {
    engine().kill();
    for (const auto& [id, pid] : pids) EXPECT_EQ(::kill(pid, 0), 0) << id;
    engine().start();
    for (const auto& [id, pid] : pids) {
      const json::value state = at(inspect(id), "State");
      EXPECT_EQ(text(at(state, "Status")), "running");
      EXPECT_EQ(at(state, "Pid").to_number<pid_t>(), pid);
    }
  }

  HttpStream follower = client().open("GET", "/containers/writer/logs?stdout=1&follow=1");
  const long so_far = check_sequence(logs(writer).out);
  std::string frames;
  while (demultiplex(frames).out.find(concat("\n", so_far + 50, "\n")) == std::string::npos) {
    const std::string part = follower.read_some();
    ASSERT_FALSE(part.empty());
    frames += part;
    // Only whole frames can be taken apart.
    try {
      demultiplex(frames);
    } catch (const Error&) {
      frames += follower.read_some();
    }
  }
  EXPECT_GT(so_far, 100);

  EXPECT_EQ(client().post("/containers/writer/stop?t=1").status, 204);
  EXPECT_GT(check_sequence(logs(writer).out), so_far);
  EXPECT_EQ(client().post("/containers/survivor0/stop?t=10").status, 204);
  EXPECT_EQ(at(inspect("survivor0"), "State.ExitCode").to_number<int>(), 0);
  EXPECT_EQ(exec("survivor1", {"/payload", "echo", "alive"}).out, "alive\n");
}

TEST_F(CrashTest, AnExitWhileTheEngineIsDeadIsNotLost) {
  const std::string id = run({.command = {"/payload", "trap"}});
  wait_ready(id);
  const pid_t pid = pid_of(id);
  const UniqueFd handle = open_pidfd(pid);
  engine().kill();
  EXPECT_TRUE(signal_pidfd(handle.get(), SIGUSR2));
  EXPECT_TRUE(wait_readable(handle.get(), 10'000));
  engine().start();
  EXPECT_TRUE(eventually([&] { return text(at(inspect(id), "State.Status")) == "exited"; }));
  EXPECT_EQ(at(inspect(id), "State.ExitCode").to_number<int>(), 42);
}

TEST_F(CrashTest, PublishedPortsStayOpenWithoutAnEngine) {
  const std::string id =
      run({.command = {"/payload", "listen", "80", "still here"},
           .host = {{"NetworkMode", "bridge"},
                    {"PortBindings", json::object{{"80/tcp", json::array{json::object{{"HostPort", "18099"}}}}}}}});
  wait_ready(id);
  engine().kill();
  const CommandResult answer = run_command({payload_program(), "connect", "127.0.0.1", "18099"});
  EXPECT_NE(answer.out.find("still here"), std::string::npos) << answer.err;
  engine().start();
  EXPECT_NE(run_command({payload_program(), "connect", "127.0.0.1", "18099"}).out.find("still here"),
            std::string::npos);
}

TEST_F(CrashTest, ImagesAndStoppedContainersAreStillThere) {
  const std::string id = create({.name = "kept", .extra = {{"Labels", json::object{{"a", "b"}}}}});
  const std::string before = write_json(at(inspect(id), "Config"));
  engine().restart();
  EXPECT_EQ(write_json(at(inspect("kept"), "Config")), before);
  EXPECT_EQ(client().get("/images/payload/json").status, 200);
  start(id);
  EXPECT_EQ(text(at(inspect(id), "State.Status")), "running");
}

TEST_F(CrashTest, AutoRemoveIsDoneByTheNextEngine) {
  const std::string id =
      run({.command = {"/payload", "trap"}, .host = {{"NetworkMode", "none"}, {"AutoRemove", true}}});
  wait_ready(id);
  const UniqueFd handle = open_pidfd(pid_of(id));
  engine().kill();
  EXPECT_TRUE(signal_pidfd(handle.get(), SIGUSR2));
  EXPECT_TRUE(wait_readable(handle.get(), 10'000));
  engine().start();
  EXPECT_TRUE(eventually([&] { return client().get("/containers/" + id + "/json").status == 404; }));
}

TEST_F(CrashTest, AnAttachedClientKeepsItsStream) {
  const std::string id = create({.command = {"/payload", "seq", "1000"}});
  HttpStream stream = client().hijack("/containers/" + id + "/attach?stream=1&stdout=1");
  start(id);
  stream.read_until("10\n");
  engine().kill();
  // The session belongs to the shim: bytes go on although no engine is there.
  std::string more;
  while (more.size() < 2000) {
    const std::string part = stream.read_some();
    ASSERT_FALSE(part.empty());
    more += part;
  }
  engine().start();
}

}  // namespace
}  // namespace mydocker::test
