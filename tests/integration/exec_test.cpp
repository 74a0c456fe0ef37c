// Processes added to a running container.

#include <algorithm>
#include <atomic>
#include <csignal>
#include <mutex>
#include <thread>

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class ExecTest : public DaemonTest {};

TEST_F(ExecTest, OutputAndExitCodeComeBack) {
  const std::string id = run();
  const Outcome outcome = exec(id, {"sh", "-c", "echo out; echo err >&2; exit 7"});
  EXPECT_EQ(outcome.out, "out\n");
  EXPECT_EQ(outcome.err, "err\n");
  EXPECT_EQ(outcome.code, 7);
}

TEST_F(ExecTest, TheExitCodeIsVisibleWhenTheStreamEnds) {
  const std::string id = run();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(exec(id, {"/payload", "exit", std::to_string(i)}).code, i);  // exec() checks
}

TEST_F(ExecTest, ItSharesTheContainersNamespacesAndLimits) {
  const std::string id = run({.host = {{"NetworkMode", "none"}, {"PidsLimit", 50}}});
  const Outcome main_ns = exec(id, {"readlink", "/proc/1/ns/mnt", "/proc/1/ns/pid", "/proc/1/ns/net", "/proc/1/ns/uts",
                                    "/proc/1/ns/ipc", "/proc/1/ns/cgroup"});
  const Outcome own_ns = exec(id, {"readlink", "/proc/self/ns/mnt", "/proc/self/ns/pid", "/proc/self/ns/net",
                                   "/proc/self/ns/uts", "/proc/self/ns/ipc", "/proc/self/ns/cgroup"});
  EXPECT_EQ(own_ns.out, main_ns.out);
  const Outcome forks = exec(id, {"/payload", "forkbomb", "100"});
  EXPECT_LT(std::stoi(forks.out.substr(5)), 50) << forks.out;
}

TEST_F(ExecTest, UserWorkdirAndEnvironmentAreTaken) {
  const std::string id = run({.extra = {{"Env", json::array{"A=container", "B=container"}}}});
  EXPECT_EQ(exec(id, {"/payload", "id"}, {{"User", "1000"}}).out, "uid 1000 gid 1000 groups 1000 2000\n");
  EXPECT_EQ(exec(id, {"/payload", "pwd"}, {{"WorkingDir", "/tmp"}}).out, "/tmp\n");
  const std::string env = exec(id, {"/payload", "env"}, {{"Env", json::array{"A=exec"}}}).out;
  EXPECT_NE(env.find("A=exec\n"), std::string::npos) << env;
  EXPECT_NE(env.find("B=container\n"), std::string::npos) << env;
  EXPECT_NE(env.find("HOME=/root\n"), std::string::npos) << env;
}

TEST_F(ExecTest, ItHasTheContainersRestrictions) {
  const std::string id = run();
  const std::string main_caps = exec(id, {"sh", "-c", "grep -E '^(Cap|NoNew|Seccomp:)' /proc/1/status"}).out;
  const std::string own_caps = exec(id, {"/payload", "caps"}).out;
  EXPECT_EQ(own_caps, main_caps);
  EXPECT_NE(own_caps.find("Seccomp:\t2"), std::string::npos) << own_caps;
}

TEST_F(ExecTest, OnlyTheThreeDescriptorsAreOpen) {
  const std::string id = run();
  const std::string fds = exec(id, {"/payload", "fds"}).out;
  EXPECT_EQ(std::count(fds.begin(), fds.end(), '\n'), 3) << fds;
}

TEST_F(ExecTest, MissingProgramsAreToldInTheStream) {
  const std::string id = run();
  const Outcome missing = exec(id, {"nope"});
  EXPECT_EQ(missing.code, 127);
  EXPECT_NE(missing.out.find("exec: \"nope\": executable file not found in $PATH"), std::string::npos) << missing.out;
  const Outcome directory = exec(id, {"/etc"});
  EXPECT_EQ(directory.code, 126);
  const Outcome unknown = exec(id, {"true"}, {{"User", "nobody-here"}});
  EXPECT_EQ(unknown.code, 126) << unknown.out;
  EXPECT_NE(unknown.out.find("unable to find user nobody-here"), std::string::npos) << unknown.out;
}

