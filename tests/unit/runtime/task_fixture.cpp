#include "tests/unit/runtime/task_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "engine/base/sys.h"

namespace mydocker::runtime {
namespace {

constexpr const char* applets[] = {"sh",       "ls",  "cat",   "echo",  "true", "id",   "mount", "sleep", "hostname",
                                   "env",      "pwd", "grep",  "mknod", "dd",   "head", "stat",  "tty",   "touch",
                                   "readlink", "wc",  "mkdir", "uname", "kill", "tr",   "nproc"};

int reap(pid_t pid) {
  siginfo_t status{};
  retry_on_eintr([&] { return ::waitid(P_PID, static_cast<id_t>(pid), &status, WEXITED); });
  return make_exit_status(status.si_code, status.si_status).shell_code();
}

}  // namespace

void TaskTest::SetUp() {
  REQUIRE_ROOT();
  REQUIRE_NAMESPACES();
  REQUIRE_PROGRAM("busybox");
  tree_ = std::make_unique<test::TempTree>(std::initializer_list<std::pair<std::string_view, std::string_view>>{
      {"rootfs/bin/", ""},
      {"rootfs/tmp/", ""},
      {"rootfs/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1001::/home/user:/bin/sh\n"},
      {"rootfs/etc/group", "root:x:0:\nusers:x:1001:\naudio:x:29:user\n"}});
  const std::string busybox = read_file(test::find_program("busybox"));
  const std::string target = tree_->path("rootfs/bin/busybox");
  {
    const UniqueFd file = open_file(target, O_CREAT | O_WRONLY, 0755);
    write_all(file.get(), busybox);
    ASSERT_EQ(::fchmod(file.get(), 0755), 0);
  }
  for (const char* applet : applets) {
    ASSERT_EQ(::symlink("busybox", tree_->path(concat("rootfs/bin/", applet)).c_str()), 0);
  }
  static int number = 0;
  cgroup_.emplace(Cgroup::create(concat("/mydocker-unit-", ::getpid(), "-", ++number)));
}

void TaskTest::TearDown() {
  if (running_) {
    ::kill(running_->pid(), SIGKILL);
    reap(running_->pid());
  }
  if (cgroup_) cgroup_->remove();
}

TaskOptions TaskTest::make_options(const std::string& script) {
  TaskOptions options;
  options.id = "unit";
  options.bundle = tree_->path();
  options.cgroup = &*cgroup_;
  options.spec = make_example_spec();
  options.spec.process.terminal = false;
  options.spec.process.args = {"sh", "-c", script};
  options.spec.root = {"rootfs", false};
  return options;
}

TaskTest::Result TaskTest::run(TaskOptions options) {
  Pipe output = make_pipe();
  options.stdio = {-1, output.write.get(), output.write.get()};
  Task task = Task::create(std::move(options));
  task.wait_created();
  task.start();
  output.write.reset();
  Result result;
  result.output = read_all(output.read.get(), std::size_t{1} << 20, "output");
  result.code = reap(task.pid());
  return result;
}

Task& TaskTest::start(TaskOptions options) {
  running_.emplace(Task::create(std::move(options)));
  running_->wait_created();
  running_->start();
  return *running_;
}

ExecOptions TaskTest::make_exec(const std::string& script) {
  ExecOptions options;
  options.init_pidfd = running_->pidfd();
  options.init_pid = running_->pid();
  options.process = make_options(script).spec.process;
  options.cgroup = &*cgroup_;
  return options;
}

TaskTest::Result TaskTest::exec(const ExecOptions& options) {
  Pipe output = make_pipe();
  ExecOptions own = options;
  own.stdio = {-1, output.write.get(), output.write.get()};
  const Task task = exec_task(own);
  output.write.reset();
  Result result;
  result.output = read_all(output.read.get(), std::size_t{1} << 20, "output");
  result.code = reap(task.pid());
  return result;
}

}  // namespace mydocker::runtime
