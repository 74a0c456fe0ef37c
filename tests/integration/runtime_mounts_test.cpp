#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "engine/base/sys.h"
#include "tests/integration/runtime_fixture.h"

/// Root file system, mounts, devices and namespaces of config.json, seen from inside (OCI config.md "Mounts",
/// config-linux.md).
namespace mydocker::test {
namespace {

class RuntimeMountTest : public RuntimeTest {
 protected:
  void SetUp() override {
    RuntimeTest::SetUp();
    if (IsSkipped()) return;
    make_dirs(root() + "/host/below");
    write_file("host/file", "from outside\n");
  }
  std::string host() const { return root() + "/host"; }
  /// A config with one mount onto /mnt.
  json::value with_mount(const std::string& script, const std::string& type, const std::string& source,
                         const std::vector<std::string>& options, const std::string& destination = "/mnt") {
    json::value config = make_config(script);
    add_mount(config, destination, type, source, options);
    return config;
  }
};

/// Something mounted below the shared directory, in the test's own mount namespace.
class Below {
 public:
  explicit Below(std::string path) : path_(std::move(path)) {
    if (::mount("tmpfs", path_.c_str(), "tmpfs", 0, "size=64k") != 0) throw sys_error("mount ", path_);
    write_all(open_file(path_ + "/deep", O_CREAT | O_WRONLY, 0644).get(), "deep\n");
  }
  Below(const Below&) = delete;
  Below& operator=(const Below&) = delete;
  ~Below() { ::umount2(path_.c_str(), MNT_DETACH); }

