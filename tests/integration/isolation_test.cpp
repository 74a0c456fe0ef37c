// What a default container can and cannot do, and what the flags change.

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <filesystem>

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

constexpr const char* default_capabilities = "00000000a80425fb";

class IsolationTest : public DaemonTest {
 protected:
  std::string output(std::vector<std::string> command, json::object host = {}, json::object extra = {}) {
    const Outcome outcome =
        run_to_end({.command = std::move(command), .extra = std::move(extra), .host = std::move(host)});
    return outcome.out + outcome.err;
  }
};

TEST_F(IsolationTest, EveryNamespaceIsItsOwn) {
  const std::string inside = output({"/payload", "ns"});
  const std::string outside = run_command({payload_program(), "ns"}).out;
  for (const char* kind : {"cgroup", "ipc", "mnt", "net", "pid", "uts"}) {
    const auto line = [&](const std::string& all) {
      const std::size_t begin = all.find(concat(kind, " "));
      return all.substr(begin, all.find('\n', begin) - begin);
    };
    EXPECT_NE(line(inside), line(outside)) << kind;
  }
}

TEST_F(IsolationTest, ItIsPidOneAndSeesOnlyItself) {
  const std::string out = output({"/payload", "pids"});
  EXPECT_TRUE(out.starts_with("self 1 parent 0 ")) << out;
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 2) << out;
}

TEST_F(IsolationTest, TheFourteenDefaultCapabilities) {
  const std::string out = output({"/payload", "caps"});
  EXPECT_NE(out.find(concat("CapEff:\t", default_capabilities)), std::string::npos) << out;
  EXPECT_NE(out.find(concat("CapBnd:\t", default_capabilities)), std::string::npos) << out;
  EXPECT_NE(out.find(concat("CapPrm:\t", default_capabilities)), std::string::npos) << out;
  EXPECT_NE(out.find("CapInh:\t0000000000000000"), std::string::npos) << out;
  EXPECT_NE(out.find("CapAmb:\t0000000000000000"), std::string::npos) << out;
  EXPECT_NE(out.find("Seccomp:\t2"), std::string::npos) << out;
}

TEST_F(IsolationTest, CapabilitiesAreAddedAndDropped) {
  EXPECT_NE(output({"/payload", "caps"}, {{"CapDrop", json::array{"ALL"}}}).find("CapEff:\t0000000000000000"),
            std::string::npos);
  // NET_ADMIN is bit 12, CHOWN bit 0.
  const std::string out =
      output({"/payload", "caps"}, {{"CapDrop", json::array{"chown"}}, {"CapAdd", json::array{"CAP_NET_ADMIN"}}});
  EXPECT_NE(out.find("CapEff:\t00000000a80435fa"), std::string::npos) << out;
}

TEST_F(IsolationTest, AUserHasNoEffectiveCapabilities) {
  const std::string out = output({"/payload", "caps"}, {}, {{"User", "1000"}});
  EXPECT_NE(out.find("CapEff:\t0000000000000000"), std::string::npos) << out;
  EXPECT_NE(out.find(concat("CapBnd:\t", default_capabilities)), std::string::npos) << out;
}

TEST_F(IsolationTest, UsersAreResolvedInTheImage) {
  const std::pair<const char*, const char*> rows[] = {
      {"user", "uid 1000 gid 1000 groups 1000 2000\n"},  {"1000", "uid 1000 gid 1000 groups 1000 2000\n"},
      {"user:extra", "uid 1000 gid 2000 groups 2000\n"}, {"4242", "uid 4242 gid 0 groups 0\n"},
      {"4242:4243", "uid 4242 gid 4243 groups 4243\n"},
  };
  for (const auto& [user, expected] : rows) {
    EXPECT_EQ(output({"/payload", "id"}, {}, {{"User", user}}), expected) << user;
  }
}

TEST_F(IsolationTest, GroupAddGivesSupplementaryGroups) {
  EXPECT_EQ(output({"/payload", "id"}, {{"GroupAdd", json::array{"extra", "777"}}}, {{"User", "4242:4243"}}),
            "uid 4242 gid 4243 groups 777 2000 4243\n");
}

