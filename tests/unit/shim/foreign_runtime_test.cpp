#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <csignal>

#include "engine/base/sys.h"
#include "runtime/cgroup.h"
#include "runtime/shim/oci_program.h"
#include "tests/support/requirements.h"
#include "tests/unit/shim/shim_fixture.h"

/// The shim drives another OCI runtime: the same container, made by runc, by crun and by our own program.
namespace mydocker::test {
namespace {

using runtime::ExitRecord;
using runtime::LaunchError;

class ForeignRuntime : public ShimTest, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    ShimTest::SetUp();
    if (IsSkipped()) return;
    const std::string name = GetParam();
    const std::string path = name == "mydocker-runtime" ? MYDOCKER_RUNTIME_PROGRAM : find_program(name);
    if (path.empty()) GTEST_SKIP() << "needs the program " << name;
    config.foreign_runtime = runtime::ForeignRuntime{.path = path, .arguments = {}};
  }
};

TEST_P(ForeignRuntime, OutputIsLoggedAndTheExitIsRecorded) {
  set_script("echo out; echo err >&2; id -u; echo home=$HOME; exit 7");
  config.user = "nobody";
  run();
  EXPECT_EQ(wait_exit().exit_code, 7);
  const std::string log = read_log();
  EXPECT_NE(log.find("out\n"), std::string::npos) << log;
  EXPECT_NE(log.find("err\n"), std::string::npos) << log;
  EXPECT_NE(log.find("65534\n"), std::string::npos) << log;
  EXPECT_NE(log.find("home=/\n"), std::string::npos) << log;
  wait_shim_end();
  EXPECT_THROW_ERROR(runtime::Cgroup::open(spec.linux.cgroups_path), ErrorKind::not_found, "");
  EXPECT_TRUE(path_exists(tree.path("upper")));
}

TEST_P(ForeignRuntime, InputReachesTheProgramAndATerminalIsOne) {
  set_script("tty; stty size; read -r line; echo \"got $line\"");
  config.tty = true;
  config.open_stdin = true;
  config.console_height = 33;
  config.console_width = 77;
  spawn();
  shim.create();
  runtime::AttachRequest request;
  request.stdin_ = true;
  request.framed = false;
  const UniqueFd client = attach(request);
  shim.start();
  EXPECT_NE(read_until(client.get(), "33 77\r\n").find("/dev/pts/0"), std::string::npos);
  write_all(client.get(), "word\n");
  EXPECT_NE(read_to_end(client.get()).find("got word"), std::string::npos);
  EXPECT_EQ(wait_exit().exit_code, 0);
}

TEST_P(ForeignRuntime, ExecHasItsOwnStreamsAndExitCode) {
  set_script("sleep 1000");
  run();
  const UniqueFd client = exec(make_exec("one", "echo of exec; echo problem >&2; exit 5"));
  const std::string frames = read_to_end(client.get());
  EXPECT_EQ(unframe(frames, 1), "of exec\n");
  EXPECT_EQ(unframe(frames, 2), "problem\n");
  const runtime::ShimEvent event = wait_event("exec_exit");
  EXPECT_EQ(event.exit_code, 5);
  EXPECT_TRUE(shim.kill(SIGKILL));
  EXPECT_EQ(wait_exit().exit_code, 137);
}

/// Where the engine lives in a chroot, the machine's root must not be the one that an exec comes to.
TEST_P(ForeignRuntime, InAChrootAnExecSeesTheContainersRoot) {
  ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
  ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  const std::string chroot_directory = tree.path("chroot");
  make_dirs(chroot_directory);
  // Another place than the machine's root, with the same things below it.
  ASSERT_EQ(::mount("/", chroot_directory.c_str(), nullptr, MS_BIND | MS_REC, nullptr), 0);
  const UniqueFd outside = open_file("/", O_PATH | O_DIRECTORY);
  ASSERT_EQ(::chroot(chroot_directory.c_str()), 0);
  ASSERT_EQ(::chdir("/"), 0);
  tree.write("lower/marker", "there\n");
  set_script("sleep 1000");
  run();
  const UniqueFd client = exec(make_exec("one", "cat /marker; ls /"));
  EXPECT_EQ(unframe(read_to_end(client.get()), 1), "there\nbin\ndev\netc\nmarker\nproc\nsys\ntmp\n");
  EXPECT_TRUE(shim.kill(SIGKILL));
  EXPECT_EQ(wait_exit().exit_code, 137);
  wait_shim_end();
  ASSERT_EQ(::fchdir(outside.get()), 0);
  ASSERT_EQ(::chroot("."), 0);
  ASSERT_EQ(::umount2(chroot_directory.c_str(), MNT_DETACH), 0);
}

