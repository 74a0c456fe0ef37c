// The life of a container through the API.

#include <fcntl.h>

#include <csignal>

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class ContainerTest : public DaemonTest {
 protected:
  std::string status_of(const std::string& id) { return text(at(inspect(id), "State.Status")); }
};

TEST_F(ContainerTest, ARunPrintsAndEndsWithItsExitCode) {
  const Outcome outcome = run_to_end({.command = {"/payload", "both", "3"}});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, "out 1\nout 2\nout 3\n");
  EXPECT_EQ(outcome.err, "err 1\nerr 2\nerr 3\n");
  EXPECT_EQ(run_to_end({.command = {"/payload", "exit", "42"}}).code, 42);
}

TEST_F(ContainerTest, ASignalsExitCodeIs128PlusItsNumber) {
  EXPECT_EQ(run_to_end({.command = {"sh", "-c", "/payload die 11; exit $?"}}).code, 139);
  const std::string id = run();
  EXPECT_EQ(client().post("/containers/" + id + "/kill").status, 204);
  EXPECT_EQ(wait(id), 137);
  EXPECT_EQ(at(inspect(id), "State.ExitCode").to_number<int>(), 137);
}

TEST_F(ContainerTest, StartingARunningContainerAnswers304) {
  const std::string id = create();
  EXPECT_EQ(client().post("/containers/" + id + "/start").status, 204);
  EXPECT_EQ(client().post("/containers/" + id + "/start").status, 304);
  EXPECT_EQ(status_of(id), "running");
}

TEST_F(ContainerTest, StateFollowsTheContainersLife) {
  const std::string id = create({.name = "life"});
  EXPECT_EQ(status_of(id), "created");
  start(id);
  json::value state = at(inspect(id), "State");
  EXPECT_EQ(text(at(state, "Status")), "running");
  EXPECT_EQ(at(state, "Running"), json::value(true));
  EXPECT_GT(at(state, "Pid").to_number<int>(), 1);
  EXPECT_EQ(text(at(state, "FinishedAt")), "0001-01-01T00:00:00Z");
  EXPECT_EQ(client().post("/containers/life/stop?t=5").status, 204);
  EXPECT_EQ(client().post("/containers/life/stop").status, 304);
  state = at(inspect(id), "State");
  EXPECT_EQ(text(at(state, "Status")), "exited");
  EXPECT_EQ(at(state, "Pid").to_number<int>(), 0);
  EXPECT_NE(text(at(state, "FinishedAt")), "0001-01-01T00:00:00Z");
  start(id);
  EXPECT_EQ(status_of(id), "running");
}

TEST_F(ContainerTest, StopAsksFirstAndKillsAfterTheGracePeriod) {
  const std::string obeying = run({.command = {"/payload", "pause"}});
  wait_ready(obeying);
  EXPECT_EQ(client().post("/containers/" + obeying + "/stop?t=30").status, 204);
  EXPECT_EQ(at(inspect(obeying), "State.ExitCode").to_number<int>(), 0);

  const std::string deaf = run({.command = {"/payload", "ignore-term"}});
  wait_ready(deaf);
  EXPECT_EQ(client().post("/containers/" + deaf + "/stop?t=1").status, 204);
  EXPECT_EQ(at(inspect(deaf), "State.ExitCode").to_number<int>(), 137);
}

TEST_F(ContainerTest, TheStopSignalOfTheConfigIsUsed) {
  const std::string id = run({.command = {"/payload", "trap"}, .extra = {{"StopSignal", "SIGUSR2"}}});
  wait_ready(id);
  EXPECT_EQ(client().post("/containers/" + id + "/stop?t=30").status, 204);
  EXPECT_EQ(at(inspect(id), "State.ExitCode").to_number<int>(), 42);
}

