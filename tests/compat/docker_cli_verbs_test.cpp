// The official docker client's other verbs: containers' whole management, input and detaching, volumes.

#include <csignal>
#include <ctime>
#include <regex>

#include "tests/compat/docker_cli_fixture.h"

namespace mydocker::test {
namespace {

class DockerCliVerbsTest : public DockerClientTest {
 protected:
  /// `docker inspect -f`.
  std::string inspect_of(const std::string& name, const std::string& format) {
    return docker({"inspect", "-f", format, name}).out;
  }
};

INSTANTIATE_TEST_SUITE_P(Clients, DockerCliVerbsTest, testing::ValuesIn(find_docker_clients()), docker_client_name);

TEST_P(DockerCliVerbsTest, CreateStartAttachedWithInput) {
  ASSERT_EQ(docker({"create", "-i", "--name", "fed", "payload", "/payload", "cat"}).code, 0);
  const CommandResult result = docker({"start", "-ai", "fed"}, {.input = "through start\n"});
  EXPECT_EQ(result.out, "through start\n");
  EXPECT_EQ(result.err, "end\n") << "the end of the input reached the program";
  EXPECT_EQ(result.code, 0);
}

TEST_P(DockerCliVerbsTest, StdinHalfCloseKeepsTheOutput) {
  // `sort` says nothing before its input has ended.
  EXPECT_EQ(docker({"run", "-i", "--rm", "payload", "sort"}, {.input = "b\na\n"}).out, "a\nb\n");
  ASSERT_EQ(docker({"run", "-d", "--name", "host", "payload"}).code, 0);
  EXPECT_EQ(docker({"exec", "-i", "host", "sort"}, {.input = "d\nc\n"}).out, "c\nd\n");
}

TEST_P(DockerCliVerbsTest, DetachKeysOfOnesOwn) {
  ASSERT_EQ(docker({"run", "-dit", "--name", "shell", "payload", "sh"}).code, 0);
  RunningCommand attach = docker_terminal({"attach", "--detach-keys", "ctrl-x,y", "shell"});
  attach.write("echo in-$((40+2))\r");
  EXPECT_TRUE(attach.read_until("in-42")) << attach.out();
  attach.write("\x10\x11");  // the usual keys are input now
  attach.write("\r\recho still-$((50+5))\r");
  EXPECT_TRUE(attach.read_until("still-55")) << attach.out();
  attach.write("\x18y");
  EXPECT_NE(attach.wait().out.find("read escape sequence"), std::string::npos);

  RunningCommand exec = docker_terminal({"exec", "-it", "shell", "sh"});
  exec.write("echo exec-$((60+6))\r");
  EXPECT_TRUE(exec.read_until("exec-66")) << exec.out();
  exec.write("\x10\x11");
  EXPECT_NE(exec.wait().out.find("read escape sequence"), std::string::npos);
  EXPECT_EQ(inspect_of("shell", "{{.State.Running}}"), "true\n");
}

TEST_P(DockerCliVerbsTest, RunDetachesByItsKeysAndTheContainerStays) {
  RunningCommand run = docker_terminal({"run", "-it", "--name", "left", "payload", "sh"});
  run.write("echo here-$((30+3))\r");
  EXPECT_TRUE(run.read_until("here-33")) << run.out();
  run.write("\x10\x11");
  run.wait();
  EXPECT_EQ(inspect_of("left", "{{.State.Running}}"), "true\n");
}

TEST_P(DockerCliVerbsTest, KillStopWithSignals) {
  ASSERT_EQ(docker({"run", "-d", "--name", "trapping", "--stop-signal", "USR2", "payload", "/payload", "trap"}).code,
            0);
  wait_ready("trapping");
  EXPECT_EQ(docker({"stop", "trapping"}).code, 0);
  EXPECT_EQ(inspect_of("trapping", "{{.State.ExitCode}}"), "42\n");
  EXPECT_EQ(docker({"start", "trapping"}).code, 0);
  EXPECT_EQ(docker({"kill", "-s", "KILL", "trapping"}).code, 0);
  EXPECT_EQ(docker({"wait", "trapping"}).out, "137\n");
}

TEST_P(DockerCliVerbsTest, AnInterruptReachesTheProgram) {
  std::vector<std::string> words = {GetParam(), "run", "--rm", "--name", "interrupted", "payload", "/payload", "trap"};
  RunningCommand run(words, {.environment = client_environment()});
  EXPECT_TRUE(run.read_until("ready"));
  run.kill(SIGUSR2);
  EXPECT_EQ(run.wait().code, 42);
}

TEST_P(DockerCliVerbsTest, UpdateIsLive) {
  ASSERT_EQ(docker({"run", "-d", "--name", "updated", "-m", "64m", "payload"}).code, 0);
  EXPECT_EQ(
      docker({"update", "-m", "96m", "--memory-swap", "96m", "--cpus", "0.5", "--restart", "on-failure:3", "updated"})
          .code,
      0);
  EXPECT_EQ(inspect_of("updated", "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.RestartPolicy.Name}}"),
            "100663296 500000000 on-failure\n");
  EXPECT_EQ(docker({"exec", "updated", "sh", "-c",
                    "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max"})
                .out,
            "100663296\n");
}

TEST_P(DockerCliVerbsTest, CommitWithChanges) {
  ASSERT_EQ(docker({"run", "--name", "changed", "payload", "sh", "-c", "echo made > /made"}).code, 0);
  EXPECT_TRUE(
      docker({"commit", "-a", "me", "-m", "why", "-c", "ENV A=b", "changed", "made:1"}).out.starts_with("sha256:"));
  EXPECT_EQ(docker({"run", "--rm", "made:1", "sh", "-c", "cat /made; echo $A"}).out, "made\nb\n");
  EXPECT_NE(docker({"history", "made:1"}).out.find("why"), std::string::npos);
  EXPECT_EQ(docker({"rmi", "made:1"}).code, 0);
}

TEST_P(DockerCliVerbsTest, PsWithFilters) {
  ASSERT_EQ(docker({"run", "-d", "--name", "one", "--label", "kind=a", "payload"}).code, 0);
  ASSERT_EQ(docker({"create", "--name", "two", "--label", "kind=b", "payload"}).code, 0);
  ASSERT_EQ(docker({"run", "--name", "three", "payload", "/payload", "exit", "3"}).code, 3);
  const auto names = [&](std::vector<std::string> filters) {
    std::vector<std::string> arguments = {"ps", "-a", "--format", "{{.Names}}"};
    for (const std::string& filter : filters) arguments.insert(arguments.end(), {"--filter", filter});
    return docker(arguments).out;
  };
  EXPECT_EQ(names({"label=kind=a"}), "one\n");
  EXPECT_EQ(names({"status=created"}), "two\n");
  EXPECT_EQ(names({"exited=3"}), "three\n");
  EXPECT_EQ(names({"name=^/t"}), "three\ntwo\n");
  EXPECT_EQ(names({"ancestor=payload", "status=running"}), "one\n");
  EXPECT_EQ(docker({"ps", "-a", "-n", "1", "--format", "{{.Names}}"}).out, "three\n");
  EXPECT_NE(docker({"ps", "--filter", "nonsense=1"}).err.find("invalid filter 'nonsense'"), std::string::npos);
}

TEST_P(DockerCliVerbsTest, LogsSinceUntilAndBothStreams) {
  ASSERT_EQ(docker({"run", "--name", "talk", "payload", "/payload", "both", "2"}).code, 0);
  EXPECT_EQ(docker({"logs", "--since", "1h", "talk"}).out, "out 1\nout 2\n");
  EXPECT_EQ(docker({"logs", "--until", "1h", "talk"}).out, "");
  EXPECT_EQ(docker({"logs", "-n", "0", "talk"}).out, "");
  EXPECT_NE(docker({"logs", "--details", "talk"}).out.find("out 1"), std::string::npos);
}

TEST_P(DockerCliVerbsTest, EventsOfAnExec) {
  const std::string since = std::to_string(::time(nullptr));
  ASSERT_EQ(docker({"run", "-d", "--name", "watched", "payload"}).code, 0);
  ASSERT_EQ(docker({"exec", "watched", "true"}).code, 0);
  ASSERT_EQ(docker({"rm", "-f", "watched"}).code, 0);
  const std::string until = std::to_string(::time(nullptr) + 2);
  const std::string told =
      docker({"events", "--since", since, "--until", until, "--filter", "container=watched", "--format", "{{.Action}}"})
          .out;
  EXPECT_TRUE(std::regex_match(
      told, std::regex("create\n(attach\n)?(connect\n)?start\nexec_create: true\nexec_start: true\nexec_die\nkill\n"
                       "die\n(disconnect\n)?destroy\n")))
      << told;
}

TEST_P(DockerCliVerbsTest, RemoveAndPrune) {
  ASSERT_EQ(docker({"run", "-d", "--name", "busy", "payload"}).code, 0);
  const CommandResult refused = docker({"rm", "busy"});
  EXPECT_EQ(refused.code, 1);
  EXPECT_NE(refused.err.find("container is running"), std::string::npos) << refused.err;
  ASSERT_EQ(docker({"create", "--name", "idle", "payload"}).code, 0);
  EXPECT_NE(docker({"container", "prune", "-f"}).out.find("Deleted Containers"), std::string::npos);
  EXPECT_EQ(docker({"ps", "-a", "--format", "{{.Names}}"}).out, "busy\n");
  EXPECT_EQ(docker({"rm", "-f", "busy"}).out, "busy\n");
  EXPECT_NE(docker({"image", "prune", "-f"}).out.find("Total reclaimed space"), std::string::npos);
}

TEST_P(DockerCliVerbsTest, VolumesFromCreateToPrune) {
  EXPECT_EQ(docker({"volume", "create", "cli-volume"}).out, "cli-volume\n");
  EXPECT_EQ(docker({"run", "--rm", "-v", "cli-volume:/d", "payload", "sh", "-c", "echo kept > /d/f"}).code, 0);
  EXPECT_EQ(
      docker({"run", "--rm", "--mount", "type=volume,src=cli-volume,dst=/d,readonly", "payload", "cat", "/d/f"}).out,
      "kept\n");
  EXPECT_EQ(docker({"volume", "inspect", "-f", "{{.Name}} {{.Driver}}", "cli-volume"}).out, "cli-volume local\n");
  EXPECT_EQ(docker({"volume", "rm", "cli-volume"}).out, "cli-volume\n");
  EXPECT_NE(docker({"volume", "rm", "cli-volume"}).err.find("o such volume"), std::string::npos);  // No or no
  EXPECT_EQ(docker({"run", "--rm", "-v", "/anonymous", "payload", "true"}).code, 0);
  EXPECT_EQ(docker({"volume", "ls", "-q"}).out, "") << "--rm takes the anonymous ones along";
}

TEST_P(DockerCliVerbsTest, InspectSizesAndMissingObjects) {
  ASSERT_EQ(docker({"create", "--name", "sized", "payload"}).code, 0);
  const CommandResult sized = docker({"inspect", "-s", "-f", "{{.SizeRootFs}}", "sized"});
  EXPECT_GT(std::stol(sized.out), 1'000'000) << sized.err;
  EXPECT_NE(docker({"ps", "-as", "--format", "{{.Size}}"}).out.find("virtual"), std::string::npos);
  EXPECT_EQ(docker({"start", "nope"}).code, 1);
  EXPECT_EQ(docker({"network", "inspect", "nope"}).code, 1);
  EXPECT_EQ(docker({"volume", "inspect", "nope"}).code, 1);
}

TEST_P(DockerCliVerbsTest, HealthOfTheListAndStats) {
  ASSERT_EQ(docker({"run", "-d", "--name", "counted", "payload"}).code, 0);
  const CommandResult stats = docker({"stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", "counted"});
  EXPECT_EQ(stats.out, "counted 1\n") << stats.err;
  EXPECT_NE(docker({"stats", "--no-stream"}).out.find("counted"), std::string::npos);
}

}  // namespace
}  // namespace mydocker::test
