#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "engine/base/sys.h"
#include "runtime/cgroup.h"
#include "tests/support/requirements.h"
#include "tests/unit/shim/shim_fixture.h"

/// Real containers under a real shim: needs root, namespaces and a static busybox.
namespace mydocker::test {
namespace {

using runtime::ExitRecord;
using runtime::LaunchError;
using std::chrono::milliseconds;
using std::chrono::seconds;

using ShimContainer = ShimTest;

TEST_F(ShimContainer, OutputIsLoggedAndTheExitIsRecorded) {
  set_script("echo out; echo err >&2; exit 7");
  run();
  const ExitRecord exit = wait_exit();
  EXPECT_EQ(exit.exit_code, 7);
  EXPECT_EQ(exit.signal, 0);
  EXPECT_FALSE(exit.oom_killed);
  EXPECT_GE(exit.finished_at_ns, exit.started_at_ns);
  const auto record = runtime::find_exit_record(config.exit_file);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->exit_code, 7);
  const std::string log = read_log();
  EXPECT_NE(log.find("out\n"), std::string::npos);
  EXPECT_NE(log.find("err\n"), std::string::npos);
  wait_shim_end();
  EXPECT_THROW_ERROR(connect_unix(shim_dir + "/socket", SOCK_SEQPACKET), ErrorKind::unavailable, "");
  EXPECT_THROW_ERROR(runtime::Cgroup::open(spec.linux.cgroups_path), ErrorKind::not_found, "");
}

TEST_F(ShimContainer, AllOutputOfAShortProgramArrives) {
  set_script("seq 1 100000");
  spawn();
  shim.create();
  const UniqueFd client = attach({});
  shim.start();
  const std::string got = unframe(read_to_end(client.get()), 1);
  std::string expected;
  for (int i = 1; i <= 100000; ++i) expected += std::to_string(i) + "\n";
  EXPECT_TRUE(got == expected) << got.size() << " bytes of " << expected.size();
  EXPECT_EQ(wait_exit().exit_code, 0);
  EXPECT_TRUE(read_log() == expected);
}

TEST_F(ShimContainer, ContainerAndExecHaveTheSeccompFilter) {
  set_script("while read -r line; do case $line in Seccomp:*) echo $line;; esac; done < /proc/self/status; sleep 100");
  spawn();
  shim.create();
  const UniqueFd client = attach({.framed = false});
  shim.start();
  EXPECT_EQ(read_until(client.get(), "\n"), "Seccomp: 2\n");
  runtime::ExecRequest request =
      make_exec("e1", "while read -r line; do case $line in Seccomp:*) echo $line;; esac; done < /proc/self/status");
  request.streams.framed = false;
  const UniqueFd exec_client = exec(request);
  EXPECT_EQ(read_until(exec_client.get(), "\n"), "Seccomp: 2\n");
  shim.kill(SIGKILL);
  wait_exit();
}

TEST_F(ShimContainer, ASignalIsAnExitCodeAbove128) {
  set_script("trap '' TERM; echo ready; while :; do sleep 0.05; done");
  spawn();
  shim.create();
  const UniqueFd client = attach({.framed = false});
  shim.start();
  read_until(client.get(), "ready");
  EXPECT_TRUE(shim.kill(SIGTERM));
  EXPECT_TRUE(shim.kill(SIGKILL));
  const ExitRecord exit = wait_exit();
  EXPECT_EQ(exit.exit_code, 137);
  EXPECT_EQ(exit.signal, 9);
}

TEST_F(ShimContainer, HalfCloseEndsStdinAndTheOutputStillComes) {
  spec.process.args = {"/bin/cat"};
  config.open_stdin = config.stdin_once = true;
  spawn();
  shim.create();
  const UniqueFd client = attach({.stdin_ = true, .pending_input = "first "});
  shim.start();
  write_all(client.get(), "second");
  ::shutdown(client.get(), SHUT_WR);
  EXPECT_EQ(unframe(read_to_end(client.get()), 1), "first second");
  EXPECT_EQ(wait_exit().exit_code, 0);
}

TEST_F(ShimContainer, TenMegabytesReachASlowReaderCompletely) {
  set_script("yes 0123456789012345678901234567890123456789 | head -c 10485760");
  spawn();
  shim.create();
  const UniqueFd client = attach({.framed = false});
  shim.start();
  EXPECT_EQ(wait_event("exit").exit->exit_code, 0);  // the container does not wait for its reader
  wait_event("finished");
  EXPECT_EQ(read_to_end(client.get()).size(), 10485760U);
  wait_shim_end();
}

TEST_F(ShimContainer, BadProgramsAreLaunchErrorsAndLeaveNothing) {
  spec.process.args = {"nosuch"};
  spawn();
  shim.create();
  try {
    shim.start();
    FAIL();
  } catch (const LaunchError& error) {
    EXPECT_EQ(error.exit_code(), 127);
    EXPECT_NE(error.message().find("exec: \"nosuch\": executable file not found in $PATH"), std::string::npos)
        << error.what();
  }
  EXPECT_THROW_ERROR(runtime::Cgroup::open(spec.linux.cgroups_path), ErrorKind::not_found, "");
  wait_shim_end();  // with our connections still open
}

TEST_F(ShimContainer, TheEndOfAShortProgramReachesEventsThatAreOpenedLate) {
  set_script("exit 6");
  spawn();
  events.reset();
  shim.create();
  shim.start();
  const std::string exit_file = config.exit_file;
  for (int i = 0; i < 1000 && !path_exists(exit_file); ++i) std::this_thread::sleep_for(milliseconds(5));
  ASSERT_TRUE(path_exists(exit_file));
  events = shim.open_events();
  EXPECT_EQ(wait_exit().exit_code, 6);
  wait_shim_end();
}

TEST_F(ShimContainer, AnUnsyncedRootFileSystemCanBeStartedAgain) {
  config.rootfs->skip_sync = true;
  set_script("echo again >> /tmp/file; cat /tmp/file");
  run();
  EXPECT_EQ(wait_exit().exit_code, 0);
  wait_shim_end();
  run();
  EXPECT_EQ(wait_exit().exit_code, 0);
  EXPECT_EQ(read_log(), "again\nagain\nagain\n");
}

TEST_F(ShimContainer, AnAbandonedContainerLeavesNothing) {
  set_script("sleep 100");
  spawn();
  const runtime::ShimCreated created = shim.create();
  EXPECT_GT(created.pid, 0);
  EXPECT_TRUE(created.netns);
  shim.abandon();
  shim.abandon();
  EXPECT_NE(::kill(created.pid, 0), 0);
  EXPECT_THROW_ERROR(runtime::Cgroup::open(spec.linux.cgroups_path), ErrorKind::not_found, "");
  wait_shim_end();  // with our connections still open
}

TEST_F(ShimContainer, TheNetworkNamespaceIsGivenToTheEngine) {
  set_script("sleep 100");
  spawn();
  const runtime::ShimCreated created = shim.create();
  ASSERT_TRUE(created.netns);
  EXPECT_NE(std::filesystem::read_symlink(concat("/proc/self/fd/", created.netns.get())),
            std::filesystem::read_symlink("/proc/self/ns/net"));
  EXPECT_EQ(std::filesystem::read_symlink(created.netns_path),
            std::filesystem::read_symlink(concat("/proc/self/fd/", created.netns.get())));
  shim.start();
  EXPECT_EQ(shim.snapshot().netns_path, created.netns_path);
  shim.kill(SIGKILL);
  wait_exit();
}

TEST_F(ShimContainer, ExecHasItsOwnStreamsAndExitCode) {
  set_script("sleep 100");
  run();
  const UniqueFd client = exec(make_exec("e1", "echo out; echo err >&2; exit 3"));
  const std::string frames = read_until(client.get(), "err\n");
  const runtime::ShimEvent event = wait_event("exec_exit");
  EXPECT_EQ(event.exec_id, "e1");
  EXPECT_EQ(event.exit_code, 3);
  EXPECT_EQ(read_to_end(client.get()), "");
  EXPECT_NE(frames.find("out\n"), std::string::npos);
  EXPECT_EQ(read_log(), "");  // an exec's output is no output of the container
  shim.kill(SIGKILL);
  EXPECT_EQ(wait_exit().exit_code, 137);
}

TEST_F(ShimContainer, TheExitOfAnExecIsTheEnginesBeforeTheClientsEnd) {
  set_script("sleep 100");
  run();
  const UniqueFd client = exec(make_exec("e1", "exit 5"));
  // Not acknowledged: the stream stays open for its two seconds.
  EXPECT_FALSE(wait_readable(client.get(), 500));
  runtime::ShimEvent event = wait_event("exec_exit");  // acknowledges
  EXPECT_TRUE(wait_readable(client.get(), 1000));
  EXPECT_EQ(read_to_end(client.get()), "");
  shim.kill(SIGKILL);
  wait_exit();
}

TEST_F(ShimContainer, ExecReadsStdinUntilTheHalfClose) {
  set_script("sleep 100");
  run();
  runtime::ExecRequest request = make_exec("e1", "cat");
  request.streams.stdin_ = true;
  request.streams.framed = false;
  const UniqueFd client = exec(request);
  write_all(client.get(), "hello");
  ::shutdown(client.get(), SHUT_WR);
  EXPECT_EQ(read_until(client.get(), "hello"), "hello");
  EXPECT_EQ(wait_event("exec_exit").exit_code, 0);
  EXPECT_EQ(read_to_end(client.get()), "");
  shim.kill(SIGKILL);
  wait_exit();
}

TEST_F(ShimContainer, AFailedExecLeavesTheClientToTheEngine) {
  set_script("sleep 100");
  run();
  runtime::ExecRequest request = make_exec("e1", "");
  runtime::Process process = spec.process;
  process.args = {"nope"};
  request.process = to_json(process);
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  try {
    shim.exec(request, theirs.get());
    FAIL();
  } catch (const LaunchError& error) {
    EXPECT_EQ(error.exit_code(), 127);
  }
  write_all(theirs.get(), "text of the engine");
  theirs.reset();
  EXPECT_EQ(read_to_end(ours.get()), "text of the engine");
  EXPECT_TRUE(shim.snapshot().execs.empty());
  shim.kill(SIGKILL);
  wait_exit();
}

TEST_F(ShimContainer, ADetachedExecRunsWithoutAClient) {
  set_script("while [ ! -e /tmp/done ]; do sleep 0.02; done; cat /tmp/done");
  run();
  EXPECT_GT(shim.exec(make_exec("e1", "echo from the exec > /tmp/done"), -1), 0);
  EXPECT_EQ(wait_event("exec_exit").exit_code, 0);
  EXPECT_EQ(wait_exit().exit_code, 0);
  EXPECT_EQ(read_log(), "from the exec\n");
}

TEST_F(ShimContainer, ExecsEndWithTheContainer) {
  set_script("sleep 100");
  run();
  const UniqueFd client = exec(make_exec("e1", "echo ready; sleep 100"));
  read_until(client.get(), "ready\n");
  shim.kill(SIGKILL);
  const runtime::ShimEvent event = wait_event("exec_exit");
  EXPECT_EQ(event.exit_code, 137);
  EXPECT_EQ(wait_exit().exit_code, 137);
  read_to_end(client.get());
  wait_shim_end();
}

TEST_F(ShimContainer, ATerminalHasItsSizeAndItsCarriageReturns) {
  set_script("stty size; read line; stty size; echo got $line; tty");
  config.tty = config.open_stdin = config.stdin_once = true;
  config.console_height = 33;
  config.console_width = 101;
  spawn();
  shim.create();
  const UniqueFd client = attach({.stdin_ = true, .framed = false});
  shim.start();
  EXPECT_NE(read_until(client.get(), "101\r\n").find("33 101"), std::string::npos);
  shim.resize(44, 55);
  write_all(client.get(), "word\n");
  const std::string rest = read_to_end(client.get());
  EXPECT_NE(rest.find("44 55\r\n"), std::string::npos) << rest;
  EXPECT_NE(rest.find("got word\r\n"), std::string::npos) << rest;
  EXPECT_EQ(wait_exit().exit_code, 0);
  EXPECT_NE(read_log().find("got word\r\n"), std::string::npos);
}

TEST_F(ShimContainer, DetachKeysLeaveTheContainerRunning) {
  set_script("read line; echo got $line");
  config.tty = config.open_stdin = true;
  spawn();
  shim.create();
  const UniqueFd client = attach({.stdin_ = true, .framed = false, .detach_keys = "\x10\x11", .session_id = "s"});
  shim.start();
  write_all(client.get(), "\x10\x11");
  read_to_end(client.get());
  EXPECT_EQ(wait_event("detached").session_id, "s");
  const UniqueFd second = attach({.stdin_ = true, .framed = false});
  write_all(second.get(), "again\n");
  EXPECT_NE(read_to_end(second.get()).find("got again"), std::string::npos);
  EXPECT_EQ(wait_exit().exit_code, 0);
}

TEST_F(ShimContainer, AnExecOnATerminalIsResized) {
  set_script("sleep 100");
  run();
  runtime::ExecRequest request = make_exec("e1", "stty size; read line; stty size");
  request.tty = true;
  request.console_height = 10;
  request.console_width = 20;
  request.streams.stdin_ = true;
  request.streams.framed = false;
  const UniqueFd client = exec(request);
  EXPECT_NE(read_until(client.get(), "20\r\n").find("10 20"), std::string::npos);
  shim.exec_resize("e1", 30, 40);
  write_all(client.get(), "\n");
  EXPECT_NE(read_until(client.get(), "40\r\n").find("30 40"), std::string::npos);
  EXPECT_EQ(wait_event("exec_exit").exit_code, 0);
  EXPECT_THROW_ERROR(shim.exec_resize("nosuch", 1, 1), ErrorKind::not_found, "nosuch");
  EXPECT_THROW_ERROR(shim.resize(1, 1), ErrorKind::conflict, "terminal");
  shim.kill(SIGKILL);
  wait_exit();
}

TEST_F(ShimContainer, AnEngineThatDiesDisturbsNothing) {
  set_script("i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); sleep 0.005; done");
  run();
  Process process = shim.take_process();
  const int pid = shim.snapshot().pid;
  events.reset();
  shim = {};  // all connections of the engine are gone

  shim = runtime::ShimClient::connect(shim_dir);
  EXPECT_EQ(shim.snapshot().pid, pid);
  EXPECT_EQ(shim.snapshot().state, "running");
  EXPECT_EQ(shim.snapshot().id, config.id);
  const UniqueFd client = attach({.framed = false});
  read_until(client.get(), "line");
  events = shim.open_events();
  EXPECT_EQ(wait_event("snapshot").snapshot->pid, pid);
  EXPECT_NE(read_to_end(client.get()).find("line 299\n"), std::string::npos);
  EXPECT_EQ(wait_exit().exit_code, 0);
  std::string expected;
  for (int i = 0; i < 300; ++i) expected += "line " + std::to_string(i) + "\n";
  EXPECT_EQ(read_log(), expected);
  process.wait();
}

TEST_F(ShimContainer, WithoutAnEngineTheExitIsOnDisk) {
  set_script("sleep 0.2; exit 9");
  run();
  Process process = shim.take_process();
  events.reset();
  shim = {};
  EXPECT_EQ(process.wait().code, 0);
  const auto record = runtime::find_exit_record(config.exit_file);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->exit_code, 9);
}

