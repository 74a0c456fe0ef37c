#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <functional>

#include "engine/base/sys.h"
#include "tests/unit/runtime/task_fixture.h"

/// SECURITY section 4, as far as one container shows it: E4, E5, E6, E7, E8, I2, H2, H3; each with its benign twin in
/// task_test.cpp.
namespace mydocker::runtime {
namespace {

TEST_F(TaskTest, OnlyThreeDescriptorsAreOpen) {
  std::vector<UniqueFd> leaked;
  for (int i = 0; i < 10; ++i) leaked.emplace_back(::open("/", O_RDONLY | O_DIRECTORY));  // not close-on-exec
  // Tested one by one: listing the directory would open one more.
  const std::string list = "i=0; while [ $i -lt 64 ]; do [ -e /proc/$$/fd/$i ] && echo -n \"$i \"; i=$((i+1)); done";
  EXPECT_EQ(run(list).output, "0 1 2 ");
  start(make_options("sleep 100"));
  EXPECT_EQ(exec(make_exec(list)).output, "0 1 2 ");
}

TEST_F(TaskTest, AWorkingDirectoryCannotBeADescriptor) {
  const UniqueFd leaked(::open("/", O_RDONLY | O_DIRECTORY));
  ASSERT_EQ(::symlink("/proc/self/fd/5", tree().path("rootfs/link").c_str()), 0);
  for (int fd = 0; fd < 40; ++fd) {
    TaskOptions options = make_options("pwd");
    options.spec.process.cwd = concat("/proc/self/fd/", fd);
    EXPECT_THROW(run(std::move(options)), LaunchError) << fd;
  }
  for (const char* path : {"/link", "/proc/thread-self/cwd", "/proc/1/root"}) {
    TaskOptions options = make_options("pwd");
    options.spec.process.cwd = path;
    EXPECT_THROW(run(std::move(options)), LaunchError) << path;
  }
}

TEST_F(TaskTest, RightsAreExactlyTheGivenOnes) {
  TaskOptions options = make_options("");
  options.spec.process.args = {"grep", "-E", "^(Cap|NoNewPrivs|SigIgn|SigBlk|Groups)", "/proc/self/status"};
  const std::vector<std::string> names = make_default_capabilities();
  options.spec.process.capabilities = Capabilities{names, names, {}, names, {}};
  options.spec.process.no_new_privileges = false;
  const std::string root = run(options).output;
  EXPECT_NE(root.find("CapInh:\t0000000000000000"), std::string::npos) << root;
  EXPECT_NE(root.find("CapAmb:\t0000000000000000"), std::string::npos) << root;
  EXPECT_NE(root.find("CapPrm:\t00000000a80425fb"), std::string::npos) << root;
  EXPECT_NE(root.find("CapBnd:\t00000000a80425fb"), std::string::npos) << root;
  EXPECT_NE(root.find("NoNewPrivs:\t0"), std::string::npos) << root;
  EXPECT_NE(root.find("SigIgn:\t0000000000000000"), std::string::npos) << root;
  EXPECT_NE(root.find("SigBlk:\t0000000000000000"), std::string::npos) << root;
  options.spec.process.user = {1000, 1001, {}, {29}, ""};
  const std::string user = run(options).output;
  EXPECT_NE(user.find("CapEff:\t0000000000000000"), std::string::npos) << user;
  EXPECT_NE(user.find("CapBnd:\t00000000a80425fb"), std::string::npos) << user;
  EXPECT_NE(user.find("Groups:\t29 1001"), std::string::npos) << user;
}

TEST_F(TaskTest, TheDefaultFilterIsOnWithAndWithoutNoNewPrivileges) {
  for (const bool no_new_privileges : {false, true}) {
    TaskOptions options = make_options("grep Seccomp: /proc/self/status; mount -t tmpfs t /tmp 2>&1");
    options.default_seccomp = true;
    options.spec.process.no_new_privileges = no_new_privileges;
    options.spec.process.capabilities = Capabilities{{"CAP_CHOWN"}, {"CAP_CHOWN"}, {}, {"CAP_CHOWN"}, {}};
    const Result result = run(std::move(options));
    EXPECT_NE(result.output.find("Seccomp:\t2"), std::string::npos) << result.output;
    EXPECT_NE(result.output.find("permission denied"), std::string::npos) << result.output;
  }
  start(make_options("sleep 100"));
  ExecOptions options = make_exec("grep Seccomp: /proc/self/status");
  options.default_seccomp = true;
  EXPECT_EQ(exec(options).output, "Seccomp:\t2\n");
}

TEST_F(TaskTest, MaskedPathsAreEmptyReadOnlyOnesUnwritable) {
  const Result result = run(
      "for p in /proc/acpi /sys/firmware /proc/scsi; do [ -e $p ] && ls -A $p; done; cat /proc/interrupts /proc/keys "
      "/proc/timer_list 2>/dev/null; for p in /proc/sys/kernel/hostname /proc/sysrq-trigger "
      "/proc/irq/default_smp_affinity;"
      " do (echo x > $p) 2>/dev/null && echo writable $p; done; (echo x > /sys/kernel/uevent_helper) 2>/dev/null && "
      "echo "
      "sysfs; touch /sys/fs/cgroup/x 2>/dev/null && echo cgroup; true");
  EXPECT_EQ(result.output, "");
}

TEST_F(TaskTest, NoCgroupFileIsWritable) {
  EXPECT_EQ(
      run("for f in $(ls -d /sys/fs/cgroup/*/* /sys/fs/cgroup/* 2>/dev/null); do [ -f $f ] || continue; (echo 0 > $f) "
          "2>/dev/null && echo "
          "$f; done; true")
          .output,
      "");
}

TEST_F(TaskTest, MadeNodesOfForeignDevicesCannotBeOpened) {
  TaskOptions options = make_options(
      "for d in 'b 8 0' 'b 254 0' 'b 259 0' 'c 1 1' 'c 1 11' 'c 10 229' 'c 10 200'; do mknod /tmp/n $d || echo mknod; "
      "(cat < /tmp/n) >/dev/null 2>&1 && echo opened $d; busybox rm -f /tmp/n; done; echo ok > /dev/null && head -c 1 "
      "/dev/zero | wc -c");
  const std::vector<std::string> names = make_default_capabilities();
  options.spec.process.capabilities = Capabilities{names, names, {}, names, {}};
  EXPECT_EQ(run(std::move(options)).output, "1\n");
}

/// Links of the image where special files belong: refused, or resolved inside the root; the host stays as it is.
TEST_F(TaskTest, FakeSpecialsOfAnImageLeadNowhere) {
  const test::TempTree canary{{"dir/", ""}, {"file", "canary"}};
  const std::string before = canary.listing();
  for (const char* name : {"dev", "sys", "proc", "etc/target"}) {
    remove_tree(tree().path(concat("rootfs/", name)));  // an earlier round made it
    ASSERT_EQ(::symlink(canary.path("dir").c_str(), tree().path(concat("rootfs/", name)).c_str()), 0);
    TaskOptions options = make_options("echo x > /etc/target/made; echo started");
    options.spec.mounts.push_back({"/etc/target/below", "tmpfs", "tmpfs", {}, {}, {}});
    try {
      run(std::move(options));
    } catch (const Error&) {  // refusing is as good
    }
    EXPECT_EQ(canary.listing(), before) << name;
    ASSERT_EQ(::unlink(tree().path(concat("rootfs/", name)).c_str()), 0);
  }
}

TEST_F(TaskTest, ProcAsALinkIsRefused) {
  ASSERT_EQ(::symlink("/tmp", tree().path("rootfs/proc").c_str()), 0);
  EXPECT_THROW_ERROR(run("true"), ErrorKind::invalid_argument, "/proc");
}

TEST_F(TaskTest, NothingIsMountedOutside) {
  const std::string before = read_file("/proc/self/mountinfo");
  run("true");
  start(make_options("sleep 100"));
  EXPECT_EQ(read_file("/proc/self/mountinfo"), before);
}

TEST_F(TaskTest, AnUnknownSecurityLabelStopsTheStart) {
  TaskOptions options = make_options("true");
  options.spec.process.apparmor_profile = "no-such-profile";
  EXPECT_THROW_ERROR(run(std::move(options)), ErrorKind::invalid_argument, "no-such-profile");
}

/// A mount namespace whose every mount is shared, as systemd makes the host's; 0 when a run inside took nothing away.
int compare_mounts_around(const std::function<void()>& run) {
  if (::unshare(CLONE_NEWNS) != 0) return 2;
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return 3;
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SHARED, nullptr) != 0) return 4;
  const std::string before = read_file("/proc/self/mountinfo");
  run();
  const std::string after = read_file("/proc/self/mountinfo");
  const auto lines = [](const std::string& text) { return std::count(text.begin(), text.end(), '\n'); };
  return lines(before) == lines(after) ? 0 : 1;
}

TEST_F(TaskTest, ASharedRootUnmountsNothingOfTheHost) {
  TaskOptions options = make_options("true");
  options.spec.linux.rootfs_propagation = "rshared";
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) ::_exit(compare_mounts_around([&] { run(std::move(options)); }));
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace mydocker::runtime