TEST_F(ContainerTest, KillSendsAnySignalByNameOrNumber) {
  const std::string id = run({.command = {"/payload", "trap"}});
  wait_ready(id);
  HttpStream log = client().open("GET", "/containers/" + id + "/logs?stdout=1&follow=1");
  EXPECT_EQ(client().post("/containers/" + id + "/kill?signal=SIGUSR1").status, 204);
  EXPECT_NO_THROW(log.read_until("signal 10"));
  EXPECT_EQ(client().post("/containers/" + id + "/kill?signal=hup").status, 204);
  EXPECT_NO_THROW(log.read_until("signal 1\n"));
  EXPECT_EQ(client().post("/containers/" + id + "/kill?signal=15").status, 204);
  EXPECT_NO_THROW(log.read_until("signal 15"));
  const Response bad = client().post("/containers/" + id + "/kill?signal=NOPE");
  EXPECT_EQ(bad.status, 400);
  EXPECT_EQ(bad.message(), "Invalid signal: NOPE");
  EXPECT_EQ(client().post("/containers/" + id + "/kill").status, 204);
  const Response ended = client().post("/containers/" + id + "/kill");
  EXPECT_EQ(ended.status, 409);
  EXPECT_NE(ended.message().find("is not running"), std::string::npos);
}

TEST_F(ContainerTest, RestartGivesANewProcess) {
  const std::string id = run();
  const pid_t before = pid_of(id);
  EXPECT_EQ(client().post("/containers/" + id + "/restart?t=5").status, 204);
  EXPECT_NE(pid_of(id), before);
  EXPECT_EQ(status_of(id), "running");
}

TEST_F(ContainerTest, PauseFreezesAndUnpauseThaws) {
  const std::string id = run({.command = {"/payload", "seq", "1000"}});
  EXPECT_EQ(client().post("/containers/" + id + "/unpause").status, 500);
  EXPECT_EQ(client().post("/containers/" + id + "/pause").status, 204);
  EXPECT_EQ(client().post("/containers/" + id + "/pause").status, 409);
  EXPECT_EQ(status_of(id), "paused");
  const std::string frozen = logs(id).out;
  const std::string later = logs(id).out;
  EXPECT_EQ(frozen, later);
  const Response exec = client().post("/containers/" + id + "/exec", json::object{{"Cmd", json::array{"true"}}});
  EXPECT_EQ(exec.status, 409);
  EXPECT_EQ(client().post("/containers/" + id + "/unpause").status, 204);
  EXPECT_EQ(status_of(id), "running");
  EXPECT_TRUE(eventually([&] { return logs(id).out.size() > later.size(); }));
}

TEST_F(ContainerTest, APausedOneCanBeKilledStoppedAndToldToEnd) {
  const std::string killed = run();
  ASSERT_EQ(client().post("/containers/" + killed + "/pause").status, 204);
  EXPECT_EQ(client().post("/containers/" + killed + "/kill").status, 204);
  EXPECT_EQ(status_of(killed), "exited");
  EXPECT_EQ(at(inspect(killed), "State.ExitCode").to_number<int>(), 137);

  const std::vector<std::string> listens = {"sh", "-c",
                                            "trap 'echo heard; exit 0' TERM; echo ready; while :; do sleep 0.05; done"};
  const std::string stopped = run({.command = listens});
  wait_ready(stopped);
  ASSERT_EQ(client().post("/containers/" + stopped + "/pause").status, 204);
  EXPECT_EQ(client().post("/containers/" + stopped + "/stop?t=20").status, 204);
  EXPECT_NE(logs(stopped).out.find("heard"), std::string::npos);  // it was not just killed

  const std::string told = run({.command = listens});
  wait_ready(told);
  ASSERT_EQ(client().post("/containers/" + told + "/pause").status, 204);
  EXPECT_EQ(client().post("/containers/" + told + "/kill?signal=TERM").status, 204);
  EXPECT_EQ(wait(told), 0);
}

TEST_F(ContainerTest, TheExitSaysWhoSentTheSignalAndWhatIsMissing) {
  ImageSpec spec = payload_image();
  spec.name = "broken:latest";
  spec.layers.push_back(TarBuilder().file("script", "#!/no/such/shell -e\necho\n", 0755).finish());
  load(spec);
  take_snapshot();
  const auto last_exit = [&](const std::string& id) {
    return parse_json(read_file(concat(engine().data_root(), "/containers/", id, "/exit")));
  };
  const std::string by_client = run();
  EXPECT_EQ(client().post("/containers/" + by_client + "/kill").status, 204);
  EXPECT_EQ(text(at(last_exit(by_client), "signal_source")), "client");
  const std::string from_host = run();
  ASSERT_EQ(::kill(pid_of(from_host), SIGKILL), 0);
  EXPECT_EQ(wait(from_host), 137);
  EXPECT_TRUE(at(last_exit(from_host), "signal_source").is_null());
  const std::string fault = run({.command = {"/payload", "fault"}});
  EXPECT_EQ(wait(fault), 139);
  EXPECT_EQ(text(at(last_exit(fault), "signal_source")), "kernel");
  const std::string script = create({.image = "broken", .command = {"/script"}});
  const Response response = client().post("/containers/" + script + "/start");
  EXPECT_NE(response.message().find("exec /script: no such file or directory (its interpreter /no/such/shell does not "
                                    "exist)"),
            std::string::npos)
      << response.message();
}