TEST_F(IsolationTest, DangerousSyscallsAreRefused) {
  // unshare of a user namespace and mount need capabilities; keyctl (250) and kexec_load (246) are not on the list.
  EXPECT_EQ(output({"/payload", "unshare", "268435456"}), "errno 1\n");
  EXPECT_EQ(output({"/payload", "syscall", "250", "0"}), "errno 1\n");
  EXPECT_EQ(output({"/payload", "syscall", "246"}), "errno 1\n");
  // A number that no kernel knows must look like one: newer libcs fall back on ENOSYS only.
  EXPECT_EQ(output({"/payload", "syscall", "999"}), "errno 38\n");
  EXPECT_EQ(output({"/payload", "syscall", "39"}), "ok 1\n");
}

/// Compiled filters are kept beside the sockets of the shims and taken by the next start, and by an exec, unless
/// somebody else could have written them.
TEST_F(IsolationTest, CompiledSeccompFiltersAreKeptAndOnlyOurOwnAreTaken) {
  const std::vector<std::string> refused = {"/payload", "syscall", "250", "0"};
  EXPECT_EQ(output(refused), "errno 1\n");
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(engine().exec_root() + "/filters")) {
    files.push_back(entry.path().string());
  }
  ASSERT_EQ(files.size(), 1U);
  struct stat status{};
  ASSERT_EQ(::stat(files[0].c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600U);
  ASSERT_EQ(::stat((engine().exec_root() + "/filters").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700U);
  // A kept program that answers 77 for EPERM: what is seen then was not compiled anew.
  const std::string good = read_file(files[0]);
  std::string changed = good;
  std::uint32_t key_bytes = 0;
  std::memcpy(&key_bytes, good.data() + 8, sizeof key_bytes);
  for (std::size_t at = 16 + key_bytes; at + 8 <= changed.size(); at += 8) {
    if (changed.compare(at, 8, std::string("\x06\0\0\0\x01\0\x05\0", 8)) == 0) changed[at + 4] = 77;
  }
  ASSERT_NE(changed, good);
  write_all(open_file(files[0], O_WRONLY | O_TRUNC).get(), changed);
  EXPECT_EQ(output(refused), "errno 77\n");
  const std::string id = run({});
  EXPECT_EQ(exec(id, refused).out, "errno 77\n");
  ASSERT_EQ(::chmod(files[0].c_str(), 0660), 0);
  EXPECT_EQ(exec(id, refused).out, "errno 1\n");
  EXPECT_EQ(output(refused), "errno 1\n");
  EXPECT_EQ(read_file(files[0]), good);
}

TEST_F(IsolationTest, SeccompCanBeTurnedOff) {
  const std::string out = output({"/payload", "caps"}, {{"SecurityOpt", json::array{"seccomp=unconfined"}}});
  EXPECT_NE(out.find("Seccomp:\t0"), std::string::npos) << out;
}

TEST_F(IsolationTest, ACustomSeccompProfileIsEnforced) {
  // mkdir (83) fails with errno 42; all else is allowed. The benign twin writes a file.
  const std::string profile = R"({"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],
      "syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":42}]})";
  const json::object host{{"SecurityOpt", json::array{"seccomp=" + profile}}};
  EXPECT_EQ(output({"/payload", "syscall", "83", "0"}, host), "errno 42\n");
  EXPECT_EQ(output({"/payload", "write", "/tmp/x", "y"}, host), "");
  const std::string id = create({.host = {{"NetworkMode", "none"}, {"SecurityOpt", json::array{"seccomp={\"bad\""}}}});
  if (!id.empty()) EXPECT_GE(client().post("/containers/" + id + "/start").status, 400);
}

TEST_F(IsolationTest, NoNewPrivilegesIsSet) {
  EXPECT_NE(output({"/payload", "caps"}).find("NoNewPrivs:\t0"), std::string::npos);
  EXPECT_NE(output({"/payload", "caps"}, {{"SecurityOpt", json::array{"no-new-privileges"}}}).find("NoNewPrivs:\t1"),
            std::string::npos);
}

