// Each named step of the system is made to fail: the request gets an error, and nothing is left behind.

#include <fcntl.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class FailpointTest : public DaemonTest {
 protected:
  /// A second engine life with this failpoint set; the state of the first one is taken over.
  void restart_with(const std::string& failpoints) {
    engine().kill();
    engine().set_environment({"MYDOCKER_FAILPOINTS=" + failpoints});
    engine().start();
  }
  void restart_clean() {
    engine().kill();
    engine().set_environment({});
    engine().start();
  }
};

TEST_F(FailpointTest, AFullDiskAtCreateIsAnErrorAndLeavesNothing) {
  restart_with("container.create_directories=nospace");
  const Response response = client().post(
      "/containers/create", json::object{{"Image", "payload"}, {"HostConfig", json::object{{"NetworkMode", "none"}}}});
  EXPECT_EQ(response.status, 500) << response.body;
  EXPECT_NE(response.message().find("No space left on device"), std::string::npos) << response.body;
  EXPECT_FALSE(engine().has_died());
  EXPECT_EQ(client().get("/containers/json?all=1").json().as_array().size(), 0U);
  restart_clean();
}

TEST_F(FailpointTest, AFullDiskAtLoadIsAnErrorAndLeavesNothing) {
  restart_with("layer.write=nospace");
  const std::string file = scratch("image.tar");
  write_docker_archive(file, {.name = "full:1", .layers = {TarBuilder().file("new", "x").finish()}, .config = {}});
  const Response response = client().upload("POST", "/images/load?quiet=1", file, "application/x-tar");
  EXPECT_NE(response.body.find("No space left on device"), std::string::npos) << response.status << response.body;
  EXPECT_EQ(client().get("/images/full:1/json").status, 404);
  restart_clean();
}

/// Through the kernel's file, on either version of cgroups.
void thaw_behind_the_engine(int pid) {
  std::ifstream groups(concat("/proc/", pid, "/cgroup"));
  for (std::string line; std::getline(groups, line);) {
    const std::string path = line.substr(line.rfind(':') + 1);
    if (line.find(":freezer:") != std::string::npos) {
      std::ofstream(concat("/sys/fs/cgroup/freezer", path, "/freezer.state")) << "THAWED";
      return;
    }
    if (line.starts_with("0::")) std::ofstream(concat("/sys/fs/cgroup", path, "/cgroup.freeze")) << "0";
  }
}

/// Steps of a start in the engine, in the shim and in the init stage.
constexpr const char* start_steps[] = {"start.spawn",   "start.network",   "network.attach", "network.address",
                                       "network.veth",  "network.publish", "start.run",      "shim.spawn",
                                       "shim.create",   "cgroup.create",   "cgroup.limits",  "task.clone",
                                       "rootfs.attach", "rootfs.pivot",    "init.created",   "init.execute"};

TEST_F(FailpointTest, AFailureAtAnyStepOfAStartIsToldAndLeavesNothing) {
  for (const char* step : start_steps) {
    SCOPED_TRACE(step);
    restart_with(concat(step, "=error"));
    const std::string id = create(
        {.host = {{"NetworkMode", "bridge"},
                  {"Memory", 104857600},
                  {"PortBindings", json::object{{"80/tcp", json::array{json::object{{"HostPort", "18060"}}}}}}}});
    const Response response = client().post("/containers/" + id + "/start");
    EXPECT_GE(response.status, 400);
    EXPECT_NE(response.message().find(concat("failpoint ", step)), std::string::npos) << response.body;
    EXPECT_NE(text(at(inspect(id), "State.Status")), "running");
    EXPECT_FALSE(engine().has_died());
    expect_no_leaks();
  }
  restart_clean();
}

TEST_F(FailpointTest, AnEngineKilledAtAnyStepOfAStartLeavesNothing) {
  for (const char* step :
       {"start.spawn", "start.network", "network.attach", "network.veth", "network.publish", "start.run"}) {
    SCOPED_TRACE(step);
    restart_with(concat(step, "=kill"));
    const std::string id = create(
        {.host = {{"NetworkMode", "bridge"},
                  {"PortBindings", json::object{{"80/tcp", json::array{json::object{{"HostPort", "18061"}}}}}}}});
    try {
      client().post("/containers/" + id + "/start");
      ADD_FAILURE() << "the engine answered";
    } catch (const Error&) {  // the connection ended with the engine
    }
    ASSERT_TRUE(eventually([&] { return engine().has_died(); }));
    restart_clean();
    EXPECT_EQ(client().get("/containers/" + id + "/json").status, 200) << "the acknowledged create is kept";
    expect_no_leaks();
  }
}