TEST_F(ContainerTest, RemovingARunningOneWantsForce) {
  const std::string id = run({.name = "busy"});
  const Response refused = client().remove("/containers/busy");
  EXPECT_EQ(refused.status, 409);
  EXPECT_NE(refused.message().find("container is running"), std::string::npos) << refused.body;
  EXPECT_EQ(client().remove("/containers/busy?force=1").status, 204);
  EXPECT_EQ(client().get("/containers/" + id + "/json").status, 404);
}

TEST_F(ContainerTest, AutoRemoveTakesTheContainerAway) {
  const std::string id = create({.command = {"/payload", "exit", "3"}, .host = {{"AutoRemove", true}}});
  HttpStream waiter = client().open("POST", "/containers/" + id + "/wait?condition=removed");
  ASSERT_EQ(waiter.head().status, 200);
  start(id);
  const std::optional<std::string> line = waiter.read_line();
  ASSERT_TRUE(line);
  EXPECT_EQ(at(parse_json(*line), "StatusCode").to_number<int>(), 3);
  EXPECT_EQ(client().get("/containers/" + id + "/json").status, 404);
}

TEST_F(ContainerTest, WaitSendsItsHeadersBeforeTheEnd) {
  const std::string id = create();
  // open() returns when the headers are there; nothing has been started yet.
  HttpStream next_exit = client().open("POST", "/containers/" + id + "/wait?condition=next-exit");
  EXPECT_EQ(next_exit.head().status, 200);
  start(id);
  EXPECT_EQ(client().post("/containers/" + id + "/kill").status, 204);
  const std::optional<std::string> line = next_exit.read_line();
  ASSERT_TRUE(line);
  EXPECT_EQ(at(parse_json(*line), "StatusCode").to_number<int>(), 137);
  EXPECT_EQ(client().post("/containers/" + id + "/wait?condition=never").status, 400);
}

TEST_F(ContainerTest, AFailedStartReleasesTheWaiters) {
  const std::string id = create({.command = {"/nosuch"}});
  HttpStream next_exit = client().open("POST", "/containers/" + id + "/wait?condition=next-exit");
  EXPECT_EQ(client().post("/containers/" + id + "/start").status, 400);
  const std::optional<std::string> line = next_exit.read_line();
  ASSERT_TRUE(line);
  EXPECT_EQ(at(parse_json(*line), "StatusCode").to_number<int>(), 127) << *line;
  EXPECT_EQ(line->find("Error"), std::string::npos) << "start has said it: " << *line;
  const json::value later = client().post("/containers/" + id + "/wait").json();
  EXPECT_NE(text(at(later, "Error.Message")).find("/nosuch"), std::string::npos) << write_json(later);
}

TEST_F(ContainerTest, RenameFreesTheOldName) {
  const std::string id = create({.name = "old-name"});
  EXPECT_EQ(client().post("/containers/old-name/rename?name=new-name").status, 204);
  EXPECT_EQ(client().get("/containers/old-name/json").status, 404);
  EXPECT_EQ(text(at(inspect("new-name"), "Name")), "/new-name");
  const std::string second = create({.name = "old-name"});
  const Response taken = client().post("/containers/old-name/rename?name=new-name");
  EXPECT_EQ(taken.status, 409);
  EXPECT_EQ(taken.message().find("Error when allocating new name: Conflict. The container name \"/new-name\""), 0U)
      << taken.body;
  const Response bad = client().post("/containers/old-name/rename?name=x%20y");
  EXPECT_EQ(bad.status, 400);
  EXPECT_EQ(bad.message().find("Error when allocating new name: Invalid container name"), 0U) << bad.body;
}