TEST_F(ShimContainer, UnacknowledgedExitsOfExecsAreRepeated) {
  set_script("sleep 100");
  run();
  shim.exec(make_exec("e1", "exit 4"), -1);
  // Seen, not acknowledged: then the engine dies.
  for (runtime::ShimEvent event; event.type != "exec_exit";) {
    ASSERT_TRUE(wait_readable(events.get(), 10'000));
    runtime::receive_shim_event(events.get(), event);
  }
  events = shim.open_events();
  const runtime::ShimEvent again = wait_event("exec_exit");
  EXPECT_EQ(again.exec_id, "e1");
  EXPECT_EQ(again.exit_code, 4);
  shim.kill(SIGKILL);
  wait_exit();
}

TEST_F(ShimContainer, AKilledShimEndsItsContainer) {
  set_script("sleep 100");
  run();
  const int pid = shim.snapshot().pid;
  const UniqueFd pidfd = open_pidfd(pid);
  Process process = shim.take_process();
  process.kill(SIGKILL);
  EXPECT_TRUE(wait_readable(pidfd.get(), 10'000)) << "the container outlives its shim";
  EXPECT_THROW_ERROR(shim.snapshot(), ErrorKind::unavailable, "shim");
  shim = {};
  process.wait();
  EXPECT_FALSE(runtime::find_exit_record(config.exit_file));
  runtime::Cgroup::open(spec.linux.cgroups_path).remove();
}

TEST_F(ShimContainer, LeftoversInAHostPidNamespaceAreKilled) {
  std::erase_if(spec.linux.namespaces, [](const runtime::Namespace& one) { return one.type == "pid"; });
  set_script("sleep 100 & echo left $!; exit 0");
  const auto begin = std::chrono::steady_clock::now();
  run();
  EXPECT_EQ(wait_exit().exit_code, 0);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(5));
  EXPECT_NE(read_log().find("left "), std::string::npos);
  wait_shim_end();
}

TEST_F(ShimContainer, AMemoryHogIsAnOomKill) {
  spec.linux.resources.emplace();
  spec.linux.resources->memory.emplace();
  spec.linux.resources->memory->limit = 16 << 20;
  set_script("tail /dev/zero");
  run();
  EXPECT_EQ(wait_event("oom").type, "oom");
  const ExitRecord exit = wait_exit();
  EXPECT_EQ(exit.exit_code, 137);
  EXPECT_TRUE(exit.oom_killed);
}

TEST_F(ShimContainer, HeldDescriptorsLiveAsLongAsTheContainer) {
  set_script("sleep 100");
  spawn();
  shim.create();
  Pipe pipe = make_pipe();
  std::vector<UniqueFd> held;
  for (int i = 0; i < 300; ++i) held.push_back(duplicate_fd(pipe.write.get()));
  shim.hold(held);
  held.clear();
  pipe.write.reset();
  shim.start();
  EXPECT_FALSE(wait_readable(pipe.read.get(), 100));
  shim.kill(SIGKILL);
  wait_exit();
  EXPECT_TRUE(wait_readable(pipe.read.get(), 10'000));
}

TEST_F(ShimContainer, APausedContainerStandsStill) {
  set_script("i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done");
  spawn();
  shim.create();
  const UniqueFd client = attach({.framed = false});
  shim.start();
  read_until(client.get(), "3\n");
  shim.pause();
  char buffer[65536];
  while (wait_readable(client.get(), 200)) ASSERT_GT(::read(client.get(), buffer, sizeof buffer), 0);
  EXPECT_FALSE(wait_readable(client.get(), 300));
  shim.unpause();
  EXPECT_TRUE(wait_readable(client.get(), 5000));
  shim.kill(SIGKILL);
  wait_exit();
}

#if defined(__SANITIZE_ADDRESS__)
constexpr bool under_sanitizer = true;
#elif defined(__has_feature)
constexpr bool under_sanitizer = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool under_sanitizer = false;
#endif

long read_pss_kib(int pid) {
  std::ifstream rollup(concat("/proc/", pid, "/smaps_rollup"));
  long pss = 0;
  for (std::string word; rollup >> word;) {
    if (word == "Pss:") rollup >> pss;
  }
  return pss;
}

TEST_F(ShimContainer, AShimIsSmall) {
  if (under_sanitizer) GTEST_SKIP() << "needs a build without sanitizers";
  set_script("seq 1 20000; sleep 100");
  spawn();
  const int shim_pid = shim.create().shim_pid;
  const UniqueFd client = attach({.framed = false});
  shim.start();
  read_until(client.get(), "\n20000\n");
  // What counts is the idle shim: it trims itself after a second.
  long pss = read_pss_kib(shim_pid);
  for (int i = 0; i < 200 && pss >= 1000; ++i) {
    std::this_thread::sleep_for(milliseconds(50));
    pss = read_pss_kib(shim_pid);
  }
  std::printf("shim: PSS %ld kB\n", pss);
  EXPECT_GT(pss, 0);
  EXPECT_LT(pss, 1000);  // alone; ten share their text
  shim.kill(SIGKILL);
  wait_exit();
}

}  // namespace
}  // namespace mydocker::test