TEST_F(FailpointTest, AnEngineKilledInARemovalLeavesTheWholeContainerOrNothing) {
  for (const bool before : {true, false}) {
    SCOPED_TRACE(before ? "before its rows go" : "between its rows and its files");
    const std::string id = create({.command = {"/payload", "write", "/kept", "data"}});
    start(id);
    ASSERT_EQ(wait(id), 0);
    const std::string directory = concat(engine().data_root(), "/containers/", id);
    ASSERT_TRUE(path_exists(directory));
    restart_with(before ? "remove.rows=kill" : "remove.files=kill");
    EXPECT_THROW(client().remove("/containers/" + id), Error);
    ASSERT_TRUE(eventually([&] { return engine().has_died(); }));
    restart_clean();
    EXPECT_EQ(client().get("/containers/" + id + "/json").status, before ? 200 : 404);
    EXPECT_EQ(path_exists(directory), before);
    if (!before) continue;
    EXPECT_NE(client().get("/containers/" + id + "/changes").body.find("/kept"), std::string::npos);
    remove(id);
  }
}

TEST_F(FailpointTest, AnEngineKilledInsideACommitForgetsOnlyWhatWasNotAcknowledged) {
  const std::string kept = create({.name = "acknowledged"});
  // Whichever commit it is that dies: what was answered with success before is there afterwards.
  for (int pass = 1; pass <= 12; ++pass) {
    SCOPED_TRACE(pass);
    engine().kill();
    engine().set_environment({concat("MYDOCKER_FAILPOINTS=database.commit=kill@", pass)});
    std::string acknowledged;
    try {
      engine().start();
      for (int i = 0; i < 4; ++i) {
        const Response response =
            client().post("/containers/create?name=try" + std::to_string(i), json::object{{"Image", "payload"}});
        if (response.status == 201) acknowledged = text(at(response.json(), "Id"));
        if (response.status == 201) client().remove("/containers/" + acknowledged + "?force=1");
        acknowledged.clear();
      }
    } catch (const Error&) {  // it ended, at its start or inside a request
    }
    restart_clean();
    EXPECT_EQ(client().get("/containers/" + kept + "/json").status, 200);
    const json::value left = client().get("/containers/json?all=1").json();
    for (const json::value& container : left.as_array()) {
      if (text(at(container, "Id")) != kept) remove(text(at(container, "Id")));
    }
  }
}

TEST_F(FailpointTest, APausedContainerThatEndsBeforeItIsThawedIsRemovedAndStopped) {
  restart_with("container.thaw=delay:100");
  for (const bool removal : {true, false}) {
    SCOPED_TRACE(removal ? "rm -f" : "stop");
    const std::string id = create({.command = {"/payload", "pause"}, .host = {{"NetworkMode", "none"}}});
    start(id);
    EXPECT_EQ(client().post("/containers/" + id + "/pause").status, 204);
    // Thawed behind the engine's back: the signal ends it while the engine is about to thaw it. Its output is still
    // held open then, and an end is told when the output has ended, too, or a grace is over.
    const int pid = static_cast<int>(at(inspect(id), "State.Pid").as_int64());
    const UniqueFd output = open_file(concat("/proc/", pid, "/fd/1"), O_WRONLY);
    thaw_behind_the_engine(pid);
    const Response response =
        removal ? client().remove("/containers/" + id + "?force=1") : client().post("/containers/" + id + "/stop?t=1");
    EXPECT_EQ(response.status, 204) << response.body;
    if (removal) {
      EXPECT_EQ(client().get("/containers/" + id + "/json").status, 404);
    } else {
      EXPECT_EQ(text(at(inspect(id), "State.Status")), "exited");
      remove(id);
    }
  }
  restart_clean();
}

TEST_F(FailpointTest, AnAttachDuringTheStartOfAShortProgramFailsNoStart) {
  restart_with("start.run=delay:500,start.events=delay:500");
  const std::string id = create({.command = {"/payload", "exit", "3"}});
  Response started;
  std::atomic<bool> answered = false;
  std::jthread starter([&] {
    started = client().post("/containers/" + id + "/start");
    answered = true;
  });
  // Some come while the program is being started, and reach a shim whose program has ended.
  std::vector<HttpStream> sessions;
  while (!answered && sessions.size() < 100) {
    sessions.push_back(client().hijack("/containers/" + id + "/attach?stream=1&stdout=1"));
    wait_readable(sessions.front().fd(), 20);
  }
  starter.join();
  EXPECT_EQ(started.status, 204) << started.body;
  EXPECT_EQ(wait(id), 3);
  EXPECT_EQ(text(at(inspect(id), "State.Error")), "");
  remove(id);  // those who came after the end wait for the next start: they end with the container
  for (HttpStream& session : sessions) EXPECT_EQ(session.read_to_end(), "");
  restart_clean();
}

}  // namespace
}  // namespace mydocker::test