TEST_F(ContainerTest, WhatCannotBeKilledIsNamedAsItWasAsked) {
  const std::string id = create({.name = "unkillable"});
  EXPECT_EQ(client().post("/containers/unkillable/kill").message(),
            "cannot kill container: unkillable: container " + id + " is not running");
  EXPECT_EQ(client().post("/containers/nosuch/kill").message(),
            "cannot kill container: nosuch: No such container: nosuch");
  EXPECT_EQ(client().post("/containers/unkillable/kill?signal=FOO").message(), "Invalid signal: FOO");
}

TEST_F(ContainerTest, NamesAndPrefixesFindAContainer) {
  const std::string id = create({.name = "findme"});
  for (const std::string& key : {id, id.substr(0, 12), std::string("findme"), std::string("%2Ffindme")}) {
    const Response response = client().get("/containers/" + key + "/json");
    EXPECT_EQ(response.status, 200) << key;
    EXPECT_EQ(text(at(response.json(), "Id")), id);
  }
}

TEST_F(ContainerTest, ListFiltersSelect) {
  const std::string running = run({.name = "running-one", .extra = {{"Labels", json::object{{"kind", "a"}}}}});
  const std::string made = create({.name = "made-one", .extra = {{"Labels", json::object{{"kind", "b"}}}}});
  const auto list = [&](const std::string& query) {
    const Response response = client().get("/containers/json?" + query);
    EXPECT_EQ(response.status, 200) << response.body;
    std::string names;
    const json::value items = response.json();
    for (const json::value& item : items.as_array()) names += text(at(item, "Names.0"));
    return names;
  };
  const auto filter = [&](const std::string& text) { return "filters=" + url_encode(text); };
  EXPECT_EQ(list(""), "/running-one");
  EXPECT_EQ(list("all=1"), "/made-one/running-one");
  EXPECT_EQ(list("limit=1"), "/made-one");
  EXPECT_EQ(list(filter(R"({"status":["created"]})")), "/made-one");
  EXPECT_EQ(list("all=1&" + filter(R"({"label":["kind=a"]})")), "/running-one");
  EXPECT_EQ(list("all=1&" + filter(R"({"label":{"kind":true}})")), "/made-one/running-one");
  EXPECT_EQ(list("all=1&" + filter(R"({"name":["^/made"]})")), "/made-one");
  EXPECT_EQ(list("all=1&" + filter(R"({"id":[")" + made.substr(0, 10) + "\"]}")), "/made-one");
  EXPECT_EQ(list("all=1&" + filter(R"({"ancestor":["payload"]})")), "/made-one/running-one");
  const json::value item = client().get("/containers/json").json().at(0);
  EXPECT_EQ(text(at(item, "Command")), "/payload pause");
  EXPECT_EQ(text(at(item, "State")), "running");
  EXPECT_TRUE(text(at(item, "Status")).starts_with("Up ")) << text(at(item, "Status"));
  EXPECT_EQ(text(at(item, "Image")), "payload");
}

TEST_F(ContainerTest, TopListsHostProcesses) {
  const std::string id = run({.command = {"/payload", "children", "2"}});
  wait_ready(id);
  const json::value top = client().get("/containers/" + id + "/top").json();
  EXPECT_EQ(at(top, "Processes").as_array().size(), 3U);
  EXPECT_EQ(text(at(top, "Titles.1")), "PID");
  EXPECT_EQ(text(at(top, "Processes.0.1")), std::to_string(pid_of(id)));
}

TEST_F(ContainerTest, ChangesShowWhatWasWritten) {
  const std::string id =
      run({.command = {"sh", "-c", "echo x > /etc/new; echo y >> /etc/passwd; rm /etc/shadowed; /payload pause"}});
  wait_ready(id);
  const json::value changes = client().get("/containers/" + id + "/changes").json();
  std::map<std::string, std::int64_t> kinds;
  for (const json::value& change : changes.as_array()) {
    kinds[text(at(change, "Path"))] = at(change, "Kind").to_number<std::int64_t>();
  }
  EXPECT_EQ(kinds["/etc/new"], 1);
  EXPECT_EQ(kinds["/etc/shadowed"], 2);
  ASSERT_TRUE(kinds.contains("/etc/passwd"));
  EXPECT_EQ(kinds["/etc/passwd"], 0);
  EXPECT_TRUE(kinds.contains("/etc"));
}

