#include "engine/base/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <csignal>

#include "engine/base/sys.h"
#include "tests/support/requirements.h"

namespace mydocker {
namespace {

SpawnOptions shell(const std::string& script) {
  return SpawnOptions{.program = "/bin/sh", .arguments = {"sh", "-c", script}, .environment = {"PATH=/usr/bin:/bin"}};
}

/// What the script prints on the descriptor that it gets as number 1.
std::string output_of(SpawnOptions options) {
  Pipe pipe = make_pipe();
  options.fds.emplace_back(pipe.write.get(), 1);
  Process process = Process::spawn(options);
  pipe.write.reset();
  std::string out = read_all(pipe.read.get(), 1 << 20, "pipe");
  process.wait();
  return out;
}

TEST(Process, ExitCodesAndSignalsAreTold) {
  EXPECT_EQ(Process::spawn(shell("exit 7")).wait().shell_code(), 7);
  const ExitStatus killed = Process::spawn(shell("kill -9 $$")).wait();
  EXPECT_EQ(killed.signal, SIGKILL);
  EXPECT_EQ(killed.shell_code(), 137);
  EXPECT_TRUE(Process::spawn(shell("true")).wait().success());
}

TEST(Process, AMissingProgramIsNamed) {
  EXPECT_THROW_ERROR(Process::spawn(SpawnOptions{.program = "/no/such", .arguments = {"such"}}), ErrorKind::internal,
                     "spawn /no/such: No such file or directory");
}

TEST(Process, OnlyNamedDescriptorsArrive) {
  ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);  // what the test's own caller left open is not ours to judge
  const UniqueFd kept = open_file("/dev/zero", O_RDONLY);
  const Pipe extra = make_pipe();
  SpawnOptions options = shell("ls /proc/self/fd | tr '\\n' ' '");
  options.fds = {{extra.read.get(), 9}};
  EXPECT_EQ(output_of(options), "0 1 2 3 9 ");  // 3 is ls's own
}

TEST(Process, CrossedDescriptorNumbersAreMapped) {
  const Pipe a = make_pipe();
  const Pipe b = make_pipe();
  SpawnOptions options = shell("echo a >&$A; echo b >&$B");
  options.environment.push_back(concat("A=", b.write.get()));
  options.environment.push_back(concat("B=", a.write.get()));
  options.fds = {{a.write.get(), b.write.get()}, {b.write.get(), a.write.get()}};
  if (a.write.get() > 9 || b.write.get() > 9) GTEST_SKIP() << "dash redirects one-digit descriptors only";
  EXPECT_TRUE(Process::spawn(options).wait().success());
  char byte = 0;
  ASSERT_EQ(::read(a.read.get(), &byte, 1), 1);
  EXPECT_EQ(byte, 'a');
  ASSERT_EQ(::read(b.read.get(), &byte, 1), 1);
  EXPECT_EQ(byte, 'b');
}

TEST(Process, SignalMaskAndHandlersAreReset) {
  sigset_t blocked;
  sigset_t before;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &blocked, &before);
  const auto handler = ::signal(SIGPIPE, SIG_IGN);
  const std::string status = output_of(shell("grep -E '^Sig(Blk|Ign)' /proc/self/status | tr -d '\\t\\n'"));
  ::signal(SIGPIPE, handler);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  // 32 and 33 belong to glibc: its posix_spawn always leaves them ignored (man 7 signal, "Real-time signals").
  EXPECT_EQ(status, "SigBlk:0000000000000000SigIgn:0000000180000000");
}

TEST(Process, TheEnvironmentIsExactlyTheGivenOne) {
  ::setenv("LEAKED_SECRET", "x", 1);
  SpawnOptions options{.program = "/usr/bin/env", .arguments = {"env"}, .environment = {"A=1"}};
  EXPECT_EQ(output_of(options), "A=1\n");
}

TEST(Process, DestroyingARunningOneKillsAndReapsIt) {
  pid_t pid = 0;
  {
    const Process process = Process::spawn(shell("exec sleep 1000"));
    pid = process.pid();
  }
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_EQ(::waitpid(pid, nullptr, WNOHANG), -1);
}

TEST(Process, AReleasedOneRunsOn) {
  Process process = Process::spawn(shell("exec sleep 1000"));
  const pid_t pid = process.pid();
  const UniqueFd pidfd = process.release();
  {
    const Process gone = std::move(process);
  }
  EXPECT_TRUE(signal_pidfd(pidfd.get(), SIGKILL));
  EXPECT_EQ(::waitpid(pid, nullptr, 0), pid);
}

}  // namespace
}  // namespace mydocker