TEST_F(IsolationTest, MaskedPathsAreEmptyAndReadOnlyOnesUnwritable) {
  EXPECT_EQ(output({"sh", "-c", "cat /proc/kcore 2>/dev/null | head -c 10"}), "");
  EXPECT_EQ(output({"sh", "-c", "cat /proc/timer_list 2>/dev/null | head -c 10"}), "");
  EXPECT_EQ(output({"sh", "-c", "ls /sys/firmware"}), "");
  EXPECT_NE(output({"sh", "-c", "echo 1 > /proc/sys/kernel/hostname"}).find("ead-only"), std::string::npos);
  if (path_exists("/proc/sysrq-trigger")) {
    EXPECT_NE(output({"sh", "-c", "echo h > /proc/sysrq-trigger"}).find("ead-only"), std::string::npos);
  }
  EXPECT_NE(output({"sh", "-c", "mkdir /sys/fs/cgroup/x /sys/fs/cgroup/memory/x"}).find("ead-only"), std::string::npos);
}

TEST_F(IsolationTest, OnlyTheDefaultDevicesOpen) {
  EXPECT_EQ(output({"/payload", "mknod", "/tmp/null", "1", "3"}), "opened\n");
  EXPECT_EQ(output({"/payload", "mknod", "/tmp/mem", "1", "1"}), "open: Operation not permitted\n");
  EXPECT_EQ(output({"/payload", "mknod", "/tmp/kmsg", "1", "11"}), "open: Operation not permitted\n");
  EXPECT_EQ(output({"/payload", "mknod", "/tmp/fuse", "10", "229"}), "open: Operation not permitted\n");
  const std::string dev = output({"sh", "-c", "ls /dev | grep -v core | tr '\\n' ' '"});
  EXPECT_EQ(dev, "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero ");
}

TEST_F(IsolationTest, ADeviceCanBeGiven) {
  // One that no default container has and that anybody may open.
  std::string device;
  for (const char* path : {"/dev/fuse", "/dev/net/tun", "/dev/loop-control", "/dev/hwrng"}) {
    if (device.empty() && path_exists(path)) device = path;
  }
  if (device.empty()) GTEST_SKIP() << "needs a device of the host";
  const json::object host{
      {"Devices", json::array{json::object{
                      {"PathOnHost", device}, {"PathInContainer", "/dev/given"}, {"CgroupPermissions", "r"}}}}};
  EXPECT_EQ(
      output({"sh", "-c", "exec 3</dev/given && echo opened; (exec 3>/dev/given) 2>/dev/null || echo no write"}, host),
      "opened\nno write\n");
}

TEST_F(IsolationTest, PrivilegedHasAllThatTheEngineHas) {
  const std::string out = output({"/payload", "caps"}, {{"Privileged", true}});
  const std::string own = read_file("/proc/self/status");
  const std::size_t bounding = own.find("CapBnd:\t");
  EXPECT_NE(out.find("CapEff:" + own.substr(bounding + 7, 17)), std::string::npos) << out;
  EXPECT_NE(out.find("Seccomp:\t0"), std::string::npos) << out;
  EXPECT_EQ(output({"sh", "-c", "mount -t tmpfs x /tmp && echo mounted"}, {{"Privileged", true}}), "mounted\n");
  EXPECT_EQ(output({"sh", "-c", "test -e /dev/kmsg && echo there"}, {{"Privileged", true}}), "there\n");
}

TEST_F(IsolationTest, OnlyThreeDescriptorsReachTheProcess) {
  const std::string out = output({"/payload", "fds"});
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 3) << out;
}

