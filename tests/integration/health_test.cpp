// Health checks: what is probed, how it is judged, and that it goes on without an engine.

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "engine/base/atomic_file.h"
#include "engine/base/sys.h"
#include "engine/base/time.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

constexpr std::int64_t millisecond = 1'000'000;
constexpr std::int64_t minute = 60'000 * millisecond;

class HealthTest : public DaemonTest {
 protected:
  static json::object check(json::array test, std::int64_t interval_ms = 30, json::object more = {}) {
    json::object health{{"Test", std::move(test)}, {"Interval", interval_ms * millisecond}};
    for (auto& [key, value] : more) health[key] = value;
    return {{"Healthcheck", health}};
  }
  static json::object shell(const std::string& line, std::int64_t interval_ms = 30, json::object more = {}) {
    return check({"CMD-SHELL", line}, interval_ms, std::move(more));
  }
  json::value health(const std::string& id) { return at(inspect(id), "State.Health"); }
  std::string status(const std::string& id) { return text(at(health(id), "Status")); }
  bool becomes(const std::string& id, const std::string& wanted) {
    return eventually([&] { return status(id) == wanted; });
  }
  json::array listed(const std::string& filter) {
    return client().get("/containers/json?all=1&filters=" + url_encode(filter)).json().as_array();
  }
  /// A directory of the host that the container sees as /shared.
  std::string shared() {
    const std::string path = scratch("shared");
    make_dirs(path);
    return path;
  }
  static std::size_t lines_of(const std::string& path) {
    const std::optional<std::string> text = find_file_at(AT_FDCWD, path);
    return text ? static_cast<std::size_t>(std::count(text->begin(), text->end(), '\n')) : 0;
  }
  int create_status(json::object extra, json::object host = {}, std::string* message = nullptr) {
    json::object body{{"Image", "payload"}, {"HostConfig", std::move(host)}};
    for (auto& [key, value] : extra) body[key] = value;
    const Response response = client().post("/containers/create", body);
    if (message != nullptr) *message = response.message();
    return response.status;
  }
};

TEST_F(HealthTest, ASuccessMakesItHealthyAndEveryStepIsTold) {
  HttpStream events = client().open("GET", "/events?filters=" + url_encode(R"({"type":["container"]})"));
  const std::string id = run({.name = "well", .extra = check({"CMD", "/payload", "echo", "fine"})});
  std::string actions;
  std::string exec_id;
  while (actions.find("health_status") == std::string::npos) {
    const std::optional<std::string> line = events.read_line();
    ASSERT_TRUE(line) << actions;
    const json::value event = parse_json(*line);
    const std::string action = text(at(event, "Action"));
    actions += action + "|";
    if (action.starts_with("exec_create")) exec_id = text(at(event, "Actor.Attributes.execID"));
    if (action == "exec_die") {
      EXPECT_EQ(text(at(event, "Actor.Attributes.execID")), exec_id);
      EXPECT_EQ(text(at(event, "Actor.Attributes.exitCode")), "0");
    }
  }
  EXPECT_EQ(actions,
            "create|start|exec_create: /payload echo fine|exec_start: /payload echo fine|exec_die|"
            "health_status: healthy|");
  EXPECT_EQ(exec_id.size(), 64U);
  const json::value state = health(id);
  EXPECT_EQ(text(at(state, "Status")), "healthy");
  EXPECT_EQ(at(state, "FailingStreak").to_number<int>(), 0);
  EXPECT_EQ(at(state, "Log.0.ExitCode").to_number<int>(), 0);
  EXPECT_EQ(text(at(state, "Log.0.Output")), "fine\n");
  EXPECT_LE(text(at(state, "Log.0.Start")), text(at(state, "Log.0.End")));
  const json::array found = listed(R"({"health":["healthy"]})");
  ASSERT_EQ(found.size(), 1U);
  EXPECT_NE(text(at(found[0], "Status")).find(" (healthy)"), std::string::npos) << found[0];
  EXPECT_EQ(listed(R"({"health":["unhealthy","none"]})").size(), 0U);
}