TEST_P(ForeignRuntime, AnExecWithATerminalCanBeResized) {
  set_script("sleep 1000");
  run();
  runtime::ExecRequest request = make_exec("one", "read -r line; stty size");
  request.tty = true;
  request.streams.stdin_ = true;
  request.streams.framed = false;
  const UniqueFd client = exec(request);
  shim.exec_resize("one", 21, 84);
  write_all(client.get(), "\n");
  EXPECT_NE(read_to_end(client.get()).find("21 84"), std::string::npos);
}

TEST_P(ForeignRuntime, AMissingProgramIs127AndLeavesNothing) {
  spec.process.args = {"no-such-program"};
  spawn();
  try {
    shim.create();
    shim.start();
    ADD_FAILURE() << "it started";
  } catch (const LaunchError& error) {
    EXPECT_EQ(error.exit_code(), 127) << error.message();
    EXPECT_NE(error.message().find("no-such-program"), std::string::npos) << error.message();
  }
  wait_shim_end();
  EXPECT_THROW_ERROR(runtime::Cgroup::open(spec.linux.cgroups_path), ErrorKind::not_found, "");
}

TEST_P(ForeignRuntime, AMissingProgramOfAnExecIs127) {
  set_script("sleep 1000");
  run();
  runtime::ExecRequest request = make_exec("one", "");
  runtime::Process process = spec.process;
  process.args = {"no-such-program"};
  request.process = to_json(process);
  try {
    exec(request);
    ADD_FAILURE() << "it started";
  } catch (const LaunchError& error) {
    EXPECT_EQ(error.exit_code(), 127) << error.message();
  }
}

TEST_P(ForeignRuntime, LimitsReachTheCgroupAndAnOomKillIsTold) {
  set_script("dd if=/dev/zero of=/dev/null bs=200M count=1");
  spec.linux.resources.emplace();
  spec.linux.resources->memory.emplace();
  spec.linux.resources->memory->limit = 32 << 20;
  spec.linux.resources->memory->swap = 32 << 20;
  run();
  const ExitRecord exit = wait_exit();
  EXPECT_EQ(exit.exit_code, 137);
  EXPECT_TRUE(exit.oom_killed);
}

TEST_P(ForeignRuntime, PauseStopsItAndUnpauseLetsItGoOn) {
  set_script("sleep 1000");
  run();
  shim.pause();
  EXPECT_TRUE(runtime::Cgroup::open(spec.linux.cgroups_path).frozen());
  shim.unpause();
  EXPECT_FALSE(runtime::Cgroup::open(spec.linux.cgroups_path).frozen());
  EXPECT_TRUE(shim.kill(SIGTERM));
  shim.kill(SIGKILL);
  wait_exit();
}

TEST_P(ForeignRuntime, TheSeccompFilterIsThere) {
  set_script("while read -r line; do case $line in Seccomp:*) echo $line;; esac; done < /proc/self/status");
  run();
  EXPECT_EQ(wait_exit().exit_code, 0);
  EXPECT_NE(read_log().find("Seccomp: 2"), std::string::npos) << read_log();
}

INSTANTIATE_TEST_SUITE_P(Program, ForeignRuntime, testing::Values("runc", "crun", "mydocker-runtime"),
                         [](const auto& info) {
                           const std::string name = info.param;
                           return name == "mydocker-runtime" ? "own" : name;
                         });

TEST(OciProgram, ItsLogIsReadAndItsErrorsAreUnderstood) {
  EXPECT_EQ(shim::find_runtime_error(R"({"level":"info","msg":"x"}
not json
{"level":"error","msg":"runc create failed: unable to start container process: exec: \"a\": executable file not found in $PATH"}
[1]
)"),
            "exec: \"a\": executable file not found in $PATH");
  EXPECT_EQ(shim::find_runtime_error(R"({"msg":"crun: nope","level":"error","time":"x"})"), "crun: nope");
  EXPECT_EQ(shim::find_runtime_error("\xff\xfe{"), "");
  EXPECT_EQ(shim::exit_code_of_runtime_error("exec: \"a\": executable file not found in $PATH"), 127);
  EXPECT_EQ(shim::exit_code_of_runtime_error("open executable: Permission denied"), 126);
  EXPECT_EQ(shim::exit_code_of_runtime_error("something else"), 128);
}

}  // namespace
}  // namespace mydocker::test
