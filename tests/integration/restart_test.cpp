// Restart policies: when a container comes back, how soon, and what an engine or a reboot changes about it.

#include <csignal>
#include <filesystem>

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class RestartTest : public DaemonTest {
 protected:
  static json::object policy(const std::string& name, std::int64_t retries = 0) {
    return {{"RestartPolicy", json::object{{"Name", name}, {"MaximumRetryCount", retries}}}};
  }
  std::string status(const std::string& id) { return text(at(inspect(id), "State.Status")); }
  bool becomes(const std::string& id, const std::string& wanted) {
    return eventually([&] { return status(id) == wanted; });
  }
  bool has_another_pid(const std::string& id, pid_t first) {
    const pid_t pid = pid_of(id);
    return pid != 0 && pid != first;
  }
  std::int64_t restarts(const std::string& id) { return at(inspect(id), "RestartCount").to_number<std::int64_t>(); }

  /// The engine, every shim and so every container end, and what lay on a tmpfs is gone.
  void reboot(const std::vector<std::string>& ids) {
    std::vector<UniqueFd> handles;
    for (const std::string& id : ids) {
      const pid_t pid = pid_of(id);
      if (pid == 0) continue;
      handles.push_back(open_pidfd(pid));
      handles.push_back(open_pidfd(parent_of(pid)));
    }
    engine().kill();
    for (const UniqueFd& handle : handles) signal_pidfd(handle.get(), SIGKILL);
    for (const UniqueFd& handle : handles) wait_readable(handle.get(), 10'000);
    for (const char* directory : {"/shims", "/netns"}) {
      for (const auto& entry : std::filesystem::directory_iterator(engine().exec_root() + directory)) {
        std::filesystem::remove_all(entry.path());
      }
    }
    engine().start();
  }

 private:
  static pid_t parent_of(pid_t pid) {
    const std::string stat = read_file(concat("/proc/", pid, "/stat"));
    return std::stoi(stat.substr(stat.rfind(')') + 4));
  }
};

TEST_F(RestartTest, OnFailureEndsAfterItsRetries) {
  HttpStream events = client().open("GET", "/events?filters=" + url_encode(R"({"type":["container"]})"));
  const std::string id = run({.command = {"/payload", "exit", "3"}, .host = policy("on-failure", 3)});
  std::string actions;
  for (int dies = 0; dies < 4;) {
    const std::string action = text(at(parse_json(events.read_line().value_or("{}")), "Action"));
    ASSERT_FALSE(action.empty());
    actions += action + " ";
    dies += action == "die" ? 1 : 0;
  }
  EXPECT_EQ(actions, "create start die start die start die start die ");
  ASSERT_TRUE(becomes(id, "exited"));
  EXPECT_EQ(restarts(id), 3);
  EXPECT_EQ(at(inspect(id), "State.ExitCode").to_number<int>(), 3);
  start(id);  // by hand: counts anew
  EXPECT_LE(restarts(id), 3);
}

TEST_F(RestartTest, OnFailureLeavesASuccessAlone) {
  const std::string id = run({.command = {"/payload", "exit", "0"}, .host = policy("on-failure")});
  EXPECT_EQ(wait(id), 0);
  EXPECT_EQ(status(id), "exited");
  EXPECT_EQ(restarts(id), 0);
}

TEST_F(RestartTest, TheBackOffDoubles) {
  HttpStream events = client().open("GET", "/events?filters=" + url_encode(R"({"event":["start","die"]})"));
  const std::string id = run({.command = {"/payload", "exit", "1"}, .host = policy("always")});
  std::vector<std::int64_t> waits_ms;
  std::int64_t died = 0;
  while (waits_ms.size() < 4) {
    const json::value event = parse_json(events.read_line().value_or("{}"));
    const auto time = at(event, "timeNano").to_number<std::int64_t>();
    if (text(at(event, "Action")) == "die") died = time;
    if (text(at(event, "Action")) == "start" && died != 0) waits_ms.push_back((time - died) / 1'000'000);
  }
  // From the exit to the next start: never sooner than the back-off of 100, 200, 400, 800 ms, and not the next one's.
  for (std::size_t i = 0; i < waits_ms.size(); ++i) {
    EXPECT_GE(waits_ms[i], (100 << i) - 20) << i;
    EXPECT_LT(waits_ms[i], (100 << i) + 1500) << i;
  }
  // Now it waits for 1.6 s.
  ASSERT_TRUE(becomes(id, "restarting"));
  const json::value state = at(inspect(id), "State");
  EXPECT_TRUE(at(state, "Running").as_bool());
  EXPECT_TRUE(at(state, "Restarting").as_bool());
  EXPECT_EQ(at(state, "Pid").to_number<int>(), 0);
  EXPECT_EQ(at(state, "ExitCode").to_number<int>(), 1);
  const json::value listed = client().get("/containers/json").json();
  EXPECT_TRUE(text(at(listed, "0.Status")).starts_with("Restarting (1) ")) << listed;
  EXPECT_EQ(
      client().get("/containers/json?filters=" + url_encode(R"({"status":["restarting"]})")).json().as_array().size(),
      1U);
  EXPECT_EQ(client().post("/containers/" + id + "/stop").status, 204);
  EXPECT_EQ(status(id), "exited");
}

TEST_F(RestartTest, AKillFromTheHostIsAFailureAndOneByTheApiIsAnEnd) {
  const std::string id = run({.host = policy("always")});
  const pid_t first = pid_of(id);
  ASSERT_EQ(::kill(first, SIGKILL), 0);
  ASSERT_TRUE(eventually([&] { return has_another_pid(id, first); }));
  EXPECT_EQ(restarts(id), 1);
  EXPECT_EQ(client().post("/containers/" + id + "/kill").status, 204);
  EXPECT_EQ(status(id), "exited");
  EXPECT_EQ(restarts(id), 1);
  start(id);
  EXPECT_EQ(restarts(id), 0);
}

TEST_F(RestartTest, AStartWhileItWaitsIsNoError) {
  const std::string id = run({.command = {"/payload", "exit", "1"}, .host = policy("always")});
  ASSERT_TRUE(eventually([&] { return restarts(id) >= 2 && status(id) == "restarting"; }));
  const int answer = client().post("/containers/" + id + "/start").status;
  EXPECT_TRUE(answer == 204 || answer == 304) << answer;
  EXPECT_EQ(client().remove("/containers/" + id + "?force=1").status, 204);
}

TEST_F(RestartTest, AnUpdateChangesThePolicyOfARunningContainer) {
  const std::string id = run({.host = policy("always")});
  ASSERT_EQ(client().post("/containers/" + id + "/update", policy("no")).status, 200);
  ASSERT_EQ(::kill(pid_of(id), SIGKILL), 0);
  EXPECT_TRUE(becomes(id, "exited"));
  EXPECT_EQ(restarts(id), 0);
}

TEST_F(RestartTest, ItGoesOnOverAnEngineThatWasDead) {
  const std::string id = run({.host = policy("on-failure", 5)});
  const pid_t first = pid_of(id);
  const UniqueFd process = open_pidfd(first);
  engine().kill();
  ASSERT_EQ(::kill(first, SIGKILL), 0);
  ASSERT_TRUE(wait_readable(process.get(), 10'000));
  engine().start();
  ASSERT_TRUE(eventually([&] { return has_another_pid(id, first); }));
  EXPECT_EQ(restarts(id), 1);
}

TEST_F(RestartTest, TheCountAndTheWaitAreKeptOverAnEngineRestart) {
  const std::string id = run({.command = {"/payload", "exit", "1"}, .host = policy("on-failure", 4)});
  ASSERT_TRUE(eventually([&] { return restarts(id) >= 3; }));  // the second is on disk then
  engine().restart();
  EXPECT_GE(restarts(id), 2);
  ASSERT_TRUE(becomes(id, "exited"));
  EXPECT_EQ(restarts(id), 4);
}

TEST_F(RestartTest, AReBootStartsWhatItsPolicySays) {
  const std::string always = run({.host = policy("always")});
  const std::string unless = run({.host = policy("unless-stopped")});
  const std::string failing = run({.host = policy("on-failure")});
  const std::string never = run({});
  const std::string always_stopped = run({.host = policy("always")});
  const std::string unless_stopped = run({.host = policy("unless-stopped")});
  const std::string only_created = create({.host = policy("always")});
  for (const std::string& id : {always_stopped, unless_stopped}) {
    ASSERT_EQ(client().post("/containers/" + id + "/stop?t=1").status, 204);
    EXPECT_EQ(status(id), "exited");
  }
  reboot({always, unless, failing, never});
  EXPECT_TRUE(becomes(always, "running"));
  EXPECT_TRUE(becomes(unless, "running"));
  EXPECT_TRUE(becomes(failing, "running"));  // it was killed: 137
  EXPECT_TRUE(becomes(always_stopped, "running"));
  EXPECT_EQ(status(never), "exited");
  EXPECT_EQ(at(inspect(never), "State.ExitCode").to_number<int>(), 137);
  EXPECT_EQ(status(unless_stopped), "exited");
  EXPECT_EQ(status(only_created), "created");
}

TEST_F(RestartTest, AutoRemoveAlsoHappensAfterAReBoot) {
  const std::string id = run({.host = {{"AutoRemove", true}, {"NetworkMode", "none"}}});
  reboot({id});
  EXPECT_TRUE(eventually([&] { return client().get("/containers/" + id + "/json").status == 404; }));
}

}  // namespace
}  // namespace mydocker::test