TEST_F(ExecTest, ADetachedFailureIsAnHttpError) {
  const std::string id = run();
  const Response created = client().post("/containers/" + id + "/exec", json::object{{"Cmd", json::array{"nope"}}});
  ASSERT_EQ(created.status, 201);
  const std::string exec_id = text(at(created.json(), "Id"));
  const Response started = client().post("/exec/" + exec_id + "/start", json::object{{"Detach", true}});
  EXPECT_EQ(started.status, 400) << started.body;
}

TEST_F(ExecTest, StdinIsForwardedAndHalfCloseEndsIt) {
  const std::string id = run();
  const Response created =
      client().post("/containers/" + id + "/exec", json::object{{"Cmd", json::array{"/payload", "cat"}},
                                                                {"AttachStdin", true},
                                                                {"AttachStdout", true},
                                                                {"AttachStderr", true}});
  const std::string exec_id = text(at(created.json(), "Id"));
  HttpStream stream = client().hijack("/exec/" + exec_id + "/start", "{}");
  stream.write("through");
  stream.shutdown_write();
  EXPECT_EQ(demultiplex(stream.read_to_end()).out, "through");
}

TEST_F(ExecTest, ATerminalCanBeResized) {
  const std::string id = run();
  const Response created = client().post(
      "/containers/" + id + "/exec",
      json::object{{"Cmd", json::array{"/payload", "wait-winsize"}}, {"AttachStdout", true}, {"Tty", true}});
  const std::string exec_id = text(at(created.json(), "Id"));
  HttpStream stream = client().hijack("/exec/" + exec_id + "/start", R"({"Tty":true})");
  stream.read_until("ready");
  EXPECT_EQ(client().post("/exec/" + exec_id + "/resize?h=20&w=70").status, 200);
  EXPECT_NO_THROW(stream.read_until("20 70"));
}

TEST_F(ExecTest, StartingTwiceIsAConflict) {
  const std::string id = run();
  const Response created = client().post("/containers/" + id + "/exec", json::object{{"Cmd", json::array{"true"}}});
  const std::string exec_id = text(at(created.json(), "Id"));
  EXPECT_EQ(client().post("/exec/" + exec_id + "/start", json::object{{"Detach", true}}).status, 200);
  EXPECT_EQ(client().post("/exec/" + exec_id + "/start", json::object{{"Detach", true}}).status, 409);
}

TEST_F(ExecTest, UnknownOnesAre404AndStoppedContainersRefuse) {
  EXPECT_EQ(client().get("/exec/nope/json").status, 404);
  const std::string id = create();
  const Response response = client().post("/containers/" + id + "/exec", json::object{{"Cmd", json::array{"true"}}});
  EXPECT_EQ(response.status, 409);
  EXPECT_NE(response.message().find("is not running"), std::string::npos);
  const std::string running = run();
  EXPECT_EQ(client().post("/containers/" + running + "/exec", json::object{{"Cmd", json::array{}}}).status, 400);
}

TEST_F(ExecTest, ItsDeathWithTheContainerIs137) {
  const std::string id = run();
  const Response created =
      client().post("/containers/" + id + "/exec",
                    json::object{{"Cmd", json::array{"/payload", "ignore-term"}}, {"AttachStdout", true}});
  const std::string exec_id = text(at(created.json(), "Id"));
  HttpStream stream = client().hijack("/exec/" + exec_id + "/start", "{}");
  stream.read_until("ready");
  EXPECT_EQ(client().post("/containers/" + id + "/kill").status, 204);
  stream.read_to_end();
  EXPECT_TRUE(eventually(
      [&] { return at(client().get("/exec/" + exec_id + "/json").json(), "ExitCode") == json::value(137); }));
}