TEST_F(IsolationTest, HostnameAndDomainnameAreItsOwn) {
  const std::string out = output({"/payload", "uname"}, {}, {{"Hostname", "myhost"}, {"Domainname", "example.org"}});
  EXPECT_NE(out.find("hostname myhost\n"), std::string::npos) << out;
  const std::string id = create({.command = {"/payload", "uname"}});
  start(id);
  wait(id);
  EXPECT_NE(logs(id).out.find("hostname " + id.substr(0, 12)), std::string::npos);
}

TEST_F(IsolationTest, IpcIsItsOwn) {
  const std::string first = run({.command = {"sh", "-c", "/payload shm 7; echo ready; /payload pause"}});
  wait_ready(first);
  EXPECT_EQ(output({"/payload", "shm", "7"}), "made\n");
  EXPECT_EQ(output({"/payload", "shm", "7"}, {{"IpcMode", "host"}}), "made\n");
  run_command({"ipcrm", "-M", "7"});
}

TEST_F(IsolationTest, MessageQueuesWorkAndAreItsOwn) {
  EXPECT_EQ(output({"sh", "-c", "/payload mqueue /q send && ls /dev/mqueue && /payload mqueue /q receive"}),
            "sent\nq\nmessage\n");
  EXPECT_NE(output({"/payload", "mqueue", "/q", "receive"}).find("No such file"), std::string::npos);
}

TEST_F(IsolationTest, InitReapsOrphansAndForwardsSignals) {
  EXPECT_EQ(output({"/payload", "orphan"}, {{"Init", true}}), "reaped\n");
  const std::string pids = output({"/payload", "pids"}, {{"Init", true}});
  EXPECT_EQ(pids.find("self 1 "), std::string::npos) << pids;
  const std::string id = run({.command = {"/payload", "trap"}, .host = {{"NetworkMode", "none"}, {"Init", true}}});
  wait_ready(id);
  EXPECT_EQ(client().post("/containers/" + id + "/kill?signal=USR2").status, 204);
  EXPECT_EQ(wait(id), 42);
}

TEST_F(IsolationTest, AReadOnlyRootStillHasItsTmpfs) {
  const json::object host{{"ReadonlyRootfs", true}, {"Tmpfs", json::object{{"/scratch", "size=1m"}}}};
  EXPECT_NE(output({"/payload", "write", "/x", "y"}, host).find("Read-only file system"), std::string::npos);
  EXPECT_EQ(output({"sh", "-c", "echo y > /scratch/x && cat /scratch/x && echo z > /dev/shm/x"}, host), "y\n");
  EXPECT_NE(output({"sh", "-c", "dd if=/dev/zero of=/scratch/big bs=1M count=3"}, host).find("No space"),
            std::string::npos);
}

TEST_F(IsolationTest, BindsAreMountedAndReadOnlyMeansIt) {
  const std::string directory = scratch("bound");
  make_dirs(directory);
  run_command({"sh", "-c", concat("echo from-host > ", directory, "/file")});
  EXPECT_EQ(output({"cat", "/data/file"}, {{"Binds", json::array{directory + ":/data"}}}), "from-host\n");
  EXPECT_EQ(output({"sh", "-c", "echo inside > /data/new"}, {{"Binds", json::array{directory + ":/data"}}}), "");
  EXPECT_EQ(read_file(directory + "/new"), "inside\n");
  EXPECT_NE(output({"/payload", "write", "/data/x", "y"}, {{"Binds", json::array{directory + ":/data:ro"}}})
                .find("Read-only file system"),
            std::string::npos);
  const json::array mounts{
      json::object{{"Type", "bind"}, {"Source", directory + "/file"}, {"Target", "/one-file"}, {"ReadOnly", true}}};
  EXPECT_EQ(output({"cat", "/one-file"}, {{"Mounts", mounts}}), "from-host\n");
}

TEST_F(IsolationTest, ABindThroughAHostileSymlinkStaysInside) {
  load({.name = "hostile:latest",
        .layers = {base_layer(), TarBuilder().symlink("data", "/../../../../../../etc").finish()},
        .config = {}});
  take_snapshot();
  const std::string directory = scratch("canary");
  make_dirs(directory);
  const Outcome outcome = run_to_end({.image = "hostile",
                                      .command = {"sh", "-c", "echo x > /data/mark; ls /etc"},
                                      .host = {{"Binds", json::array{directory + ":/data"}}}});
  EXPECT_TRUE(path_exists(directory + "/mark")) << outcome.out << outcome.err;
  EXPECT_FALSE(path_exists("/etc/mark"));
}

