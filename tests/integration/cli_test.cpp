// Our own client: same flags, messages, columns and exit codes as docker's.

#include <regex>

#include "engine/base/atomic_file.h"
#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class CliTest : public DaemonTest {};

TEST_F(CliTest, RunShowsTheOutputAndTakesTheExitCode) {
  const CommandResult result = mydocker({"run", "--rm", "payload", "sh", "-c", "echo out; echo err >&2; exit 3"});
  EXPECT_EQ(result.code, 3);
  EXPECT_EQ(result.out, "out\n");
  EXPECT_EQ(result.err, "err\n");
  EXPECT_EQ(mydocker({"ps", "-aq"}).out, "");
}

TEST_F(CliTest, TheMainJobShowsItsLimits) {
  const CommandResult result = mydocker(
      {"run", "--rm", "--cpus=0.5", "--memory=100m", "payload", "sh", "-c",
       "cd /sys/fs/cgroup; cat cpu.max 2>/dev/null || echo $(cat cpu/cpu.cfs_quota_us) $(cat cpu/cpu.cfs_period_us); "
       "cat memory.max 2>/dev/null || cat memory/memory.limit_in_bytes"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "50000 100000\n104857600\n");
}

TEST_F(CliTest, PipedInputReachesTheContainer) {
  const CommandResult result = mydocker({"run", "-i", "--rm", "payload", "/payload", "cat"}, {.input = "through\n"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "through\n");
  EXPECT_EQ(result.err, "end\n");
}

TEST_F(CliTest, ATerminalIsATerminal) {
  const std::vector<std::string> environment = client_environment();
  RunningCommand command({program("mydocker"), "run", "-it", "--rm", "payload", "sh"},
                         {.environment = environment, .terminal = true});
  command.write("tty; /payload winsize; exit 5\r");
  EXPECT_TRUE(command.read_until("/dev/pts/0")) << command.out();
  EXPECT_TRUE(command.read_until("24 80")) << command.out();
  EXPECT_EQ(command.wait().code, 5);
}

TEST_F(CliTest, DetachKeysLeaveAnExecAndAreTold) {
  ASSERT_EQ(mydocker({"run", "-d", "--name", "held", "payload"}).code, 0);
  const std::vector<std::string> environment = client_environment();
  RunningCommand command({program("mydocker"), "exec", "-it", "held", "sh", "-c", "echo ready; exec /payload pause"},
                         {.environment = environment, .terminal = true});
  ASSERT_TRUE(command.read_until("ready")) << command.out();
  command.write("\x10\x11");
  EXPECT_TRUE(command.read_until("read escape sequence")) << command.out();
  EXPECT_EQ(command.wait().code, 1);
  const json::value ids = at(inspect("held"), "ExecIDs");
  EXPECT_EQ(ids.as_array().size(), 1U) << "it runs on: " << write_json(ids);
}

TEST_F(CliTest, DetachedRunPrintsTheId) {
  const CommandResult result = mydocker({"run", "-d", "--name", "detached", "payload"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(std::regex_match(result.out, std::regex("[0-9a-f]{64}\n"))) << result.out;
  const CommandResult ps = mydocker({"ps"});
  EXPECT_TRUE(ps.out.starts_with("CONTAINER ID   IMAGE     COMMAND")) << ps.out;
  EXPECT_NE(ps.out.find("detached"), std::string::npos);
  EXPECT_NE(ps.out.find("Up "), std::string::npos);
  EXPECT_EQ(mydocker({"stop", "-t", "5", "detached"}).out, "detached\n");
  EXPECT_EQ(mydocker({"rm", "detached"}).out, "detached\n");
}

TEST_F(CliTest, ExitCodesOfTheEngineItself) {
  const CommandResult flag = mydocker({"run", "--no-such-flag", "payload"});
  EXPECT_EQ(flag.code, 125);
  EXPECT_NE(flag.err.find("unknown flag: --no-such-flag"), std::string::npos) << flag.err;
  EXPECT_EQ(mydocker({"run", "--rm", "payload", "nosuch"}).code, 127);
  EXPECT_EQ(mydocker({"run", "--rm", "payload", "/etc"}).code, 126);
  const CommandResult reference = mydocker({"run", "--rm", "UPPER"});
  EXPECT_EQ(reference.code, 125);
  EXPECT_NE(reference.err.find("must be lowercase"), std::string::npos) << reference.err;
  EXPECT_EQ(mydocker({"no-such-command"}).code, 1);
  EXPECT_EQ(mydocker({"ps", "-aq"}).out, "");
}

TEST_F(CliTest, AMissingImageIsPulledAndTheFailureTold) {
  const CommandResult result = mydocker({"run", "--rm", "127.0.0.1:1/none/such:1"});
  EXPECT_EQ(result.code, 125);
  EXPECT_NE(result.err.find("Unable to find image '127.0.0.1:1/none/such:1' locally"), std::string::npos) << result.err;
}

TEST_F(CliTest, ExecLogsTopAndPort) {
  ASSERT_EQ(mydocker({"run", "-d", "--name", "web", "-p", "18090:80", "payload", "/payload", "listen", "80", "x"}).code,
            0);
  EXPECT_EQ(mydocker({"exec", "web", "sh", "-c", "echo in; exit 4"}).code, 4);
  EXPECT_EQ(mydocker({"exec", "-i", "web", "/payload", "cat"}, {.input = "fed"}).out, "fed");
  EXPECT_EQ(mydocker({"logs", "web"}).out, "ready\n");
  EXPECT_NE(mydocker({"top", "web"}).out.find("/payload listen 80 x"), std::string::npos);
  EXPECT_NE(mydocker({"port", "web"}).out.find("80/tcp -> 0.0.0.0:18090"), std::string::npos);
  EXPECT_EQ(mydocker({"rm", "-f", "web"}).out, "web\n");
}

TEST_F(CliTest, InspectFormatsGoTemplates) {
  ASSERT_EQ(mydocker({"run", "-d", "--name", "formatted", "--env", "A=1", "payload"}).code, 0);
  EXPECT_EQ(mydocker({"inspect", "--format", "{{.State.Pid}}", "formatted"}).out, concat(pid_of("formatted"), "\n"));
  EXPECT_EQ(mydocker({"inspect", "-f", "{{.Name}} {{.State.Status}}", "formatted"}).out, "/formatted running\n");
  EXPECT_EQ(mydocker({"inspect", "-f", "{{json .Config.Cmd}}", "formatted"}).out, "[\"/payload\",\"pause\"]\n");
  EXPECT_EQ(mydocker({"inspect", "-f", "{{range .Config.Env}}{{.}};{{end}}", "formatted"}).out.substr(0, 4), "A=1;");
  EXPECT_EQ(mydocker({"inspect", "-f", "{{index .Config.Cmd 0}}", "formatted"}).out, "/payload\n");
  EXPECT_EQ(mydocker({"inspect", "-f", "{{if .State.Running}}yes{{else}}no{{end}}", "formatted"}).out, "yes\n");
  const CommandResult missing = mydocker({"inspect", "nope"});
  EXPECT_EQ(missing.code, 1);
  EXPECT_NE(missing.err.find("No such object: nope"), std::string::npos) << missing.err;
}

TEST_F(CliTest, ImagesSaveLoadTagHistoryRmi) {
  EXPECT_TRUE(mydocker({"images"}).out.starts_with("REPOSITORY   TAG")) << mydocker({"images"}).out;
  EXPECT_EQ(mydocker({"tag", "payload", "copy:v2"}).code, 0);
  const std::string file = scratch("cli.tar");
  EXPECT_EQ(mydocker({"save", "-o", file, "copy:v2"}).code, 0);
  EXPECT_NE(mydocker({"history", "copy:v2"}).out.find("test"), std::string::npos);
  EXPECT_NE(mydocker({"rmi", "copy:v2"}).out.find("Untagged: copy:v2"), std::string::npos);
  EXPECT_NE(mydocker({"load", "-i", file}).out.find("Loaded image: copy:v2"), std::string::npos);
  EXPECT_EQ(mydocker({"rmi", "copy:v2"}).code, 0);
  EXPECT_EQ(mydocker({"image", "inspect", "copy:v2"}).code, 1);
}

TEST_F(CliTest, ExportImportDiffRename) {
  ASSERT_EQ(mydocker({"run", "--name", "changed", "payload", "sh", "-c", "echo x > /new"}).code, 0);
  EXPECT_NE(mydocker({"diff", "changed"}).out.find("A /new\n"), std::string::npos);
  EXPECT_EQ(mydocker({"rename", "changed", "renamed"}).code, 0);
  const std::string file = scratch("export.tar");
  EXPECT_EQ(mydocker({"export", "-o", file, "renamed"}).code, 0);
  EXPECT_EQ(mydocker({"import", file, "imported:1"}).code, 0);
  EXPECT_EQ(mydocker({"run", "--rm", "imported:1", "cat", "/new"}).out, "x\n");
  EXPECT_EQ(mydocker({"rm", "renamed"}).code, 0);
  EXPECT_EQ(mydocker({"rmi", "imported:1"}).code, 0);
}

TEST_F(CliTest, CreateStartAttachWaitKill) {
  const std::string id = mydocker({"create", "--name", "steps", "payload", "/payload", "echo", "attached"}).out;
  EXPECT_EQ(id.size(), 65U);
  EXPECT_EQ(mydocker({"start", "-a", "steps"}).out, "attached\n");
  EXPECT_EQ(mydocker({"wait", "steps"}).out, "0\n");
  EXPECT_EQ(mydocker({"start", "steps"}).out, "steps\n");
  ASSERT_EQ(mydocker({"run", "-d", "--name", "victim", "payload"}).code, 0);
  EXPECT_EQ(mydocker({"kill", "victim"}).out, "victim\n");
  EXPECT_EQ(mydocker({"wait", "victim"}).out, "137\n");
  EXPECT_EQ(mydocker({"restart", "-t", "1", "victim"}).out, "victim\n");
}

TEST_F(CliTest, InfoVersionAndEvents) {
  EXPECT_NE(mydocker({"version"}).out.find("API version"), std::string::npos);
  EXPECT_EQ(mydocker({"version", "--format", "{{.Server.APIVersion}}"}).out, "1.51\n");
  EXPECT_NE(mydocker({"info"}).out.find("Storage Driver: overlay2"), std::string::npos);
  mydocker({"run", "--rm", "payload", "true"});
  const CommandResult events = mydocker({"events", "--since", "1h", "--until", "0s", "--filter", "event=die"});
  EXPECT_NE(events.out.find("container die "), std::string::npos) << events.out << events.err;
}

TEST_F(CliTest, ClosedStandardStreamsAreAsIfEmpty) {
  ASSERT_EQ(mydocker({"run", "-d", "--name", "up", "payload"}).code, 0);
  const auto shell = [&](const std::string& line) {
    return run_command({"sh", "-c", line, program("mydocker")}, {.environment = client_environment()});
  };
  EXPECT_EQ(shell("\"$0\" run --rm payload echo hi <&-").out, "hi\n");
  EXPECT_EQ(shell("\"$0\" run --rm -i payload /payload cat <&-").err, "end\n");
  EXPECT_EQ(shell("\"$0\" exec -i up sh -c 'cat; echo done' <&-").out, "done\n");
  const CommandResult silent = shell("\"$0\" exec up sh -c 'echo x; exit 3' >&-");
  EXPECT_EQ(silent.code, 3) << silent.err;
  EXPECT_EQ(silent.out, "");
  EXPECT_EQ(shell("\"$0\" ps -q <&- 2>&- | wc -l").out, "1\n");
}

TEST_F(CliTest, ACopyGoesWhereALinkInTheContainerLeads) {
  ASSERT_EQ(mydocker({"run", "-d", "--name", "box", "payload"}).code, 0);
  ASSERT_EQ(mydocker({"exec", "box", "sh", "-c",
                      "mkdir /dir; echo old > /target; ln -s target /link; ln -s /later /dangling; ln -s /dir /way"})
                .code,
            0);
  const std::string file = scratch("copied");
  write_file_atomically(file, "new\n");
  for (const std::string place : {"/link", "/dangling", "/way"}) {
    const CommandResult copied = mydocker({"cp", file, "box:" + place});
    EXPECT_EQ(copied.code, 0) << place << copied.err;
    EXPECT_EQ(copied.out + copied.err, "") << "only a terminal is told";
  }
  EXPECT_EQ(mydocker({"exec", "box", "cat", "/target", "/later", "/dir/copied"}).out, "new\nnew\nnew\n");
  EXPECT_EQ(mydocker({"exec", "box", "sh", "-c", "readlink /link; readlink /dangling"}).out, "target\n/later\n");
}

TEST_F(CliTest, ACopyRefusesWhatCannotBeItsTarget) {
  ASSERT_EQ(mydocker({"run", "-d", "--name", "box", "payload"}).code, 0);
  const CommandResult device = mydocker({"cp", "box:/payload", "/dev/null"});
  EXPECT_EQ(device.code, 1);
  EXPECT_EQ(device.err, "invalid output path: \"/dev/null\" must be a directory or a regular file: got a device\n");
  const std::string file = scratch("copied");
  write_file_atomically(file, "new\n");
  EXPECT_EQ(mydocker({"cp", file, "box:/dev/null"}).err,
            "destination \"box:/dev/null\" must be a directory or a regular file\n");
  for (const std::string place : {"/payload", "/nosuch"}) {
    const CommandResult stream = mydocker({"cp", "-", "box:" + place}, {.input = "x"});
    EXPECT_EQ(stream.code, 1);
    EXPECT_EQ(stream.err, concat("destination \"box:", place, "\" must be a directory\n"));
  }
  EXPECT_EQ(mydocker({"cp", file + "-missing", "box:/tmp"}).err,
            concat("lstat ", file, "-missing: no such file or directory\n"));
}

TEST_F(CliTest, WordsOfWhatIsNotThere) {
  const CommandResult failed = mydocker({"run", "-d", "--name", "failed", "payload", "nosuch"});
  EXPECT_EQ(failed.code, 127);
  EXPECT_TRUE(std::regex_match(failed.out, std::regex("[0-9a-f]{64}\n"))) << "it is there: " << failed.out;
  EXPECT_EQ(mydocker({"port", "failed", "81"}).err, "Error: No public port '81' published for failed\n");
  EXPECT_EQ(mydocker({"port", "failed", "81/udp"}).err, "Error: No public port '81/udp' published for failed\n");
  EXPECT_EQ(mydocker({"port", "failed", "x"}).err,
            "Error: invalid port (x): strconv.ParseUint: parsing \"x\": invalid syntax\n");
  const CommandResult empty = mydocker({"inspect", ""});
  EXPECT_EQ(empty.out, "[]\n");
  EXPECT_EQ(empty.err, "invalid container name or ID: value is empty\n");
  EXPECT_EQ(mydocker({"inspect", "a b"}).err, "Error: No such object: a b\n");
  EXPECT_NE(mydocker({"export", "-o", "/nosuch/file", "failed"}).err.find("failed to export container: "),
            std::string::npos);
  EXPECT_NE(mydocker({"login"}).err.find("'login' is not implemented"), std::string::npos);
}

TEST_F(CliTest, WithoutAnEngineItSaysSo) {
  const CommandResult result = mydocker({"-H", "unix:///nonexistent/engine.sock", "ps"});
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("/nonexistent/engine.sock"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace mydocker::test
