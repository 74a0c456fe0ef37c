// The official docker client, unchanged, against our socket: the newest one on PATH and Debian's, where both exist.

#include <csignal>
#include <ctime>
#include <regex>

#include "engine/base/sys.h"
#include "tests/compat/docker_cli_fixture.h"

namespace mydocker::test {
namespace {

class DockerCliTest : public DockerClientTest {};

INSTANTIATE_TEST_SUITE_P(Clients, DockerCliTest, testing::ValuesIn(find_docker_clients()), docker_client_name);

TEST_P(DockerCliTest, RunForeground) {
  const CommandResult result = docker({"run", "payload", "sh", "-c", "echo out; echo err >&2; exit 3"});
  EXPECT_EQ(result.code, 3);
  EXPECT_EQ(result.out, "out\n");
  EXPECT_EQ(result.err, "err\n");
}

TEST_P(DockerCliTest, RunRemovesWithRm) {
  EXPECT_EQ(docker({"run", "--rm", "payload", "true"}).code, 0);
  EXPECT_EQ(docker({"run", "--rm", "payload", "false"}).code, 1);
  EXPECT_EQ(docker({"ps", "-aq"}).out, "");
}

TEST_P(DockerCliTest, RunWithLimits) {
  const CommandResult result =
      docker({"run", "--rm", "--cpus=0.5", "--memory=100m", "--pids-limit", "50", "payload", "sh", "-c",
              "cd /sys/fs/cgroup; cat memory.max 2>/dev/null || cat memory/memory.limit_in_bytes; "
              "cat pids.max 2>/dev/null || cat pids/pids.max"});
  EXPECT_EQ(result.out, "104857600\n50\n") << result.err;
}

TEST_P(DockerCliTest, RunWithPipedStdin) {
  const CommandResult result = docker({"run", "-i", "--rm", "payload", "/payload", "cat"}, {.input = "piped\ninput"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "piped\ninput");
}

TEST_P(DockerCliTest, RunInteractiveTerminal) {
  RunningCommand command = docker_terminal({"run", "-it", "--rm", "payload", "sh"});
  command.write("tty; echo $TERM; exit 6\r");
  EXPECT_TRUE(command.read_until("/dev/pts/0")) << command.out();
  EXPECT_TRUE(command.read_until("xterm")) << command.out();
  EXPECT_EQ(command.wait().code, 6);
}

TEST_P(DockerCliTest, RunDetachedPsStopRm) {
  const CommandResult started = docker({"run", "-d", "--name", "web", "payload"});
  EXPECT_TRUE(std::regex_match(started.out, std::regex("[0-9a-f]{64}\n"))) << started.out << started.err;
  const CommandResult ps = docker({"ps", "--format", "{{.Names}} {{.Image}} {{.State}}"});
  EXPECT_EQ(ps.out, "web payload running\n") << ps.err;
  EXPECT_EQ(docker({"stop", "-t", "5", "web"}).out, "web\n");
  EXPECT_EQ(docker({"ps", "-q"}).out, "");
  EXPECT_NE(docker({"ps", "-a"}).out.find("Exited (0)"), std::string::npos);
  EXPECT_EQ(docker({"start", "web"}).out, "web\n");
  EXPECT_EQ(docker({"kill", "web"}).out, "web\n");
  EXPECT_EQ(docker({"rm", "web"}).out, "web\n");
}

TEST_P(DockerCliTest, RunExitCodes) {
  EXPECT_EQ(docker({"run", "--rm", "payload", "nosuch"}).code, 127);
  EXPECT_EQ(docker({"run", "--rm", "payload", "/etc"}).code, 126);
  EXPECT_EQ(docker({"run", "--rm", "127.0.0.1:1/none:1"}).code, 125);
  EXPECT_EQ(docker({"run", "--rm", "--memory=1", "payload"}).code, 125);
  EXPECT_EQ(docker({"ps", "-aq"}).out, "");
}

TEST_P(DockerCliTest, Logs) {
  ASSERT_EQ(docker({"run", "--name", "talk", "payload", "/payload", "both", "3"}).code, 0);
  const CommandResult logs = docker({"logs", "talk"});
  EXPECT_EQ(logs.out, "out 1\nout 2\nout 3\n");
  EXPECT_EQ(logs.err, "err 1\nerr 2\nerr 3\n");
  // Which of the two streams wrote last is nobody's promise; how many lines there are is.
  const CommandResult tail = docker({"logs", "--tail", "2", "-t", "talk"});
  const std::string both = tail.out + tail.err;
  EXPECT_TRUE(std::regex_match(both, std::regex("([0-9-]+T[0-9:.]+Z (out|err) [23]\n){2}"))) << both;
}

TEST_P(DockerCliTest, LogsFollow) {
  ASSERT_EQ(docker({"run", "-d", "--name", "ticking", "payload", "/payload", "seq", "1000"}).code, 0);
  std::vector<std::string> arguments = {GetParam(), "logs", "-f", "ticking"};
  RunningCommand follow(arguments, {.environment = client_environment()});
  EXPECT_TRUE(follow.read_until("\n100\n"));
  EXPECT_EQ(docker({"rm", "-f", "ticking"}).code, 0);
  EXPECT_EQ(follow.wait().code, 0);
}

TEST_P(DockerCliTest, Exec) {
  ASSERT_EQ(docker({"run", "-d", "--name", "host", "payload"}).code, 0);
  const CommandResult result = docker({"exec", "host", "sh", "-c", "echo in; exit 4"});
  EXPECT_EQ(result.out, "in\n");
  EXPECT_EQ(result.code, 4);
  EXPECT_EQ(docker({"exec", "-i", "host", "/payload", "cat"}, {.input = "fed"}).out, "fed");
  EXPECT_EQ(
      docker({"exec", "-e", "A=1", "-w", "/tmp", "-u", "1000", "host", "sh", "-c", "echo $A $(pwd) $(id -u)"}).out,
      "1 /tmp 1000\n");
  EXPECT_EQ(docker({"exec", "host", "nosuch"}).code, 127);
  RunningCommand terminal = docker_terminal({"exec", "-it", "host", "sh"});
  terminal.write("tty; exit 9\r");
  EXPECT_TRUE(terminal.read_until("/dev/pts/")) << terminal.out();
  EXPECT_EQ(terminal.wait().code, 9);
}

TEST_P(DockerCliTest, AttachAndDetachKeys) {
  ASSERT_EQ(docker({"run", "-dit", "--name", "shell", "payload", "sh"}).code, 0);
  RunningCommand attach = docker_terminal({"attach", "shell"});
  attach.write("echo attached-$((40+2))\r");
  EXPECT_TRUE(attach.read_until("attached-42")) << attach.out();
  attach.write("\x10\x11");
  EXPECT_NE(attach.wait().out.find("read escape sequence"), std::string::npos);
  EXPECT_EQ(docker({"inspect", "-f", "{{.State.Running}}", "shell"}).out, "true\n");
}

TEST_P(DockerCliTest, InspectTopDiffPortRename) {
  ASSERT_EQ(docker({"run", "-d", "--name", "all", "-p", "127.0.0.1:18100:80", "payload", "sh", "-c",
                    "echo x > /new; /payload listen 80 y"})
                .code,
            0);
  wait_ready("all");
  EXPECT_EQ(docker({"inspect", "-f", "{{.State.Status}} {{.HostConfig.NetworkMode}}", "all"}).out.substr(0, 8),
            "running ");
  EXPECT_NE(docker({"top", "all"}).out.find("/payload listen"), std::string::npos);
  EXPECT_NE(docker({"diff", "all"}).out.find("A /new"), std::string::npos);
  EXPECT_EQ(docker({"port", "all"}).out, "80/tcp -> 127.0.0.1:18100\n");
  EXPECT_EQ(docker({"rename", "all", "other"}).code, 0);
  EXPECT_EQ(docker({"pause", "other"}).out, "other\n");
  EXPECT_EQ(docker({"unpause", "other"}).out, "other\n");
  EXPECT_EQ(docker({"restart", "-t", "1", "other"}).out, "other\n");
}

TEST_P(DockerCliTest, Images) {
  EXPECT_NE(docker({"images"}).out.find("payload"), std::string::npos);
  EXPECT_EQ(docker({"tag", "payload", "copy:v1"}).code, 0);
  const std::string file = scratch("image.tar");
  EXPECT_EQ(docker({"save", "-o", file, "copy:v1"}).code, 0);
  EXPECT_NE(docker({"rmi", "copy:v1"}).out.find("Untagged: copy:v1"), std::string::npos);
  EXPECT_NE(docker({"load", "-i", file}).out.find("Loaded image: copy:v1"), std::string::npos);
  EXPECT_EQ(docker({"image", "inspect", "-f", "{{.Architecture}}", "copy:v1"}).out, "amd64\n");
  EXPECT_NE(docker({"history", "copy:v1"}).out.find("test"), std::string::npos);
  EXPECT_EQ(docker({"rmi", "copy:v1"}).code, 0);
}

TEST_P(DockerCliTest, ExportAndImport) {
  ASSERT_EQ(docker({"create", "--name", "source", "payload"}).code, 0);
  const std::string file = scratch("rootfs.tar");
  EXPECT_EQ(docker({"export", "-o", file, "source"}).code, 0);
  EXPECT_TRUE(docker({"import", file, "imported:1"}).out.starts_with("sha256:"));
  EXPECT_EQ(docker({"run", "--rm", "imported:1", "/payload", "echo", "hi"}).out, "hi\n");
  EXPECT_EQ(docker({"rmi", "imported:1"}).code, 0);
}

TEST_P(DockerCliTest, PullTheBundledImage) {
  const CommandResult pulled = docker({"pull", "busybox:bundled"});
  EXPECT_EQ(pulled.code, 0) << pulled.err;
  EXPECT_EQ(docker({"run", "--rm", "busybox:bundled", "echo", "bundled"}).out, "bundled\n");
  EXPECT_EQ(docker({"rmi", "busybox:bundled"}).code, 0);
}

TEST_P(DockerCliTest, InfoVersionWaitEvents) {
  EXPECT_EQ(docker({"version", "-f", "{{.Server.Os}}"}).out, "linux\n");
  EXPECT_EQ(docker({"info", "-f", "{{.Driver}}"}).out, "overlay2\n");
  ASSERT_EQ(docker({"run", "-d", "--name", "short", "payload", "/payload", "exit", "5"}).code, 0);
  EXPECT_EQ(docker({"wait", "short"}).out, "5\n");
  // Older clients cut the time to seconds: the next but one is surely after the event.
  const std::string until = std::to_string(::time(nullptr) + 2);
  const CommandResult events =
      docker({"events", "--since", "10m", "--until", until, "--filter", "event=die", "--format", "{{.Action}}"});
  EXPECT_EQ(events.out.substr(0, 4), "die\n") << events.err;
  EXPECT_NE(docker({"network", "ls"}).out.find("bridge"), std::string::npos);
}

TEST_P(DockerCliTest, MissingThingsAreToldAsDockerTellsThem) {
  EXPECT_NE(docker({"logs", "nope"}).err.find("No such container: nope"), std::string::npos);
  EXPECT_NE(docker({"inspect", "nope"}).err.find("No such object: nope"), std::string::npos);
  EXPECT_NE(docker({"rmi", "nope"}).err.find("No such image: nope"), std::string::npos);
}

TEST_P(DockerCliTest, HealthIsShownAndFiltered) {
  const CommandResult started = docker({"run", "-d", "--name", "well", "--health-cmd", "echo fine", "--health-interval",
                                        "50ms", "--health-retries", "2", "payload", "/payload", "pause"});
  ASSERT_EQ(started.code, 0) << started.err;
  EXPECT_TRUE(
      eventually([&] { return docker({"inspect", "-f", "{{.State.Health.Status}}", "well"}).out == "healthy\n"; }));
  EXPECT_EQ(docker({"ps", "-q", "--no-trunc", "--filter", "health=healthy"}).out, started.out);
  EXPECT_NE(docker({"ps"}).out.find("(healthy)"), std::string::npos);
  EXPECT_EQ(docker({"inspect", "-f", "{{(index .State.Health.Log 0).Output}}", "well"}).out, "fine\n\n");
}

TEST_P(DockerCliTest, LogDriversAndTheirOptions) {
  ASSERT_EQ(docker({"run", "--name", "compact", "--log-driver", "local", "payload", "seq", "1", "100"}).code, 0);
  EXPECT_EQ(docker({"logs", "--tail", "2", "compact"}).out, "99\n100\n");
  ASSERT_EQ(docker({"run", "--name", "tagged", "--label", "a=1", "--log-opt", "labels=a", "--log-opt", "tag={{.Name}}",
                    "payload", "echo", "x"})
                .code,
            0);
  EXPECT_EQ(docker({"logs", "--details", "tagged"}).out, "a=1,tag=tagged x\n");
  ASSERT_EQ(docker({"run", "-d", "--name", "remote", "--log-driver", "syslog", "--log-opt",
                    "syslog-address=udp://127.0.0.1:9", "payload", "sh", "-c", "echo one; echo two >&2; echo three"})
                .code,
            0);
  const CommandResult followed = docker({"logs", "-f", "remote"});
  EXPECT_EQ(followed.out, "one\nthree\n");
  EXPECT_EQ(followed.err, "two\n");
  ASSERT_EQ(docker({"run", "--name", "unread", "--log-driver", "none", "payload", "echo", "x"}).out, "x\n");
  EXPECT_NE(docker({"logs", "unread"}).err.find("configured logging driver does not support reading"),
            std::string::npos);
  const CommandResult refused = docker({"create", "--log-opt", "nope=1", "payload"});
  EXPECT_NE(refused.code, 0);
  EXPECT_NE(refused.err.find("unknown log opt 'nope' for json-file log driver"), std::string::npos) << refused.err;
}

TEST_P(DockerCliTest, ExecAndItsWays) {
  ASSERT_EQ(docker({"run", "-d", "--name", "host", "payload", "/payload", "pause"}).code, 0);
  EXPECT_EQ(
      docker({"exec", "-u", "1000", "-e", "A=b", "-w", "/tmp", "host", "sh", "-c", "echo $(id -u) $A $(pwd)"}).out,
      "1000 b /tmp\n");
  EXPECT_EQ(docker({"exec", "host", "sh", "-c", "exit 9"}).code, 9);
  EXPECT_EQ(docker({"exec", "-d", "host", "touch", "/made"}).code, 0);
  EXPECT_TRUE(eventually([&] { return docker({"exec", "host", "test", "-e", "/made"}).code == 0; }));
  ASSERT_EQ(docker({"pause", "host"}).code, 0);
  EXPECT_NE(docker({"exec", "host", "true"}).err.find("is paused, unpause the container before exec"),
            std::string::npos);
  EXPECT_EQ(docker({"kill", "host"}).code, 0);
}

TEST_P(DockerCliTest, ARestartPolicyIsCounted) {
  ASSERT_EQ(
      docker({"run", "-d", "--name", "again", "--restart", "on-failure:2", "payload", "/payload", "exit", "5"}).code,
      0);
  EXPECT_TRUE(eventually([&] {
    return docker({"inspect", "-f", "{{.RestartCount}} {{.State.Status}} {{.State.ExitCode}}", "again"}).out ==
           "2 exited 5\n";
  }));
}

}  // namespace
}  // namespace mydocker::test