 private:
  std::string path_;
};

TEST_F(RuntimeMountTest, ABindOfADirectoryIsWritableUnlessReadOnly) {
  EXPECT_EQ(run(with_mount("cat /mnt/file; echo in > /mnt/made", "bind", host(), {"bind"})).out, "from outside\n");
  EXPECT_EQ(read("host/made"), "in\n");
  const CommandResult refused = run(with_mount("touch /mnt/no", "bind", host(), {"bind", "ro"}));
  EXPECT_NE(refused.err.find("Read-only file system"), std::string::npos) << refused.err;
  EXPECT_FALSE(path_exists(host() + "/no"));
}

TEST_F(RuntimeMountTest, AFileIsBoundOntoAFileThatIsMadeForIt) {
  EXPECT_EQ(run(with_mount("cat /new/dir/target", "bind", host() + "/file", {"bind", "ro"}, "/new/dir/target")).out,
            "from outside\n");
  const CommandResult mixed = run(with_mount("true", "bind", host() + "/file", {"bind"}, "/tmp"));
  EXPECT_EQ(mixed.code, 1);
  EXPECT_NE(mixed.err.find("Are you trying to mount a directory onto a file (or vice-versa)?"), std::string::npos);
}

TEST_F(RuntimeMountTest, RecursiveBindsTakeWhatIsBelowAndPlainOnesDoNot) {
  const Below below(host() + "/below");
  EXPECT_EQ(run(with_mount("cat /mnt/below/deep", "bind", host(), {"rbind"})).out, "deep\n");
  EXPECT_EQ(run(with_mount("ls /mnt/below", "bind", host(), {"bind"})).out, "");
}

TEST_F(RuntimeMountTest, RecursiveReadOnlyReachesTheMountsBelow) {
  const Below below(host() + "/below");
  const std::string script = "touch /mnt/top 2>/dev/null && echo top; touch /mnt/below/x 2>/dev/null && echo below; :";
  EXPECT_EQ(run(with_mount(script, "bind", host(), {"rbind", "ro"})).out, "below\n");
  EXPECT_EQ(run(with_mount(script, "bind", host(), {"rbind", "rro"})).out, "");
  EXPECT_EQ(run(with_mount(script, "bind", host(), {"rbind"})).out, "top\nbelow\n");
}

TEST_F(RuntimeMountTest, EveryFlagWordReachesTheMount) {
  json::value config = make_config("grep ' /mnt ' /proc/self/mountinfo | cut -d' ' -f6");
  add_mount(config, "/mnt", "tmpfs", "tmpfs",
            {"nosuid", "nodev", "noexec", "noatime", "nodiratime", "nosymfollow", "ro"});
  EXPECT_EQ(run(config).out, "ro,nosuid,nodev,noexec,noatime,nodiratime,nosymfollow\n");
  config.at("mounts").as_array().pop_back();
  add_mount(config, "/mnt", "tmpfs", "tmpfs", {"nosuid", "suid", "noexec", "exec", "ro", "rw", "strictatime"});
  EXPECT_EQ(run(config).out, "rw\n");
}

TEST_F(RuntimeMountTest, NosymfollowStopsLinks) {
  ASSERT_EQ(::symlink("file", (host() + "/link").c_str()), 0);
  EXPECT_EQ(run(with_mount("cat /mnt/link", "bind", host(), {"bind"})).out, "from outside\n");
  EXPECT_EQ(run(with_mount("cat /mnt/link", "bind", host(), {"bind", "nosymfollow"})).out, "");
}

TEST_F(RuntimeMountTest, ATmpfsStartsWithWhatItCoversWhenAsked) {
  make_dirs(rootfs() + "/data/sub");
  write_file("bundle/rootfs/data/sub/seed", "seed\n", 0644);
  ASSERT_EQ(::chown((rootfs() + "/data/sub/seed").c_str(), 7, 8), 0);
  const std::string script = "cat /data/sub/seed; stat -c '%a %u %g' /data/sub/seed; touch /data/new; true";
  EXPECT_EQ(run(with_mount(script, "tmpfs", "tmpfs", {"tmpcopyup"}, "/data")).out, "seed\n644 7 8\n");
  EXPECT_FALSE(path_exists(rootfs() + "/data/new"));
  EXPECT_EQ(run(with_mount("ls /data", "tmpfs", "tmpfs", {}, "/data")).out, "");
}

TEST_F(RuntimeMountTest, RelabelingIsIgnoredWithAWarning) {
  const CommandResult result = run(with_mount("cat /mnt/file", "bind", host(), {"bind", "z"}));
  EXPECT_EQ(result.out, "from outside\n");
  EXPECT_NE(result.err.find("warning: mount /mnt: option \"z\" is ignored"), std::string::npos) << result.err;
  EXPECT_EQ(run(with_mount("true", "bind", host(), {"bind"})).err, "");
}

TEST_F(RuntimeMountTest, AnUnknownOptionOfABindIsRefused) {
  expect_refused(run(with_mount("true", "bind", host(), {"bind", "frobnicate"})), "unknown option \"frobnicate\"");
  expect_refused(run(with_mount("true", "tmpfs", "tmpfs", {"frobnicate=1"})), "frobnicate");
  expect_refused(run(with_mount("true", "nosuchfs", "none", {})), "nosuchfs");
  expect_refused(run(with_mount("true", "bind", root() + "/absent", {"bind"})), "absent");
}

TEST_F(RuntimeMountTest, AnIdMappedBindShowsOtherOwners) {
  REQUIRE_USER_NAMESPACES();
  ASSERT_EQ(::chown((host() + "/file").c_str(), 1000, 1000), 0);
  json::value config = with_mount("stat -c '%u %g' /mnt/file /mnt/below/deep 2>/dev/null; touch /mnt/made", "bind",
                                  host(), {"rbind", "idmap"});
  json::object& mount = config.at("mounts").as_array().back().as_object();
  // What is 0..9999 on the disk shows as 20000..29999.
  const json::array map{json::object{{"containerID", 0}, {"hostID", 20000}, {"size", 10000}}};
  mount["uidMappings"] = map;
  mount["gidMappings"] = map;
  const Below below(host() + "/below");
  CommandResult result = run(config);
  if (result.err.find("this kernel cannot id-map") != std::string::npos) {
    ::unlink(log_file().c_str());
    GTEST_SKIP() << "needs a kernel that id-maps tmpfs";
  }
  EXPECT_EQ(result.out, "21000 21000\n0 0\n") << result.err;
  mount["options"] = json::array{"rbind", "ridmap"};
  result = run(config);
  EXPECT_EQ(result.out, "21000 21000\n20000 20000\n") << result.err;
  mount["gidMappings"] = json::array();
  expect_refused(run(config), "needs both uidMappings and gidMappings");
}

TEST_F(RuntimeMountTest, AnIdMappedBindFollowsTheUserNamespaceOfTheContainer) {
  REQUIRE_USER_NAMESPACES();
  ASSERT_EQ(::chmod(root().c_str(), 0755), 0);
  make_dirs(rootfs() + "/mnt");
  json::value config = with_mount("stat -c '%u %g' /mnt/file; echo x > /mnt/made", "bind", host(), {"bind", "idmap"});
  const json::array map{json::object{{"containerID", 0}, {"hostID", 100000}, {"size", 65536}}};
  add_namespace(config, "user");
  edit(config, "linux")["uidMappings"] = map;
  edit(config, "linux")["gidMappings"] = map;
  const CommandResult result = run(config);
  if (result.err.find("this kernel cannot id-map") != std::string::npos)
    GTEST_SKIP() << "needs a kernel that id-maps tmpfs";
  EXPECT_EQ(result.out, "0 0\n") << result.err;
  struct stat made{};
  ASSERT_EQ(::stat((host() + "/made").c_str(), &made), 0);
  EXPECT_EQ(made.st_uid, 0U);
}

TEST_F(RuntimeMountTest, PropagationIsAsAsked) {
  // The test's own mount namespace plays the host: shared below host().
  ASSERT_EQ(::mount(host().c_str(), host().c_str(), nullptr, MS_BIND, nullptr), 0);
  ASSERT_EQ(::mount(nullptr, host().c_str(), nullptr, MS_SHARED, nullptr), 0);
  const auto seen = [&](const char* word) {
    start(with_mount("echo ready; sleep 1000", "bind", host(), {"rbind", word}));
    EXPECT_TRUE(eventually([&] { return output() == "ready\n"; }));
    std::string out;
    {
      const Below later(host() + "/below");
      out = exec("ls /mnt/below").out;
    }
    delete_forced();
    return out;
  };
  EXPECT_EQ(seen("rprivate"), "");
  EXPECT_EQ(seen("rslave"), "deep\n");
  EXPECT_EQ(seen("rshared"), "deep\n");
  json::value config =
      with_mount("mount -t tmpfs inner /mnt/below && echo mounted", "bind", host(), {"bind", "rshared"});
  edit(config, "process")["capabilities"] = json::object{{"bounding", json::array{"CAP_SYS_ADMIN"}},
                                                         {"effective", json::array{"CAP_SYS_ADMIN"}},
                                                         {"permitted", json::array{"CAP_SYS_ADMIN"}}};
  EXPECT_EQ(run(config).out, "mounted\n");
  EXPECT_NE(read_file("/proc/self/mountinfo").find(host() + "/below"), std::string::npos);
  EXPECT_EQ(::umount2((host() + "/below").c_str(), MNT_DETACH), 0);
  config.at("mounts").as_array().back().as_object()["options"] = json::array{"bind", "rslave"};
  EXPECT_EQ(run(config).out, "mounted\n");
  EXPECT_EQ(read_file("/proc/self/mountinfo").find(host() + "/below"), std::string::npos);
  EXPECT_EQ(::umount2(host().c_str(), MNT_DETACH), 0);
}

TEST_F(RuntimeMountTest, RootfsPropagationShowsInTheContainer) {
  const std::string script = "grep ' / / ' /proc/self/mountinfo | grep -c ";
  json::value config = make_config(script + "shared: || true");
  EXPECT_EQ(run(config).out, "0\n");
  edit(config, "linux")["rootfsPropagation"] = "shared";
  EXPECT_EQ(run(make_config("true")).code, 0);
  config = make_config("grep ' / rw' /proc/self/mountinfo");
  edit(config, "linux")["rootfsPropagation"] = "shared";
  EXPECT_NE(run(config).out.find(" shared:"), std::string::npos);
  edit(config, "linux")["rootfsPropagation"] = "unbindable";
  EXPECT_NE(run(config).out.find(" unbindable"), std::string::npos);
  edit(config, "linux")["rootfsPropagation"] = "private";
  EXPECT_EQ(run(config).out.find(" shared:"), std::string::npos);
  edit(config, "linux")["rootfsPropagation"] = "sideways";
  expect_refused(run(config), "linux.rootfsPropagation \"sideways\" is unknown");
}

TEST_F(RuntimeMountTest, AReadOnlyRootIsReadOnlyButItsMountsAreNot) {
  json::value config = with_mount("touch /x 2>/dev/null && echo root; touch /mnt/x && echo mnt", "tmpfs", "tmpfs", {});
  edit(config, "root")["readonly"] = true;
  EXPECT_EQ(run(config).out, "mnt\n");
}

TEST_F(RuntimeMountTest, MaskedAndReadonlyPathsOfTheConfigAreTaken) {
  make_dirs(rootfs() + "/secret-dir");
  write_file("bundle/rootfs/secret-dir/inner", "inner\n");
  write_file("bundle/rootfs/secret", "secret\n");
  write_file("bundle/rootfs/fixed", "fixed\n");
  json::value config = make_config(
      "cat /secret; ls /secret-dir; cat /fixed; (echo x > /fixed) 2>/dev/null && echo written; "
      "(echo x > /secret-dir/x) 2>/dev/null && echo made; true");
  edit(config, "linux")["maskedPaths"] = json::array{"/secret", "/secret-dir", "/absent"};
  edit(config, "linux")["readonlyPaths"] = json::array{"/fixed", "/absent"};
  EXPECT_EQ(run(config).out, "fixed\n");
  edit(config, "linux")["maskedPaths"] = json::array();
  edit(config, "linux")["readonlyPaths"] = json::array();
  EXPECT_EQ(run(config).out, "secret\ninner\nfixed\nwritten\nmade\n");
  edit(config, "linux")["maskedPaths"] = json::array{"relative"};
  expect_refused(run(config), "linux.maskedPaths must be an absolute path");
}

TEST_F(RuntimeMountTest, DevicesAreMadeWithTheirModeAndOwner) {
  json::value config = make_config(
      "stat -c '%F %t %T %a %u %g' /dev/mine /dev/disk /dev/pipe /dev/sub/deep; head -c 2 /dev/mine | wc -c; "
      "readlink /dev/fd; readlink /dev/ptmx; ls /dev");
  edit(config, "linux")["devices"] = json::array{
      json::object{
          {"path", "/dev/mine"}, {"type", "c"}, {"major", 1}, {"minor", 5}, {"fileMode", 0644}, {"uid", 3}, {"gid", 4}},
      json::object{{"path", "/dev/disk"}, {"type", "b"}, {"major", 7}, {"minor", 0}, {"fileMode", 0600}},
      json::object{{"path", "/dev/pipe"}, {"type", "p"}},
      json::object{{"path", "/dev/sub/deep"}, {"type", "u"}, {"major", 1}, {"minor", 3}}};
  EXPECT_EQ(run(config).out,
            "character special file 1 5 644 3 4\nblock special file 7 0 600 0 0\nfifo 0 0 666 0 0\n"
            "character special file 1 3 666 0 0\n2\n/proc/self/fd\npts/ptmx\n"
            "core\ndisk\nfd\nfull\nmine\nmqueue\nnull\npipe\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\nsub\ntty\n"
            "urandom\nzero\n");
  edit(config, "linux")["devices"] = json::array{json::object{{"path", "/dev/x"}, {"type", "q"}}};
  expect_refused(run(config), "has the unknown type \"q\"");
}

TEST_F(RuntimeMountTest, DeviceRulesDecideWhatOpens) {
  if (list_cgroups("/").empty() && !path_exists("/sys/fs/cgroup/devices")) GTEST_SKIP() << "needs cgroup v1";
  json::value config = make_config("head -c 1 /dev/zero | wc -c; head -c 1 /dev/urandom 2>/dev/null | wc -c");
  json::array rules{json::object{{"allow", false}, {"access", "rwm"}},
                    json::object{{"allow", true}, {"type", "c"}, {"major", 1}, {"minor", 5}, {"access", "r"}}};
  EXPECT_EQ(run(config).out, "1\n1\n");
  // The default devices stay open, as the specification wants; a device of the config's own is closed.
  edit(config, "linux")["devices"] =
      json::array{json::object{{"path", "/dev/kmsg"}, {"type", "c"}, {"major", 1}, {"minor", 11}}};
  edit(config, "process")["args"] = json::array{
      "sh", "-c", "head -c 1 /dev/zero | wc -c; (cat < /dev/kmsg) 2>&1 >/dev/null | grep -c 'not permitted'"};
  edit(config, "linux", "resources")["devices"] = rules;
  EXPECT_EQ(run(config).out, "1\n1\n");
}

TEST_F(RuntimeMountTest, SysctlsOfForeignNamespacesAreRefused) {
  json::value config = make_config("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shm_rmid_forced");
  edit(config, "linux")["sysctl"] = json::object{{"net.ipv4.ip_forward", "1"}, {"kernel.shm_rmid_forced", "1"}};
  EXPECT_EQ(run(config).out, "1\n1\n");
  remove_namespace(config, "network");
  expect_refused(run(config), "net.ipv4.ip_forward\" is not allowed in the host's network namespace");
  edit(config, "linux")["sysctl"] = json::object{{"kernel.core_pattern", "|/bin/x"}};
  expect_refused(run(config), "is not in a separate kernel namespace");
  edit(config, "linux")["sysctl"] = json::object{{"net/../kernel/core_pattern", "|/bin/x"}};
  expect_refused(run(config), "is not a name");
}

TEST_F(RuntimeMountTest, NamespacesAreNewSharedOrJoined) {
  const std::string script = "for n in pid net ipc uts mnt cgroup user time; do readlink /proc/self/ns/$n; done";
  json::value config = make_config("echo ready; sleep 1000");
  edit(config, "linux")["cgroupsPath"] = cgroup_parent() + "/one/first";
  start(config, "first");
  const pid_t first = pid("first");
  config = make_config(script);
  edit(config, "linux")["cgroupsPath"] = cgroup_parent() + "/one/second";
  for (const auto& [type, file] : {std::pair{"network", "net"}, {"ipc", "ipc"}, {"uts", "uts"}, {"pid", "pid"}}) {
    remove_namespace(config, type);
    add_namespace(config, type, concat("/proc/", first, "/ns/", file));
  }
  config.as_object().erase("hostname");
  const CommandResult joined = run(config);
  EXPECT_EQ(joined.code, 0) << joined.err;
  const auto link = [](pid_t pid, const char* file) {
    char text[64] = "";
    const ssize_t length = ::readlink(concat("/proc/", pid, "/ns/", file).c_str(), text, sizeof text);
    return std::string(text, static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
  };
  for (const char* file : {"pid", "net", "ipc", "uts"}) {
    EXPECT_NE(joined.out.find(link(first, file)), std::string::npos) << file << "\n" << joined.out;
  }
  for (const char* file : {"mnt", "cgroup"}) {
    EXPECT_EQ(joined.out.find(link(first, file)), std::string::npos) << file;
    EXPECT_EQ(joined.out.find(link(::getpid(), file)), std::string::npos) << file;
  }
  for (const char* file : {"user", "time"}) {
    EXPECT_NE(joined.out.find(link(::getpid(), file)), std::string::npos) << file;
  }
  remove_namespace(config, "network");
  add_namespace(config, "network", "/proc/self/ns/uts");
  const CommandResult wrong = run(config);
  EXPECT_EQ(wrong.code, 1);
  EXPECT_NE(wrong.err.find("join network namespace /proc/self/ns/uts"), std::string::npos) << wrong.err;
  delete_forced("first");
}

TEST_F(RuntimeMountTest, AUserNamespaceHasItsMapsAndOwnsTheOthers) {
  REQUIRE_USER_NAMESPACES();
  ASSERT_EQ(::chmod(root().c_str(), 0755), 0);
  const json::array map{json::object{{"containerID", 0}, {"hostID", 100000}, {"size", 65536}}};
  json::value config = make_config("cat /proc/self/uid_map; hostname changed 2>&1; hostname; sleep 1000");
  ASSERT_EQ(::symlink("busybox", (rootfs() + "/bin/hostname").c_str()), 0);
  add_namespace(config, "user");
  edit(config, "linux")["uidMappings"] = map;
  edit(config, "linux")["gidMappings"] = map;
  for (const char* set : {"bounding", "effective", "permitted"}) {
    edit(config, "process", "capabilities")[set] = json::array{"CAP_SYS_ADMIN"};
  }
  edit(config, "linux")["cgroupsPath"] = cgroup_parent() + "/one/first";
  start(config, "first");
  EXPECT_TRUE(eventually([&] { return output().find("changed\n") != std::string::npos; })) << output();
  EXPECT_NE(output().find("100000      65536\n"), std::string::npos) << output();
  struct stat owner{};
  ASSERT_EQ(::stat(concat("/proc/", pid("first"), "/cwd/").c_str(), &owner), 0);
  // A second container in the first one's user namespace, with new namespaces below it.
  json::value second =
      make_config("id -u; cat /proc/self/uid_map; readlink /proc/self/ns/user; ls /proc | grep -c '^1$'");
  add_namespace(second, "user", concat("/proc/", pid("first"), "/ns/user"));
  edit(second, "linux")["cgroupsPath"] = cgroup_parent() + "/one/second";
  const CommandResult result = run(second);
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.out.find("100000      65536\n"), std::string::npos) << result.out;
  EXPECT_TRUE(result.out.starts_with("0\n")) << result.out;
  EXPECT_TRUE(result.out.ends_with("]\n1\n")) << result.out;
  delete_forced("first");
}

}  // namespace
}  // namespace mydocker::test