TEST_F(IsolationTest, WorkdirIsMadeAndEntered) {
  EXPECT_EQ(output({"/payload", "pwd"}, {}, {{"WorkingDir", "/made/for/it"}}), "/made/for/it\n");
  EXPECT_EQ(client().post("/containers/create", json::object{{"Image", "payload"}, {"WorkingDir", "relative"}}).status,
            400);
}

TEST_F(IsolationTest, TheEnvironmentIsImagePlusRequest) {
  const std::string out = output({"/payload", "env"}, {}, {{"Env", json::array{"A=1", "PATH=/custom:/bin"}}});
  EXPECT_NE(out.find("A=1\n"), std::string::npos);
  EXPECT_NE(out.find("PATH=/custom:/bin\n"), std::string::npos);
  EXPECT_NE(out.find("HOME=/root\n"), std::string::npos);
  EXPECT_NE(out.find("HOSTNAME="), std::string::npos);
}

TEST_F(IsolationTest, ShmHasItsDefaultSizeAndMode) {
  EXPECT_NE(output({"sh", "-c", "df -k /dev/shm | tail -1"}).find("65536"), std::string::npos);
  EXPECT_TRUE(output({"/payload", "stat", "/dev/shm"}).starts_with("41777 0 0"));
  EXPECT_NE(output({"sh", "-c", "df -k /dev/shm | tail -1"}, {{"ShmSize", 1048576}}).find("1024"), std::string::npos);
}

TEST_F(IsolationTest, SysctlsOfItsNamespacesAreSet) {
  EXPECT_EQ(output({"cat", "/proc/sys/net/ipv4/ip_default_ttl"},
                   {{"Sysctls", json::object{{"net.ipv4.ip_default_ttl", "77"}}}}),
            "77\n");
}

TEST_F(IsolationTest, PidAndUtsCanBeTheHosts) {
  const std::string out = output({"/payload", "pids"}, {{"PidMode", "host"}});
  EXPECT_EQ(out.find("self 1 "), std::string::npos) << out.substr(0, 100);
  EXPECT_EQ(output({"/payload", "uname"}, {{"UTSMode", "host"}}).find("hostname " + run_command({"hostname"}).out), 0U);
}

TEST_F(IsolationTest, AKilledShimEndsItsContainer) {
  const std::string id = run();
  const pid_t init = pid_of(id);
  const UniqueFd init_handle = open_pidfd(init);
  // The parent of the container's first process is its shim.
  const std::string status = read_file(concat("/proc/", init, "/status"));
  const pid_t shim = std::stoi(status.substr(status.find("PPid:\t") + 6));
  ASSERT_GT(shim, 1);
  EXPECT_NE(shim, engine().pid());
  EXPECT_TRUE(signal_pidfd(open_pidfd(shim).get(), SIGKILL));
  EXPECT_TRUE(wait_readable(init_handle.get(), 10'000));
  EXPECT_TRUE(eventually([&] { return text(at(inspect(id), "State.Status")) == "exited"; }));
  EXPECT_EQ(at(inspect(id), "State.ExitCode").to_number<int>(), 137);
}

TEST_F(IsolationTest, OverlayIsMountedOnlyInsideTheContainer) {
  const std::string id = run();
  EXPECT_EQ(read_file("/proc/self/mountinfo").find("overlay"), std::string::npos);
  EXPECT_EQ(read_file(concat("/proc/", engine().pid(), "/mountinfo")).find(engine().data_root()), std::string::npos);
  EXPECT_NE(read_file(concat("/proc/", pid_of(id), "/mountinfo")).find(" / / rw"), std::string::npos);
}

}  // namespace
}  // namespace mydocker::test
