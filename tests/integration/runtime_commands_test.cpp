#include <elf.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "engine/base/sys.h"
#include "tests/integration/runtime_fixture.h"

/// The command line, as callers of runc use it (runc(8) and the OCI runtime command line interface).
namespace mydocker::test {
namespace {

class RuntimeCommandTest : public RuntimeTest {
 protected:
  /// A container that says "ready" and sleeps.
  void start_sleeper(const std::string& id = "one") {
    start(make_config("echo ready; exec sleep 1000"), id);
    ASSERT_TRUE(eventually([&] { return output() == "ready\n"; }));
  }
};

TEST_F(RuntimeCommandTest, VersionAndHelpNameTheSpecification) {
  const CommandResult version = run_command({program("mydocker-runtime"), "--version"});
  EXPECT_TRUE(version.out.starts_with("mydocker-runtime version ")) << version.out;
  EXPECT_NE(version.out.find("\nspec: 1."), std::string::npos) << version.out;
  const CommandResult help = run_command({program("mydocker-runtime"), "--help"});
  for (const char* verb : {"create", "start", "run", "state", "kill", "delete", "exec", "list", "ps", "pause", "resume",
                           "update", "events", "features", "spec"}) {
    EXPECT_NE(help.out.find(concat("   ", verb)), std::string::npos) << verb;
  }
  const CommandResult unknown = runtime({"frobnicate"});
  EXPECT_EQ(unknown.code, 1);
  EXPECT_NE(unknown.err.find("unknown command \"frobnicate\""), std::string::npos);
  EXPECT_NE(runtime({"state"}).err.find("missing argument: container id"), std::string::npos);
  EXPECT_NE(runtime({"state", "--frobnicate", "x"}).err.find("unknown flag: --frobnicate"), std::string::npos);
}

TEST_F(RuntimeCommandTest, ErrorsAreLoggedAsTextOrJson) {
  const auto log_of = [&](const char* format) {
    const CommandResult result = run_command({program("mydocker-runtime"), "--root", state_root(), "--log", log_file(),
                                              "--log-format", format, "state", "no\"such"});
    EXPECT_EQ(result.code, 1);
    std::string text = read("log");
    ::unlink(log_file().c_str());
    return text;
  };
  const json::value line = parse_json(log_of("json"));
  EXPECT_EQ(line.at("level").as_string(), "error");
  EXPECT_NE(line.at("msg").as_string().find("no\"such"), json::string::npos);
  EXPECT_TRUE(line.at("time").is_string());
  EXPECT_NE(log_of("text").find("level=error msg=\"invalid container id \\\"no\\\"such\\\"\""), std::string::npos);
  const CommandResult bad = run_command({program("mydocker-runtime"), "--log-format", "xml", "list"});
  EXPECT_EQ(bad.code, 1);
  EXPECT_NE(bad.err.find("unknown log format \"xml\""), std::string::npos);
  EXPECT_NE(
      run_command({program("mydocker-runtime"), "--cgroup-manager", "x", "list"}).err.find("unknown cgroup manager"),
      std::string::npos);
}

TEST_F(RuntimeCommandTest, TheLifeOfAContainerStepByStep) {
  create(make_config("echo ran; exec sleep 1000"));
  EXPECT_EQ(status(), "created");
  EXPECT_EQ(output(), "");
  EXPECT_NE(runtime({"delete", "one"}).code, 0);
  EXPECT_NE(runtime({"create", "--bundle", bundle(), "one"}).err.find("already exists"), std::string::npos);
  EXPECT_EQ(runtime({"start", "one"}).code, 0);
  EXPECT_TRUE(eventually([&] { return output() == "ran\n"; }));
  EXPECT_EQ(status(), "running");
  const CommandResult again = runtime({"start", "one"});
  EXPECT_EQ(again.code, 1);
  EXPECT_NE(again.err.find("cannot start a container in the running state"), std::string::npos);
  EXPECT_EQ(runtime({"pause", "one"}).code, 0);
  EXPECT_EQ(status(), "paused");
  EXPECT_EQ(runtime({"pause", "one"}).code, 1);
  EXPECT_EQ(runtime({"resume", "one"}).code, 0);
  EXPECT_EQ(runtime({"resume", "one"}).code, 1);
  EXPECT_EQ(runtime({"kill", "one", "SIGKILL"}).code, 0);
  EXPECT_TRUE(eventually([&] { return status() == "stopped"; }));
  const CommandResult gone = runtime({"kill", "one", "9"});
  EXPECT_EQ(gone.code, 1);
  EXPECT_NE(gone.err.find("container not running"), std::string::npos) << gone.err;  // what containerd looks for
  EXPECT_EQ(parse_json(runtime({"state", "one"}).out).at("pid").as_int64(), 0);
  EXPECT_EQ(runtime({"delete", "one"}).code, 0);
  EXPECT_NE(runtime({"delete", "one"}).err.find("does not exist"), std::string::npos);
  EXPECT_EQ(runtime({"delete", "--force", "one"}).code, 0);
}

TEST_F(RuntimeCommandTest, StateAndListTellWhatCallersRead) {
  json::value config = make_config("echo ready; exec sleep 1000");
  edit(config, "annotations")["key"] = "value";
  start(config);
  const json::value state = parse_json(runtime({"state", "one"}).out);
  EXPECT_TRUE(state.at("ociVersion").as_string().starts_with("1."));
  EXPECT_EQ(state.at("id").as_string(), "one");
  EXPECT_EQ(state.at("status").as_string(), "running");
  EXPECT_EQ(state.at("bundle").as_string(), bundle());
  EXPECT_EQ(state.at("rootfs").as_string(), rootfs());
  EXPECT_EQ(state.at("owner").as_string(), "root");
  EXPECT_EQ(state.at("annotations").at("key").as_string(), "value");
  EXPECT_EQ(state.at("created").as_string().find("20"), 0U);
  const json::value list = parse_json(runtime({"list", "--format", "json"}).out);
  ASSERT_EQ(list.as_array().size(), 1U);
  EXPECT_EQ(list.at(0).at("id").as_string(), "one");
  EXPECT_EQ(list.at(0).at("pid"), state.at("pid"));
  EXPECT_EQ(runtime({"list", "--quiet"}).out, "one\n");
  const std::string table = runtime({"list"}).out;
  EXPECT_TRUE(table.starts_with("ID ")) << table;
  EXPECT_NE(table.find("running"), std::string::npos) << table;
  EXPECT_EQ(runtime({"list", "--format", "xml"}).code, 1);
  delete_forced();
  EXPECT_EQ(parse_json(runtime({"list", "-f", "json"}).out), json::value(json::array()));
}

TEST_F(RuntimeCommandTest, PsListsTheProcessesOfTheContainer) {
  REQUIRE_PROGRAM("ps");
  start_sleeper();
  const json::value pids = parse_json(runtime({"ps", "--format", "json", "one"}).out);
  EXPECT_EQ(pids, (json::array{pid()}));
  const std::string table = runtime({"ps", "one"}).out;
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 2) << table;
  EXPECT_NE(table.find("sleep 1000"), std::string::npos) << table;
  EXPECT_EQ(runtime({"ps", "one", "-o", "pid,comm"}).out.find("UID"), std::string::npos);
  EXPECT_NE(runtime({"ps", "one", "-o", "comm"}).err.find("no column PID"), std::string::npos);
  delete_forced();
}

TEST_F(RuntimeCommandTest, KillSendsAnySignalToOneOrAll) {
  start(make_config("trap 'echo usr1' USR1; trap 'echo term' TERM; echo ready; while :; do sleep 0.05; done"));
  ASSERT_TRUE(eventually([&] { return output() == "ready\n"; }));
  EXPECT_EQ(runtime({"kill", "one", "USR1"}).code, 0);
  EXPECT_TRUE(eventually([&] { return output() == "ready\nusr1\n"; }));
  EXPECT_EQ(runtime({"kill", "one"}).code, 0);
  EXPECT_TRUE(eventually([&] { return output() == "ready\nusr1\nterm\n"; }));
  EXPECT_EQ(runtime({"kill", "one", "NOSUCH"}).code, 1);
  EXPECT_EQ(runtime({"kill", "one", "65"}).code, 1);
  EXPECT_EQ(runtime({"kill", "--all", "one", "KILL"}).code, 0);
  EXPECT_TRUE(eventually([&] { return status() == "stopped"; }));
  delete_forced();
}

TEST_F(RuntimeCommandTest, KillAllReachesProcessesOfAHostPidNamespace) {
  json::value config = make_config("sleep 1001 & sleep 1002 & echo ready; wait");
  remove_namespace(config, "pid");
  config.at("mounts").as_array().clear();
  start(config);
  ASSERT_TRUE(eventually([&] { return output() == "ready\n"; }));
  EXPECT_TRUE(eventually([&] { return parse_json(runtime({"ps", "-f", "json", "one"}).out).as_array().size() == 3; }));
  EXPECT_EQ(runtime({"kill", "--all", "one", "TERM"}).code, 0);
  EXPECT_TRUE(eventually([&] { return parse_json(runtime({"ps", "-f", "json", "one"}).out).as_array().empty(); }));
  delete_forced();
}

TEST_F(RuntimeCommandTest, ExecTakesItsFlags) {
  ASSERT_EQ(::symlink("busybox", (rootfs() + "/bin/printenv").c_str()), 0);
  start_sleeper();
  EXPECT_EQ(exec("echo $A $B; pwd", {"--env", "A=1", "-e", "B=2", "--cwd", "/tmp"}).out, "1 2\n/tmp\n");
  EXPECT_EQ(exec("id -u; id -g; id -G", {"--user", "1000:1001", "--additional-gids", "7"}).out, "1000\n1001\n1001 7\n");
  const std::string caps = exec("grep CapEff /proc/self/status", {"--cap", "CAP_NET_ADMIN"}).out;
  EXPECT_EQ(std::stoull(caps.substr(caps.find('\t')), nullptr, 16) >> 12 & 1, 1U) << caps;
  EXPECT_NE(exec("grep CapInh /proc/self/status", {"--cap", "CAP_NET_ADMIN"}).out.find("CapInh:\t0000000000000000"),
            std::string::npos);
  EXPECT_EQ(exec("grep NoNewPrivs /proc/self/status", {"--no-new-privs"}).out, "NoNewPrivs:\t1\n");
  EXPECT_EQ(exec("exit 7").code, 7);
  EXPECT_EQ(exec("kill -9 $$").code, 137);
  const CommandResult missing = runtime({"exec", "one", "nosuch"});
  EXPECT_EQ(missing.code, 255);  // never a code that the program could have given
  EXPECT_NE(missing.err.find("executable file not found in $PATH"), std::string::npos);
  EXPECT_EQ(runtime({"exec", "one"}).code, 255);
  EXPECT_EQ(runtime({"exec", "nobody", "true"}).code, 255);
  if (!path_exists("/sys/module/apparmor")) {
    EXPECT_NE(exec("true", {"--apparmor", "x"}).err.find("AppArmor profile \"x\" cannot be applied"),
              std::string::npos);
  }
  delete_forced();
}

TEST_F(RuntimeCommandTest, ExecTakesAProcessFile) {
  start_sleeper();
  const std::string process = write_file("process.json", R"({
    "args": ["sh", "-c", "id -u; echo $X; pwd; ulimit -n; cat /proc/self/oom_score_adj; grep CapEff /proc/self/status"],
    "env": ["X=y", "PATH=/bin"], "cwd": "/tmp", "user": {"uid": 1000, "gid": 1000},
    "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 77}], "oomScoreAdj": 555,
    "capabilities": {"bounding": ["CAP_KILL"]}})");
  EXPECT_EQ(runtime({"exec", "--process", process, "one"}).out, "1000\ny\n/tmp\n77\n555\nCapEff:\t0000000000000000\n");
  const std::string bad = write_file("bad.json", R"({"args": "sh"})");
  const CommandResult refused = runtime({"exec", "-p", bad, "one"});
  EXPECT_EQ(refused.code, 255);
  EXPECT_NE(refused.err.find("args: expected a list"), std::string::npos) << refused.err;
  delete_forced();
}