TEST_F(HealthTest, ItStartsAsStartingWithAnEmptyLog) {
  const std::string id = run({.extra = shell("true", 60'000)});
  EXPECT_EQ(write_json(health(id)), R"({"Status":"starting","FailingStreak":0,"Log":[]})");
  const json::array found = listed(R"({"health":["starting"]})");
  ASSERT_EQ(found.size(), 1U);
  EXPECT_NE(text(at(found[0], "Status")).find(" (health: starting)"), std::string::npos);
}

TEST_F(HealthTest, FailuresInARowMakeItUnhealthyAndASuccessHealthyAgain) {
  HttpStream events = client().open("GET", "/events?filters=" + url_encode(R"({"event":["health_status"]})"));
  const std::string id = run({.extra = shell("test -e /ok || { echo broken; exit 3; }", 30, {{"Retries", 2}})});
  EXPECT_EQ(text(at(parse_json(events.read_line().value_or("{}")), "Action")), "health_status: unhealthy");
  const json::value state = health(id);
  EXPECT_GE(at(state, "FailingStreak").to_number<int>(), 2);
  EXPECT_EQ(at(state, "Log.0.ExitCode").to_number<int>(), 3);
  EXPECT_EQ(text(at(state, "Log.0.Output")), "broken\n");
  EXPECT_NE(text(at(listed(R"({"health":["unhealthy"]})").at(0), "Status")).find(" (unhealthy)"), std::string::npos);
  EXPECT_EQ(exec(id, {"touch", "/ok"}).code, 0);
  EXPECT_EQ(text(at(parse_json(events.read_line().value_or("{}")), "Action")), "health_status: healthy");
  EXPECT_EQ(at(health(id), "FailingStreak").to_number<int>(), 0);
}

TEST_F(HealthTest, FailuresInTheStartPeriodDoNotCountAndItsIntervalIsTaken) {
  const std::string id =
      run({.extra = shell("test -e /ok", 60'000,
                          {{"Retries", 1}, {"StartPeriod", minute}, {"StartInterval", 20 * millisecond}})});
  ASSERT_TRUE(eventually([&] { return at(health(id), "Log").as_array().size() >= 3; }));
  EXPECT_EQ(status(id), "starting");
  EXPECT_EQ(at(health(id), "FailingStreak").to_number<int>(), 0);
  EXPECT_EQ(exec(id, {"touch", "/ok"}).code, 0);
  EXPECT_TRUE(becomes(id, "healthy"));
}

TEST_F(HealthTest, ACommitChangesNoHealth) {
  const std::string id =
      run({.extra = shell("true", 60'000, {{"StartPeriod", minute}, {"StartInterval", 20 * millisecond}})});
  ASSERT_TRUE(becomes(id, "healthy"));  // the next probe comes in a minute
  EXPECT_EQ(client().post("/commit?container=" + id + "&repo=of-healthy&tag=1").status, 201);
  EXPECT_EQ(status(id), "healthy");
  engine().kill();
  engine().start();
  EXPECT_EQ(status(id), "healthy") << "what its shim knows";
  EXPECT_EQ(client().remove("/images/of-healthy:1").status, 200);
}

TEST_F(HealthTest, AProbeThatTakesTooLongIsKilledWithItsChildren) {
  const std::string id =
      run({.extra = shell("echo slow; sleep 77 & wait", 30, {{"Timeout", 300 * millisecond}, {"Retries", 1}})});
  ASSERT_TRUE(becomes(id, "unhealthy"));
  const json::value state = health(id);
  EXPECT_EQ(at(state, "Log.0.ExitCode").to_number<int>(), -1);
  EXPECT_EQ(text(at(state, "Log.0.Output")), "Health check exceeded timeout (300ms): slow\n");
  EXPECT_EQ(client().post("/containers/" + id + "/pause").status, 204);  // no further probe
  EXPECT_EQ(client().post("/containers/" + id + "/unpause").status, 204);
  const std::string processes = write_json(client().get("/containers/" + id + "/top").json());
  std::size_t sleepers = 0;
  for (std::size_t i = processes.find("sleep 77"); i != std::string::npos; i = processes.find("sleep 77", i + 1)) {
    ++sleepers;
  }
  EXPECT_LE(sleepers, 2U) << processes;  // at most the probe that runs now: its shell and its child
}

TEST_F(HealthTest, FiveResultsAreKeptAndTheirOutputIsCut) {
  const std::string id = run({.extra = shell("head -c 10000 /dev/zero | tr '\\0' x", 20)});
  ASSERT_TRUE(eventually([&] { return at(health(id), "Log").as_array().size() >= 5; }));
  const std::string first = text(at(health(id), "Log.0.Start"));
  ASSERT_TRUE(eventually([&] { return text(at(health(id), "Log.0.Start")) != first; }));
  const json::value log = at(health(id), "Log");
  EXPECT_EQ(log.as_array().size(), 5U);
  EXPECT_EQ(text(at(log, "0.Output")), std::string(4096, 'x') + "...");
  for (std::size_t i = 1; i < 5; ++i) {
    EXPECT_LT(text(at(log.as_array()[i - 1], "Start")), text(at(log.as_array()[i], "Start")));
  }
}

TEST_F(HealthTest, OutputThatIsNoTextIsShownAsText) {
  const std::string id = run({.extra = shell("printf 'a\\377b'", 20)});
  ASSERT_TRUE(becomes(id, "healthy"));
  EXPECT_EQ(text(at(health(id), "Log.0.Output")),
            "a\xEF\xBF\xBD"
            "b");
}

TEST_F(HealthTest, TheProbeIsAProcessOfTheContainersUserEnvironmentAndDirectory) {
  json::object extra = check({"CMD-SHELL", "echo $(id -u) $X $(pwd); grep CapEff /proc/self/status"}, 20);
  extra["Env"] = json::array{"X=word"};
  extra["User"] = "1000";
  extra["WorkingDir"] = "/tmp";
  extra["Shell"] = json::array{"/bin/busybox", "sh", "-c"};
  const std::string id = run({.extra = extra});
  ASSERT_TRUE(becomes(id, "healthy"));
  const std::string output = text(at(health(id), "Log.0.Output"));
  EXPECT_EQ(output, "1000 word /tmp\nCapEff:\t0000000000000000\n");
}

TEST_F(HealthTest, AMissingProgramIsAFailureThatSaysSo) {
  const std::string id = run({.extra = check({"CMD", "nope"}, 20, {{"Retries", 1}})});
  ASSERT_TRUE(becomes(id, "unhealthy"));
  EXPECT_EQ(at(health(id), "Log.0.ExitCode").to_number<int>(), -1);
  EXPECT_NE(text(at(health(id), "Log.0.Output")).find("exec: \"nope\": executable file not found in $PATH"),
            std::string::npos);
}

TEST_F(HealthTest, TheImagesCheckIsTakenCompletedAndTurnedOff) {
  ImageSpec spec = payload_image();
  spec.name = "checked:latest";
  spec.config["Healthcheck"] =
      json::object{{"Test", json::array{"CMD-SHELL", "echo image"}}, {"Interval", 20 * millisecond}};
  load(spec);
  const std::string inherits = run({.image = "checked"});
  ASSERT_TRUE(becomes(inherits, "healthy"));
  EXPECT_EQ(text(at(health(inherits), "Log.0.Output")), "image\n");
  const std::string replaces =
      run({.image = "checked", .extra = {{"Healthcheck", json::object{{"Test", json::array{"CMD", "echo", "own"}}}}}});
  ASSERT_TRUE(becomes(replaces, "healthy"));  // in the image's interval
  EXPECT_EQ(text(at(health(replaces), "Log.0.Output")), "own\n");
  const std::string off =
      run({.image = "checked", .extra = {{"Healthcheck", json::object{{"Test", json::array{"NONE"}}}}}});
  EXPECT_TRUE(health(off).is_null());
  EXPECT_EQ(listed(R"({"health":["none"]})").size(), 1U);
}

TEST_F(HealthTest, ItGoesOnWithoutAnEngineWhichTakesTheResultOver) {
  const std::string directory = shared();
  write_file_atomically(directory + "/ok", "");
  const std::string id = run({.extra = shell("echo x >> /shared/probes; test -e /shared/ok", 30, {{"Retries", 2}}),
                              .host = {{"Binds", json::array{directory + ":/shared"}}}});
  ASSERT_TRUE(becomes(id, "healthy"));
  engine().kill();
  ASSERT_EQ(::unlink((directory + "/ok").c_str()), 0);
  const std::size_t before = lines_of(directory + "/probes");
  ASSERT_TRUE(eventually([&] { return lines_of(directory + "/probes") >= before + 5; }));
  engine().start();
  EXPECT_TRUE(becomes(id, "unhealthy"));
  EXPECT_GE(at(health(id), "FailingStreak").to_number<int>(), 3);
  EXPECT_EQ(at(health(id), "Log").as_array().size(), 5U);
  const std::string told = client().get("/events?since=1&until=" + std::to_string(to_unix_seconds(now()) + 1)).body;
  EXPECT_NE(told.find("health_status: unhealthy"), std::string::npos) << told;
}

TEST_F(HealthTest, APausedContainerIsNotProbed) {
  const std::string directory = shared();
  const std::string id =
      run({.extra = shell("echo x >> /shared/probes", 20), .host = {{"Binds", json::array{directory + ":/shared"}}}});
  ASSERT_TRUE(becomes(id, "healthy"));
  ASSERT_EQ(client().post("/containers/" + id + "/pause").status, 204);
  EXPECT_EQ(status(id), "unhealthy");  // Docker's word for a container that nobody asks
  HttpStream events = client().open("GET", "/events?filters=" + url_encode(R"({"event":["exec_create"]})"));
  const std::size_t before = lines_of(directory + "/probes");
  EXPECT_THROW(events.read_line(std::chrono::milliseconds(300)), Error);  // fifteen intervals
  EXPECT_EQ(lines_of(directory + "/probes"), before);
  ASSERT_EQ(client().post("/containers/" + id + "/unpause").status, 204);
  EXPECT_TRUE(becomes(id, "healthy"));
}

TEST_F(HealthTest, AStopEndsItAndAStartBeginsAfresh) {
  const std::string id = run({.extra = shell("true", 200)});
  ASSERT_TRUE(becomes(id, "healthy"));
  ASSERT_EQ(client().post("/containers/" + id + "/kill").status, 204);
  EXPECT_EQ(status(id), "unhealthy");
  EXPECT_FALSE(at(health(id), "Log").as_array().empty());
  engine().restart();
  EXPECT_EQ(status(id), "unhealthy");
  start(id);
  EXPECT_EQ(write_json(health(id)), R"({"Status":"starting","FailingStreak":0,"Log":[]})");
}

TEST_F(HealthTest, ProbesAreNoExecsOfTheUser) {
  const std::string directory = shared();
  const std::string id = run(
      {.extra = shell("touch /shared/begun; sleep 60", 20), .host = {{"Binds", json::array{directory + ":/shared"}}}});
  ASSERT_TRUE(eventually([&] { return find_file_at(AT_FDCWD, directory + "/begun").has_value(); }));
  EXPECT_TRUE(at(inspect(id), "ExecIDs").is_null());
}

TEST_F(HealthTest, BadSettingsAreRefusedInDockersWords) {
  const std::pair<const char*, const char*> rows[] = {
      {"Interval", "Interval in Healthcheck cannot be less than 1ms"},
      {"Timeout", "Timeout in Healthcheck cannot be less than 1ms"},
      {"StartPeriod", "StartPeriod in Healthcheck cannot be less than 1ms"},
      {"StartInterval", "StartInterval in Healthcheck cannot be less than 1ms"}};
  for (const auto& [key, words] : rows) {
    for (const std::int64_t value : {std::int64_t{-1}, std::int64_t{999'999}}) {
      std::string message;
      EXPECT_EQ(create_status({{"Healthcheck", json::object{{key, value}}}}, {}, &message), 400);
      EXPECT_EQ(message, words);
    }
  }
  std::string message;
  EXPECT_EQ(create_status({{"Healthcheck", json::object{{"Retries", -1}}}}, {}, &message), 400);
  EXPECT_EQ(message, "Retries in Healthcheck cannot be negative");
}

TEST_F(HealthTest, OnFailureKillNeedsNoEngine) {
  const std::string directory = shared();
  write_file_atomically(directory + "/ok", "");
  const std::string id = run({.extra = shell("test -e /shared/ok", 30, {{"Retries", 2}}),
                              .host = {{"Binds", json::array{directory + ":/shared"}}, {"HealthOnFailure", "kill"}}});
  const UniqueFd process = open_pidfd(pid_of(id));
  engine().kill();
  ASSERT_EQ(::unlink((directory + "/ok").c_str()), 0);
  EXPECT_TRUE(wait_readable(process.get(), 10'000));
  engine().start();
  ASSERT_TRUE(eventually([&] { return text(at(inspect(id), "State.Status")) == "exited"; }));
  EXPECT_EQ(at(inspect(id), "State.ExitCode").to_number<int>(), 137);
}

TEST_F(HealthTest, OnFailureRestartStartsItAgain) {
  const std::string id = run({.extra = shell("test -e /tmp/broken && exit 1 || exit 0", 30, {{"Retries", 2}}),
                              .host = {{"HealthOnFailure", "restart"}, {"Tmpfs", json::object{{"/tmp", ""}}}}});
  EXPECT_EQ(text(at(inspect(id), "HostConfig.HealthOnFailure")), "restart");
  const pid_t first = pid_of(id);
  EXPECT_EQ(exec(id, {"touch", "/tmp/broken"}).code, 0);
  ASSERT_TRUE(eventually([&] {
    const pid_t pid = pid_of(id);
    return pid != first && pid != 0;
  }));
  EXPECT_TRUE(becomes(id, "healthy"));
}

TEST_F(HealthTest, OnFailureStopOutweighsTheRestartPolicyAndAnEngineThatWasDead) {
  const std::string directory = shared();
  write_file_atomically(directory + "/ok", "");
  const std::string id = run({.extra = shell("echo x >> /shared/probes; test -e /shared/ok", 30, {{"Retries", 2}}),
                              .host = {{"Binds", json::array{directory + ":/shared"}},
                                       {"HealthOnFailure", "stop"},
                                       {"RestartPolicy", json::object{{"Name", "always"}}}}});
  ASSERT_TRUE(becomes(id, "healthy"));
  engine().kill();
  ASSERT_EQ(::unlink((directory + "/ok").c_str()), 0);
  const std::size_t before = lines_of(directory + "/probes");
  ASSERT_TRUE(eventually([&] { return lines_of(directory + "/probes") >= before + 4; }));
  engine().start();
  ASSERT_TRUE(eventually([&] { return text(at(inspect(id), "State.Status")) == "exited"; }));
  EXPECT_EQ(at(inspect(id), "RestartCount").to_number<int>(), 0);
}

TEST_F(HealthTest, ABadActionIsRefused) {
  std::string message;
  EXPECT_EQ(create_status(shell("true"), {{"HealthOnFailure", "explode"}}, &message), 400);
  EXPECT_NE(message.find("HealthOnFailure 'explode'"), std::string::npos) << message;
  EXPECT_EQ(create_status({}, {{"HealthOnFailure", "kill"}}, &message), 400);
  EXPECT_NE(message.find("needs a healthcheck"), std::string::npos) << message;
}

TEST_F(HealthTest, OurClientSetsEveryOption) {
  const CommandResult result =
      mydocker({"run", "-d", "--health-cmd", "test -e /ok", "--health-interval", "30ms", "--health-timeout", "5s",
                "--health-retries", "2", "--health-start-period", "1ms", "--health-start-interval", "20ms",
                "--health-on-failure", "kill", "payload", "/payload", "pause"});
  ASSERT_EQ(result.code, 0) << result.err;
  const std::string id = result.out.substr(0, 64);
  EXPECT_EQ(wait(id), 137);
  EXPECT_EQ(write_json(at(inspect(id), "Config.Healthcheck")),
            R"({"Test":["CMD-SHELL","test -e /ok"],"Interval":30000000,"Timeout":5000000000,"StartPeriod":1000000,)"
            R"("StartInterval":20000000,"Retries":2})");
}

}  // namespace
}  // namespace mydocker::test
