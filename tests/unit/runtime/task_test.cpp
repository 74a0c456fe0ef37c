#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "engine/base/sys.h"
#include "tests/unit/runtime/task_fixture.h"

/// What a container sees and what its start answers.
namespace mydocker::runtime {
namespace {

struct BadProgram {
  const char* program;
  int exit_code;
  const char* text;
};

TEST_F(TaskTest, BadProgramsAreNamedInDockersWords) {
  const BadProgram table[] = {
      {"nosuch", 127, R"(exec: "nosuch": executable file not found in $PATH)"},
      {"/nosuch", 127, R"(exec: "/nosuch": stat /nosuch: no such file or directory)"},
      {"/etc/passwd", 126, R"(exec: "/etc/passwd": permission denied)"},
      {"/etc", 126, R"(exec: "/etc": is a directory: permission denied)"},
  };
  for (const BadProgram& row : table) {
    TaskOptions options = make_options("");
    options.spec.process.args = {row.program};
    try {
      run(std::move(options));
      ADD_FAILURE() << row.program;
    } catch (const LaunchError& error) {
      EXPECT_EQ(error.message(), row.text);
      EXPECT_EQ(error.exit_code(), row.exit_code);
      EXPECT_EQ(error.kind(), ErrorKind::invalid_argument);
    }
  }
}

TEST_F(TaskTest, ExitCodesAndSignalsCount) {
  EXPECT_EQ(run("exit 7").code, 7);
  EXPECT_EQ(run("sh -c 'kill -9 $$'; exit $?").code, 137);
}

TEST_F(TaskTest, ItIsPid1WithItsOwnHostnameAndInterfaces) {
  const Result result = run("echo $$; hostname; ls /sys/class/net; echo /proc/[0-9]*");
  EXPECT_EQ(result.output, "1\nmydocker\nlo\n/proc/1\n");
}

TEST_F(TaskTest, ItReadsItsOwnLimits) {
  TaskOptions options = make_options(
      "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null;"
      "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max 2>/dev/null");
  if (!cgroup().layout().has("memory") || !cgroup().layout().has("cpu")) GTEST_SKIP() << "no memory or cpu controller";
  options.spec.linux.resources->memory = Memory{};
  options.spec.linux.resources->memory->limit = 100 << 20;
  options.spec.linux.resources->cpu = Cpu{};
  options.spec.linux.resources->cpu->quota = 50000;
  const std::string output = run(std::move(options)).output;
  EXPECT_EQ(output.substr(0, output.find('\n')), "104857600");
  EXPECT_NE(output.find("50000"), std::string::npos);
}

TEST_F(TaskTest, AMemoryHogIsKilledAndCounted) {
  if (!cgroup().layout().has("memory")) GTEST_SKIP() << "no memory controller";
  std::optional<OomWatch> watch = OomWatch::start(cgroup());
  ASSERT_TRUE(watch.has_value());
  TaskOptions options = make_options("dd if=/dev/zero of=/dev/shm/hog bs=1M count=60; exit 3");
  options.spec.linux.resources->memory = Memory{};
  options.spec.linux.resources->memory->limit = 20 << 20;
  const Result result = run(std::move(options));
  EXPECT_TRUE(wait_readable(watch->fd(), 1000));
  EXPECT_TRUE(watch->read());
  EXPECT_GE(cgroup().oom_kill_count(), 1U);
  EXPECT_NE(result.code, 0);
}

TEST_F(TaskTest, UsersAreResolvedInTheRootfs) {
  TaskOptions options = make_options("id; echo $HOME; stat -c %u /new/dir");
  options.user = "user";
  options.group_add = {"4242"};
  options.resolve_home = true;
  options.spec.process.cwd = "/new/dir";
  EXPECT_EQ(run(std::move(options)).output,
            "uid=1000(user) gid=1001(users) groups=29(audio),1001(users),4242\n/home/user\n1000\n");
  TaskOptions unknown = make_options("true");
  unknown.user = "nobody";
  EXPECT_THROW_ERROR(run(std::move(unknown)), ErrorKind::invalid_argument, "unable to find user nobody");
}

TEST_F(TaskTest, BindsTmpfsAndReadOnlyRootAreAsAsked) {
  TaskOptions options = make_options(
      "cat /data; echo x > /data || echo refused; touch /t/x && echo tmpfs; touch /y 2>/dev/null || echo ro; stat -c "
      "%a /t");
  ASSERT_NO_THROW(tree().write("host-file", "from outside\n"));
  options.spec.root.readonly = true;
  ASSERT_EQ(::mkdir(tree().path("rootfs/t").c_str(), 0755), 0);
  tree().write("rootfs/data", "");
  options.spec.mounts.push_back({"/data", "bind", tree().path("host-file"), {"bind", "ro"}, {}, {}});
  options.spec.mounts.push_back({"/t", "tmpfs", "tmpfs", {"size=1m", "mode=1770"}, {}, {}});
  const Result result = run(std::move(options));
  EXPECT_NE(result.output.find("from outside\n"), std::string::npos);
  EXPECT_NE(result.output.find("refused\n"), std::string::npos);
  EXPECT_NE(result.output.find("tmpfs\nro\n1770\n"), std::string::npos);
}

TEST_F(TaskTest, ADirectoryOnAFileIsExplained) {
  TaskOptions options = make_options("true");
  options.spec.mounts.push_back({"/etc/passwd", "bind", tree().path("rootfs/tmp"), {"bind"}, {}, {}});
  try {
    run(std::move(options));
    ADD_FAILURE();
  } catch (const LaunchError& error) {
    EXPECT_NE(error.message().find("Are you trying to mount a directory onto a file (or vice-versa)?"),
              std::string::npos);
    EXPECT_EQ(error.exit_code(), 127);
  }
}

TEST_F(TaskTest, AnOverlayOfLayersIsTheRoot) {
  const test::TempTree layers{{"l1/one", "1"}, {"l1/both", "low"}, {"l2/both", "high"}, {"upper/", ""}, {"work/", ""}};
  TaskOptions options = make_options("cat /one /both; echo new > /made");
  options.overlay =
      OverlayMount{{layers.path("l2"), layers.path("l1"), rootfs()}, layers.path("upper"), layers.path("work"), false};
  EXPECT_EQ(run(std::move(options)).output, "1high");
  EXPECT_EQ(layers.read("upper/made"), "new\n");
}

TEST_F(TaskTest, SysctlsOfTheOwnNamespacesAreSet) {
  TaskOptions options = make_options("cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax");
  options.spec.linux.sysctl = {{"net.ipv4.ip_unprivileged_port_start", "0"}, {"kernel.msgmax", "9999"}};
  EXPECT_EQ(run(std::move(options)).output, "0\n9999\n");
}

TEST_F(TaskTest, TimeOffsetsMoveTheBootClock) {
  TaskOptions options = make_options("read up rest < /proc/uptime; [ ${up%.*} -gt 100000000 ] && echo moved");
  options.spec.linux.namespaces.push_back({"time", ""});
  options.spec.linux.time_offsets = {{"boottime", {100000000, 0}}};
  EXPECT_EQ(run(std::move(options)).output, "moved\n");
  // The caller is back in its own time.
  EXPECT_LT(std::stod(read_file("/proc/uptime")), 100000000.0);
}

TEST_F(TaskTest, AUserNamespaceMapsRootToSomebodyElse) {
  REQUIRE_USER_NAMESPACES();
  ASSERT_EQ(::chmod(tree().path().c_str(), 0755), 0);
  for (const char* name : {"proc", "sys", "dev"}) {  // the mapped root may not make them in a directory of the host's
    ASSERT_EQ(::mkdir(tree().path(concat("rootfs/", name)).c_str(), 0755), 0);
  }
  TaskOptions options = make_options("id -u; cat /proc/self/uid_map | tr -s ' '; echo hi > /dev/null && echo null");
  options.spec.linux.namespaces.push_back({"user", ""});
  options.spec.linux.uid_mappings = {{0, 100000, 65536}};
  options.spec.linux.gid_mappings = {{0, 100000, 65536}};
  EXPECT_EQ(run(std::move(options)).output, "0\n 0 100000 65536\nnull\n");
}

TEST_F(TaskTest, ATerminalHasItsSizeAndComesFromTheContainersDevpts) {
  TaskOptions options = make_options("tty; ls -l /dev/console | grep -c ' 136, '");
  options.spec.process.terminal = true;
  options.spec.process.console_size = ConsoleSize{33, 77};
  Task task = Task::create(std::move(options));
  task.wait_created();
  const UniqueFd console = task.take_console();
  ASSERT_TRUE(console);
  task.start();
  std::string output;
  char buffer[256];
  for (;;) {
    const ssize_t count = ::read(console.get(), buffer, sizeof buffer);
    if (count <= 0) break;
    output.append(buffer, static_cast<std::size_t>(count));
  }
  EXPECT_EQ(output, "/dev/pts/0\r\n1\r\n");
  ::waitpid(task.pid(), nullptr, 0);
}

TEST_F(TaskTest, RequestedRlimitsAreRefusedOthersClamped) {
  rlimit own{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &own), 0);
  TaskOptions options = make_options("ulimit -Hn");
  options.spec.process.rlimits = {{"RLIMIT_NOFILE", std::uint64_t{1} << 40, 100}};  // beyond what any kernel allows
  EXPECT_EQ(run(options).output, std::to_string(own.rlim_max) + "\n");
  options.requested_rlimits = {"RLIMIT_NOFILE"};
  EXPECT_THROW_ERROR(run(options), ErrorKind::invalid_argument, "RLIMIT_NOFILE");
}

TEST_F(TaskTest, StartMayComeFromAnotherConnection) {
  const std::string path = tree().path("start");
  const UniqueFd listener = listen_unix(path, SOCK_SEQPACKET);
  TaskOptions options = make_options("exit 5");
  options.start_listener = listener.get();
  const Spec spec = options.spec;
  Task task = Task::create(std::move(options));
  task.wait_created();
  start_created(path, spec, {});
  task.release();
  int status = 0;
  ASSERT_EQ(::waitpid(task.pid(), &status, 0), task.pid());
  EXPECT_EQ(WEXITSTATUS(status), 5);
}

TEST_F(TaskTest, ATaskThatIsNotStartedDiesWithItsObject) {
  pid_t pid = -1;
  {
    Task task = Task::create(make_options("true"));
    task.wait_created();
    pid = task.pid();
  }
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_TRUE(cgroup().empty());
}

TEST_F(TaskTest, HooksSeeTheStateAtTheirTime) {
  TaskOptions options = make_options("cat /ran; echo main");
  const auto hook = [&](const char* name) {
    return std::vector<Hook>{{"/bin/sh", {"sh", "-c", concat("cat > ", tree().path(name))}, {}, {}}};
  };
  Hooks hooks;
  hooks.prestart = hook("prestart");
  hooks.create_runtime = hook("createRuntime");
  hooks.create_container = hook("createContainer");
  hooks.start_container = {{"/bin/sh", {"sh", "-c", "cat > /ran"}, {}, {}}};
  hooks.poststart = hook("poststart");
  options.spec.hooks = hooks;
  const Result result = run(std::move(options));
  EXPECT_NE(result.output.find("\"status\":\"created\""), std::string::npos);
  for (const char* name : {"prestart", "createRuntime", "createContainer"}) {
    EXPECT_NE(tree().read(name).find("\"status\":\"creating\""), std::string::npos) << name;
  }
  EXPECT_NE(tree().read("poststart").find("\"status\":\"running\""), std::string::npos);
  TaskOptions failing = make_options("true");
  failing.spec.hooks.emplace().create_runtime = {{"/bin/false", {}, {}, {}}};
  EXPECT_THROW_ERROR(run(std::move(failing)), ErrorKind::internal, "hook createRuntime /bin/false: exit status 1");
}

TEST_F(TaskTest, AnExecJoinsEverything) {
  start(make_options("sleep 100"));
  const Result result =
      exec(make_exec("hostname; "
                     "[ $(readlink /proc/self/ns/net) = $(readlink /proc/1/ns/net) ] && echo same; "
                     "cat /proc/self/cgroup | grep -vc ':/$'; exit 9"));
  EXPECT_EQ(result.output, "mydocker\nsame\n0\n");
  EXPECT_EQ(result.code, 9);
  EXPECT_THROW_ERROR(exec([&] {
                       ExecOptions options = make_exec("");
                       options.process.args = {"nosuch"};
                       return options;
                     }()),
                     ErrorKind::invalid_argument, R"(exec: "nosuch": executable file not found in $PATH)");
}

}  // namespace
}  // namespace mydocker::runtime