TEST_F(RuntimeCommandTest, ADetachedExecLeavesItsPidAndItsTerminal) {
  start_sleeper();
  const std::string pid_file = root() + "/exec.pid";
  ASSERT_EQ(exec("echo $$ > /tmp/seen; exec sleep 1000 > /dev/null 2>&1", {"--detach", "--pid-file", pid_file}).code,
            0);
  const std::string number = read_file(pid_file);
  EXPECT_EQ(::kill(static_cast<pid_t>(std::stoi(number)), 0), 0);
  EXPECT_NE(exec("true", {"--detach", "--tty"}).err.find("cannot allocate tty if detached"), std::string::npos);
  EXPECT_NE(exec("true", {"--console-socket", "/x"}).err.find("cannot use --console-socket"), std::string::npos);
  const UniqueFd listener = listen_unix(root() + "/console", SOCK_STREAM);
  ASSERT_EQ(exec("tty", {"--detach", "--tty", "--console-socket", root() + "/console"}).code, 0);
  const UniqueFd connection(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  std::optional<Packet> packet = receive_packet(connection.get());
  ASSERT_TRUE(packet && packet->fds.size() == 1);
  std::string out;
  char buffer[256];
  for (ssize_t got = 0; (got = ::read(packet->fds[0].get(), buffer, sizeof buffer)) > 0;) {
    out.append(buffer, static_cast<std::size_t>(got));
  }
  EXPECT_EQ(out, "/dev/pts/0\r\n");
  delete_forced();
}

TEST_F(RuntimeCommandTest, AForegroundTerminalIsConnected) {
  json::value config = make_config("tty; stty size; read line; echo got $line; exit 5");
  edit(config, "process")["terminal"] = true;
  write_config(config);
  CommandOptions options;
  options.terminal = true;
  RunningCommand command(runtime_words({"run", "--bundle", bundle(), "one"}), options);
  ASSERT_TRUE(command.read_until("24 80")) << command.out();
  command.write("word\n");
  const CommandResult result = command.wait();
  EXPECT_EQ(result.code, 5);
  EXPECT_NE(result.out.find("got word"), std::string::npos) << result.out;
  write_config(config);
  const CommandResult detached = runtime({"run", "--detach", "--bundle", bundle(), "one"});
  EXPECT_NE(detached.err.find("cannot allocate tty if detached without --console-socket"), std::string::npos);
}

TEST_F(RuntimeCommandTest, PreservedDescriptorsArriveAndNoOthers) {
  write_file("three", "III\n");
  write_file("four", "IV\n");
  const auto with_descriptors = [&](const Words& words) {
    Words shell = {"sh", "-c", concat("cd ", root(), "; exec \"$@\" 3<three 4<four 5<four"), "sh"};
    const Words all = runtime_words(words);
    shell.insert(shell.end(), all.begin(), all.end());
    return run_command(shell);
  };
  write_config(make_config("cat <&3; cat <&4; ls /proc/$$/fd; true"));
  EXPECT_EQ(with_descriptors({"run", "--preserve-fds", "2", "--bundle", bundle(), "one"}).out,
            "III\nIV\n0\n1\n2\n3\n4\n");
  EXPECT_EQ(with_descriptors({"run", "--bundle", bundle(), "one"}).err.find("III"), std::string::npos);
  start_sleeper();
  EXPECT_EQ(with_descriptors({"exec", "--preserve-fds", "1", "one", "sh", "-c", "cat <&3; ls /proc/$$/fd; true"}).out,
            "III\n0\n1\n2\n3\n");
  const CommandResult closed = runtime({"exec", "--preserve-fds", "40", "one", "true"});
  EXPECT_EQ(closed.code, 255);
  EXPECT_NE(closed.err.find("is not open"), std::string::npos);
  delete_forced();
}

TEST_F(RuntimeCommandTest, ListeningSocketsOfTheServiceManagerArePassed) {
  write_file("three", "III\n");
  write_config(make_config("cat <&3; echo $LISTEN_FDS $LISTEN_PID $$"));
  Words shell = {"sh", "-c", concat("cd ", root(), "; LISTEN_FDS=1 exec \"$@\" 3<three"), "sh"};
  const Words all = runtime_words({"run", "--bundle", bundle(), "one"});
  shell.insert(shell.end(), all.begin(), all.end());
  EXPECT_EQ(run_command(shell).out, "III\n1 1 1\n");
}

TEST_F(RuntimeCommandTest, APausedContainerTakesNoExecUnlessTold) {
  start_sleeper();
  ASSERT_EQ(runtime({"pause", "one"}).code, 0);
  const CommandResult refused = exec("true");
  EXPECT_EQ(refused.code, 255);
  EXPECT_NE(refused.err.find("paused container"), std::string::npos);
  Words words = {"exec", "--ignore-paused", "--detach", "one", "sh", "-c", "echo > /tmp/thawed"};
  RunningCommand waiting(runtime_words(words));  // it freezes as it enters
  ASSERT_EQ(runtime({"resume", "one"}).code, 0);
  EXPECT_EQ(waiting.wait().code, 0);
  EXPECT_TRUE(eventually([&] { return path_exists(rootfs() + "/tmp/thawed"); }));
  // A paused container is deleted all the same.
  ASSERT_EQ(runtime({"pause", "one"}).code, 0);
  delete_forced();
}

TEST_F(RuntimeCommandTest, ExecEntersACgroupBelowTheContainers) {
  if (!path_exists("/sys/fs/cgroup/pids")) GTEST_SKIP() << "needs cgroup v1";
  start_sleeper();
  const std::string below = concat("/sys/fs/cgroup/pids", cgroup_parent(), "/one/below");
  ASSERT_EQ(::mkdir(below.c_str(), 0755), 0);
  const auto member = [&](const Words& flags) {
    return exec("cat /proc/self/cgroup | grep :pids: | cut -d: -f3", flags).out;
  };
  EXPECT_EQ(member({}), "/\n");
  EXPECT_EQ(member({"--cgroup", "below"}), "/below\n");
  EXPECT_EQ(member({"--cgroup", "pids:below"}), "/below\n");
  EXPECT_EQ(exec("true", {"--cgroup", "memory:below"}).code, 255);
  EXPECT_NE(exec("true", {"--cgroup", "absent"}).err.find("no cgroup \"absent\""), std::string::npos);
  EXPECT_NE(exec("true", {"--cgroup", "../.."}).err.find("invalid --cgroup"), std::string::npos);
  delete_forced();
}

/// Parents that are made go with the last container below them; one that was there stays.
TEST_F(RuntimeCommandTest, ParentsOfANestedCgroupGoWithTheLastContainer) {
  const std::string top = cgroup_parent() + "/one";
  const auto find = [&](const std::string& path) {
    return run_command({"sh", "-c", concat("ls -d /sys/fs/cgroup/*", path, " /sys/fs/cgroup", path, " 2>/dev/null")})
        .out;
  };
  json::value config = make_config("exec sleep 1000");
  edit(config, "linux")["cgroupsPath"] = top + "/a/b/first";
  start(config, "first");
  edit(config, "linux")["cgroupsPath"] = top + "/a/second";
  start(config, "second");
  std::string made;  // in one hierarchy, by somebody else
  for (std::string where = find(top); !where.empty(); where.erase(0, where.find('\n') + 1)) {
    made = concat(where.substr(0, where.find('\n')), "/kept");
  }
  ASSERT_EQ(::mkdir(made.c_str(), 0755), 0);
  delete_forced("first");
  EXPECT_EQ(find(top + "/a/b"), "");
  EXPECT_NE(find(top + "/a/second"), "");
  delete_forced("second");
  EXPECT_EQ(find(top + "/a"), "");
  EXPECT_EQ(find(top + "/kept"), made + "\n");
  ASSERT_EQ(::rmdir(made.c_str()), 0);
  EXPECT_EQ(::rmdir(made.substr(0, made.rfind('/')).c_str()), 0);  // it had held something at the end
}

TEST_F(RuntimeCommandTest, UpdateReadsFlagsFilesAndStandardInput) {
  if (!path_exists("/sys/fs/cgroup/memory")) GTEST_SKIP() << "needs cgroup v1";
  start_sleeper();
  const std::string limit = concat("/sys/fs/cgroup/memory", cgroup_parent(), "/one/memory.limit_in_bytes");
  EXPECT_EQ(runtime({"update", "--memory", "64m", "one"}).code, 0);
  EXPECT_EQ(read_file(limit), "67108864\n");
  CommandOptions input;
  input.input = R"({"memory": {"limit": 33554432}, "pids": {"limit": 99}})";
  EXPECT_EQ(runtime({"update", "-r", "-", "one"}, input).code, 0);
  EXPECT_EQ(read_file(limit), "33554432\n");
  EXPECT_EQ(read_file(concat("/sys/fs/cgroup/pids", cgroup_parent(), "/one/pids.max")), "99\n");
  const std::string file = write_file("resources.json", R"({"cpu": {"shares": 512}})");
  EXPECT_EQ(runtime({"update", "--resources", file, "one"}).code, 0);
  EXPECT_EQ(read_file(concat("/sys/fs/cgroup/cpu", cgroup_parent(), "/one/cpu.shares")), "512\n");
  EXPECT_EQ(read_file(limit), "33554432\n");  // what is not named stays
  input.input = R"({"memory": {"limit": "much"}})";
  const CommandResult bad = runtime({"update", "-r", "-", "one"}, input);
  EXPECT_EQ(bad.code, 1);
  EXPECT_NE(bad.err.find("resources.memory.limit: expected an integer"), std::string::npos) << bad.err;
  for (const char* value : {"x", "12q", "", "1e30"}) {
    EXPECT_EQ(runtime({"update", "--memory", value, "one"}).code, 1) << value;
  }
  EXPECT_NE(runtime({"update", "--cpu-share", "-5", "one"}).err.find("below 0"), std::string::npos);
  EXPECT_NE(runtime({"update", "--l3-cache-schema", "x", "one"}).err.find("Intel RDT is not supported"),
            std::string::npos);
  const CommandResult kernel = runtime({"update", "--kernel-memory", "1m", "one"});
  EXPECT_EQ(kernel.code, 0);
  EXPECT_NE(kernel.err.find("is ignored"), std::string::npos);
  delete_forced();
}

TEST_F(RuntimeCommandTest, EventsTellStatisticsAndEndWithTheContainer) {
  start_sleeper();
  const json::value one = parse_json(runtime({"events", "--stats", "one"}).out);
  EXPECT_EQ(one.at("type").as_string(), "stats");
  EXPECT_EQ(one.at("id").as_string(), "one");
  EXPECT_GT(one.at("data").at("cpu").at("usage").at("total").to_number<std::uint64_t>(), 0U);
  EXPECT_GE(one.at("data").at("pids").at("current").to_number<std::uint64_t>(), 1U);
  EXPECT_GT(one.at("data").at("memory").at("usage").at("usage").to_number<std::uint64_t>(), 0U);
  RunningCommand stream(runtime_words({"events", "--interval", "20ms", "one"}));
  EXPECT_TRUE(stream.read_until("\"stats\""));
  EXPECT_TRUE(stream.read_until("\"stats\""));
  EXPECT_EQ(runtime({"kill", "one", "KILL"}).code, 0);
  EXPECT_EQ(stream.wait().code, 0);
  EXPECT_NE(runtime({"events", "--interval", "soon", "one"}).err.find("invalid interval \"soon\""), std::string::npos);
  delete_forced();
}

TEST_F(RuntimeCommandTest, FeaturesTellWhatTheProgramKnows) {
  const json::value all = parse_json(run_command({program("mydocker-runtime"), "features"}).out);
  EXPECT_EQ(all.at("ociVersionMin").as_string(), "1.0.0");
  EXPECT_TRUE(all.at("ociVersionMax").as_string().starts_with("1."));
  EXPECT_EQ(all.at("hooks").as_array().size(), 6U);
  const json::value& own = all.at("linux");
  EXPECT_EQ(own.at("namespaces").as_array().size(), 8U);
  EXPECT_EQ(own.at("capabilities").as_array().size(), 41U);
  EXPECT_EQ(own.at("seccomp").at("enabled").as_bool(), true);
  EXPECT_EQ(own.at("mountExtensions").at("idmap").at("enabled").as_bool(), true);
  EXPECT_EQ(own.at("intelRdt").at("enabled").as_bool(), false);
  EXPECT_EQ(own.at("netDevices").at("enabled").as_bool(), true);
  // Each option word that it names is taken, on a mount that can have it.
  for (const json::value& word : all.at("mountOptions").as_array()) {
    json::value config = make_config("true");
    const std::string option(word.as_string());
    if (option.ends_with("idmap")) continue;  // has tests of its own
    add_mount(config, "/mnt", "bind", rootfs() + "/tmp", {"bind", option});
    if (option == "tmpcopyup") config.at("mounts").as_array().back().as_object()["type"] = "tmpfs";
    if (option == "tmpcopyup") config.at("mounts").as_array().back().as_object()["options"] = json::array{option};
    const CommandResult result = run(config);
    EXPECT_EQ(result.code, 0) << option << ": " << result.err;
  }
}

TEST_F(RuntimeCommandTest, ASignalToTheForegroundReachesTheContainer) {
  write_config(make_config("trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.05; done"));
  RunningCommand command(runtime_words({"run", "--bundle", bundle(), "one"}));
  ASSERT_TRUE(command.read_until("ready"));
  command.kill(SIGTERM);
  const CommandResult result = command.wait();
  EXPECT_EQ(result.code, 9);
  EXPECT_NE(result.out.find("caught"), std::string::npos);
}

TEST_F(RuntimeCommandTest, ADetachedRunWritesItsPidAndKeepsItsState) {
  write_config(make_config("sleep 1000"));
  Words shell = {"sh", "-c", "exec \"$@\" > /dev/null 2>&1", "sh"};
  const Words all = runtime_words({"run", "--detach", "--pid-file", root() + "/pid", "--bundle", bundle(), "one"});
  shell.insert(shell.end(), all.begin(), all.end());
  ASSERT_EQ(run_command(shell).code, 0);
  EXPECT_EQ(read("pid"), std::to_string(pid()));
  EXPECT_EQ(status(), "running");
  delete_forced();
  write_config(make_config("exit 3"));
  EXPECT_EQ(runtime({"run", "--keep", "--bundle", bundle(), "one"}).code, 3);
  EXPECT_EQ(status(), "stopped");
  delete_forced();
}

TEST_F(RuntimeCommandTest, AnOrdinaryUserRunsARootlessContainer) {
  REQUIRE_USER_NAMESPACES();
  REQUIRE_PROGRAM("setpriv");
  ASSERT_EQ(::unlink((bundle() + "/config.json").c_str()), 0);
  make_dirs(root() + "/home");
  ASSERT_EQ(run_command({"chown", "-R", "1000:1000", bundle(), root() + "/home"}).code, 0);
  ASSERT_EQ(::chmod(root().c_str(), 0755), 0);
  const auto as_user = [&](const Words& words, const std::string& failpoints = "") {
    Words all = {"setpriv",        "--reuid=1000",    "--regid=1000",
                 "--clear-groups", "--inh-caps=-all", program("mydocker-runtime")};
    all.insert(all.end(), words.begin(), words.end());
    CommandOptions options;
    options.environment = {"XDG_RUNTIME_DIR=" + root() + "/home", "MYDOCKER_FAILPOINTS=" + failpoints};
    return run_command(all, options);
  };
  ASSERT_EQ(as_user({"spec", "--rootless", "--bundle", bundle()}).code, 0);
  json::value config = parse_json(read_file(bundle() + "/config.json"));
  EXPECT_EQ(config.at("linux").at("uidMappings").at(0).at("hostID").as_int64(), 1000);
  edit(config, "process")["terminal"] = false;
  edit(config, "process")["args"] = json::array{"sh", "-c", "id -u; cat /proc/self/uid_map"};
  write_config(config);
  const CommandResult result = as_user({"run", "--bundle", bundle(), "one"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(result.out.starts_with("0\n")) << result.out << result.err;
  EXPECT_NE(result.out.find("1000          1\n"), std::string::npos) << result.out;
  EXPECT_TRUE(path_exists(root() + "/home/mydocker-runtime"));
  // The init stage begins when it is root already, but for the groups.
  const CommandResult late =
      as_user({"run", "--bundle", bundle(), "two"}, "init.begin=delay:100,task.id_maps=delay:500");
  EXPECT_EQ(late.out, result.out) << late.err;
}

TEST_F(RuntimeCommandTest, TheProgramIsStaticAndSmall) {
  const std::string image = read_file(program("mydocker-runtime"));
  EXPECT_LT(image.size(), std::size_t{3} << 20);
  ASSERT_GT(image.size(), sizeof(Elf64_Ehdr));
  Elf64_Ehdr header{};
  std::memcpy(&header, image.data(), sizeof header);
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    Elf64_Phdr part{};
    std::memcpy(&part, image.data() + header.e_phoff + i * sizeof part, sizeof part);
    EXPECT_NE(part.p_type, static_cast<Elf64_Word>(PT_INTERP));
  }
  EXPECT_EQ(image.find("mountinfo"), std::string::npos);  // nothing there could read that long list
}

}  // namespace
}  // namespace mydocker::test