TEST_F(ExecTest, ManyAtOnceEachGetTheirOwnOutput) {
  const std::string id = run();
  std::vector<HttpStream> streams;
  for (int i = 0; i < 50; ++i) {
    const Response created = client().post(
        "/containers/" + id + "/exec",
        json::object{{"Cmd", json::array{"/payload", "echo", std::to_string(i)}}, {"AttachStdout", true}});
    ASSERT_EQ(created.status, 201);
    streams.push_back(client().hijack("/exec/" + text(at(created.json(), "Id")) + "/start", "{}"));
  }
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(demultiplex(streams[static_cast<std::size_t>(i)].read_to_end()).out, concat(i, "\n"));
  }
}

/// Execs of `echo`, several at once: what a client got, and what inspect says about each.
class ShortProgramTest : public ExecTest {
 protected:
  void expect_all_output(const std::string& id, int count) {
    constexpr int clients = 4;
    std::atomic<int> next{0};
    std::mutex mutex;
    std::vector<std::string> problems;
    const auto work = [&] {
      for (int number = next++; number < count; number = next++) {
        const std::string problem = find_problem(id, number);
        const std::lock_guard lock(mutex);
        if (!problem.empty()) problems.push_back(problem);
      }
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < clients; ++i) threads.emplace_back(work);
    for (std::thread& thread : threads) thread.join();
    EXPECT_TRUE(problems.empty()) << problems.size() << " of " << count << ", first: " << problems.front();
  }

 private:
  std::string find_problem(const std::string& id, int number) {
    const bool tty = number % 3 == 2;
    try {
      const Response created = client().post(
          "/containers/" + id + "/exec", json::object{{"Cmd", json::array{"/payload", "echo", std::to_string(number)}},
                                                      {"AttachStdout", true},
                                                      {"AttachStderr", true},
                                                      {"Tty", tty}});
      const std::string exec_id = text(at(created.json(), "Id"));
      HttpStream stream = client().hijack("/exec/" + exec_id + "/start", tty ? R"({"Tty":true})" : "{}");
      const std::string bytes = stream.read_to_end();
      const std::string out = tty ? bytes : demultiplex(bytes).out;
      const json::value after = client().get("/exec/" + exec_id + "/json").json();
      if (out == concat(number, tty ? "\r\n" : "\n") && at(after, "ExitCode") == json::value(0)) return "";
      return concat(number, " gave \"", out, "\", ", write_json(after));
    } catch (const Error& error) {
      return concat(number, ": ", error.message());
    }
  }
};

TEST_F(ShortProgramTest, NoOutputOfAnExecIsLost) {
  const std::string id = run();
  expect_all_output(id, 300);
}

TEST_F(ShortProgramTest, NorRightAfterTheEnginesDeath) {
  const std::string id = run();
  for (int round = 0; round < 4; ++round) {
    engine().restart();
    expect_all_output(id, 12);
  }
}

TEST_F(ShortProgramTest, AnExecWhoseEngineDiesHasItsOutputOrNoExitCode) {
  const std::string id = run();
  for (int round = 0; round < 8; ++round) {
    const Response created =
        client().post("/containers/" + id + "/exec",
                      json::object{{"Cmd", json::array{"/payload", "echo", "x"}}, {"AttachStdout", true}});
    const std::string exec_id = text(at(created.json(), "Id"));
    HttpStream stream = client().hijack("/exec/" + exec_id + "/start", "{}");
    engine().restart();
    std::string bytes;
    try {
      bytes = stream.read_to_end();
    } catch (const Error&) {  // reset with the engine: nothing was promised
    }
    const Response after = client().get("/exec/" + exec_id + "/json");
    if (after.status == 200 && at(after.json(), "ExitCode") == json::value(0)) {
      EXPECT_EQ(demultiplex(bytes).out, "x\n") << after.body;
    }
  }
}