TEST_F(ContainerTest, ExportIsATarOfTheRootfs) {
  const std::string id = run({.command = {"sh", "-c", "echo mark > /marked; echo ready; /payload pause"}});
  wait_ready(id);
  HttpStream stream = client().open("GET", "/containers/" + id + "/export");
  ASSERT_EQ(stream.head().status, 200);
  const std::string file = scratch("export.tar");
  const UniqueFd out = open_file(file, O_WRONLY | O_CREAT, 0600);
  write_all(out.get(), stream.read_to_end());
  const CommandResult listing = run_command({"tar", "-tf", file});
  EXPECT_EQ(listing.code, 0) << listing.err;
  for (const char* name : {"marked", "payload", "etc/passwd", "bin/busybox"}) {
    EXPECT_NE(listing.out.find(name), std::string::npos) << name;
  }
  EXPECT_EQ(run_command({"tar", "-xOf", file, "marked"}).out, "mark\n");
}

TEST_F(ContainerTest, HostConfigRoundTripsThroughInspect) {
  const std::string id = create({.extra = {{"Env", json::array{"A=1"}}, {"Labels", json::object{{"k", "v"}}}},
                                 .host = {{"NetworkMode", "none"},
                                          {"Memory", 104857600},
                                          {"NanoCpus", 500000000},
                                          {"PidsLimit", 77},
                                          {"CapAdd", json::array{"NET_ADMIN"}},
                                          {"ReadonlyRootfs", true}}});
  const json::value container = inspect(id);
  EXPECT_EQ(at(container, "HostConfig.Memory").to_number<std::int64_t>(), 104857600);
  EXPECT_EQ(at(container, "HostConfig.MemorySwap").to_number<std::int64_t>(), 209715200);
  EXPECT_EQ(at(container, "HostConfig.NanoCpus").to_number<std::int64_t>(), 500000000);
  EXPECT_EQ(at(container, "HostConfig.PidsLimit").to_number<std::int64_t>(), 77);
  EXPECT_EQ(text(at(container, "HostConfig.CapAdd.0")), "NET_ADMIN");
  EXPECT_EQ(at(container, "HostConfig.ReadonlyRootfs"), json::value(true));
  EXPECT_EQ(at(container, "HostConfig.ShmSize").to_number<std::int64_t>(), 67108864);
  EXPECT_EQ(text(at(container, "HostConfig.LogConfig.Type")), "json-file");
  EXPECT_EQ(text(at(container, "Config.Env.0")), "A=1");
  EXPECT_EQ(text(at(container, "Config.Labels.k")), "v");
  EXPECT_EQ(text(at(container, "Path")), "/payload");
  EXPECT_EQ(text(at(container, "Config.Image")), "payload");
  EXPECT_EQ(at(container, "ExecIDs"), json::value(nullptr));
}

TEST_F(ContainerTest, ConcurrentRemovalsGiveOneSuccess) {
  const std::string id = create();
  EXPECT_EQ(client().remove("/containers/" + id).status, 204);
  EXPECT_EQ(client().remove("/containers/" + id).status, 404);
}

TEST_F(ContainerTest, ResizeWantsARunningTerminal) {
  const std::string id = create({.command = {"/payload", "wait-winsize"}, .extra = {{"Tty", true}}});
  EXPECT_EQ(client().post("/containers/" + id + "/resize?h=10&w=20").status, 409);
  start(id);
  HttpStream log = client().open("GET", "/containers/" + id + "/logs?stdout=1&follow=1");
  EXPECT_NO_THROW(log.read_until("ready"));
  EXPECT_EQ(client().post("/containers/" + id + "/resize?h=43&w=132").status, 200);
  EXPECT_NO_THROW(log.read_until("43 132"));
  EXPECT_EQ(client().post("/containers/" + id + "/resize?h=x").status, 400);
}

TEST_F(ContainerTest, WithoutATerminalAResizeIsASuccessThatDoesNothing) {
  const std::string id = run();
  EXPECT_EQ(client().post("/containers/" + id + "/resize?h=0&w=0").status, 200);
  const Response created =
      client().post("/containers/" + id + "/exec", json::object{{"Cmd", json::array{"/payload", "pause"}}});
  const std::string exec_id = text(at(created.json(), "Id"));
  ASSERT_EQ(client().post("/exec/" + exec_id + "/start", json::object{{"Detach", true}}).status, 200);
  EXPECT_EQ(client().post("/exec/" + exec_id + "/resize?h=10&w=20").status, 200);
}

}  // namespace
}  // namespace mydocker::test