TEST_F(ShortProgramTest, NoOutputOfARunIsLost) {
  for (int number = 0; number < 40; ++number) {
    const bool tty = number % 2 == 1;
    const std::string id = create({.command = {"/payload", "echo", std::to_string(number)}, .extra = {{"Tty", tty}}});
    HttpStream stream = client().hijack("/containers/" + id + "/attach?stream=1&stdout=1&stderr=1");
    start(id);
    const std::string bytes = stream.read_to_end();
    EXPECT_EQ(tty ? bytes : demultiplex(bytes).out, concat(number, tty ? "\r\n" : "\n"));
    EXPECT_EQ(wait(id), 0);
    remove(id);
  }
}

TEST_F(ExecTest, TheStreamEndsOnlyWhenTheEngineKnowsTheExitCode) {
  const std::string id = run();
  const Response created = client().post(
      "/containers/" + id + "/exec",
      json::object{{"Cmd", json::array{"sh", "-c", "read x; exit 9"}}, {"AttachStdin", true}, {"AttachStdout", true}});
  const std::string exec_id = text(at(created.json(), "Id"));
  HttpStream stream = client().hijack("/exec/" + exec_id + "/start", "{}");
  ASSERT_TRUE(
      eventually([&] { return at(client().get("/exec/" + exec_id + "/json").json(), "Pid").to_number<pid_t>() != 0; }));
  const pid_t pid = at(client().get("/exec/" + exec_id + "/json").json(), "Pid").to_number<pid_t>();
  const UniqueFd process = open_pidfd(pid);
  ASSERT_EQ(::kill(engine().pid(), SIGSTOP), 0);  // an engine that cannot take note
  stream.write("go\n");
  EXPECT_TRUE(wait_readable(process.get(), 10'000));
  EXPECT_THROW(stream.read_some(std::chrono::milliseconds(500)), Error);  // the session is held open for it
  ASSERT_EQ(::kill(engine().pid(), SIGCONT), 0);
  EXPECT_EQ(stream.read_to_end(), "");
  const json::value after = client().get("/exec/" + exec_id + "/json").json();
  EXPECT_EQ(at(after, "ExitCode"), json::value(9));
  EXPECT_EQ(at(after, "Running"), json::value(false));
}

TEST_F(ExecTest, PrivilegedHasTheEnginesRightsAndNoOtherHas) {
  const std::string id = run({.host = {{"CapDrop", json::array{"ALL"}}, {"NetworkMode", "none"}}});
  const auto effective = [&](json::object extra) {
    const std::string caps = exec(id, {"grep", "CapEff", "/proc/self/status"}, std::move(extra)).out;
    return std::stoull(caps.substr(caps.find('\t') + 1), nullptr, 16);
  };
  EXPECT_EQ(effective({}), 0U);
  EXPECT_NE(effective({{"Privileged", true}}) & (1U << 21), 0U);  // CAP_SYS_ADMIN
}

TEST_F(ExecTest, ADetachedOneRunsOnAndIsInspected) {
  const std::string id = run();
  const Response created =
      client().post("/containers/" + id + "/exec",
                    json::object{{"Cmd", json::array{"sh", "-c", "while [ ! -e /go ]; do sleep 0.02; done; exit 4"}},
                                 {"User", "0:0"},
                                 {"AttachStdout", true}});
  const std::string exec_id = text(at(created.json(), "Id"));
  const Response started = client().post("/exec/" + exec_id + "/start", json::object{{"Detach", true}});
  EXPECT_EQ(started.status, 200);
  EXPECT_EQ(started.body, "");
  const json::value running = client().get("/exec/" + exec_id + "/json").json();
  EXPECT_EQ(at(running, "Running"), json::value(true));
  EXPECT_TRUE(at(running, "ExitCode").is_null());
  EXPECT_EQ(text(at(running, "ProcessConfig.entrypoint")), "sh");
  EXPECT_EQ(text(at(running, "ProcessConfig.user")), "0:0");
  EXPECT_EQ(text(at(running, "ContainerID")), id);
  EXPECT_EQ(write_json(at(inspect(id), "ExecIDs")), concat("[\"", exec_id, "\"]"));
  EXPECT_EQ(exec(id, {"touch", "/go"}).code, 0);
  EXPECT_TRUE(
      eventually([&] { return at(client().get("/exec/" + exec_id + "/json").json(), "ExitCode") == json::value(4); }));
  EXPECT_TRUE(at(inspect(id), "ExecIDs").is_null());
}

TEST_F(ExecTest, DetachKeysLeaveTheProcessRunning) {
  const std::string id = run();
  const Response created = client().post("/containers/" + id + "/exec",
                                         json::object{{"Cmd", json::array{"sh", "-c", "echo ready; sleep 1000"}},
                                                      {"AttachStdin", true},
                                                      {"AttachStdout", true},
                                                      {"Tty", true},
                                                      {"DetachKeys", "ctrl-e,e"}});
  const std::string exec_id = text(at(created.json(), "Id"));
  HttpStream stream = client().hijack("/exec/" + exec_id + "/start", R"({"Tty":true})");
  stream.read_until("ready");
  HttpStream events = client().open("GET", "/events?filters=" + url_encode(R"({"event":["exec_detach"]})"));
  stream.write("\x05");
  stream.write("e");
  stream.read_to_end();
  EXPECT_EQ(text(at(parse_json(events.read_line().value_or("{}")), "Actor.Attributes.execID")), exec_id);
  EXPECT_EQ(at(client().get("/exec/" + exec_id + "/json").json(), "Running"), json::value(true));
  const Response bad = client().post("/containers/" + id + "/exec",
                                     json::object{{"Cmd", json::array{"true"}}, {"DetachKeys", "nonsense"}});
  EXPECT_EQ(bad.status, 400);
  EXPECT_EQ(bad.message(), "Invalid detach keys (nonsense) provided");
}

TEST_F(ExecTest, APausedContainerRefusesAtCreateAndAtStart) {
  const std::string id = run();
  const Response created = client().post("/containers/" + id + "/exec", json::object{{"Cmd", json::array{"true"}}});
  ASSERT_EQ(client().post("/containers/" + id + "/pause").status, 204);
  const std::string words = concat("container ", id, " is paused, unpause the container before exec");
  const Response refused = client().post("/containers/" + id + "/exec", json::object{{"Cmd", json::array{"true"}}});
  EXPECT_EQ(refused.status, 409);
  EXPECT_EQ(refused.message(), words);
  const std::string start = "/exec/" + text(at(created.json(), "Id")) + "/start";
  EXPECT_EQ(client().post(start, json::object{{"Detach", true}}).message(), words);
  ASSERT_EQ(client().post("/containers/" + id + "/unpause").status, 204);
  EXPECT_EQ(client().post(start, json::object{{"Detach", true}}).status, 200);
}

TEST_F(ExecTest, AProgramThatChangedItsRootChangesNobodyElses) {
  REQUIRE_USER_NAMESPACES();  // of a chroot, too: there the program's root is all that leads into the container
  const std::string id = run({.command = {"sh", "-c",
                                          "mkdir /jail && cp /payload /jail/ && echo whole > /mark && "
                                          "exec chroot /jail /payload pause"}});
  wait_ready(id);
  EXPECT_EQ(exec(id, {"cat", "/mark"}).out, "whole\n");
  const Response archive = client().get("/containers/" + id + "/archive?path=/mark");
  EXPECT_EQ(archive.status, 200) << archive.body;
}

}  // namespace
}  // namespace mydocker::test
