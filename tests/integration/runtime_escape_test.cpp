#include <fcntl.h>
#include <linux/fs.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <functional>
#include <map>

#include "engine/base/sys.h"
#include "runtime/seccomp.h"
#include "tests/integration/runtime_fixture.h"
#include "tests/support/patience.h"
#include "tests/support/temp_tree.h"

/// SECURITY section 4, E4 to E8 and H3, against mydocker-runtime: ways out of a container, each beside the harmless
/// case that must go on working.
namespace mydocker::test {
namespace {

class RuntimeEscapeTest : public RuntimeTest {
 protected:
  /// The runtime, called with ten directories of the host open (3 to 12), none of them close-on-exec.
  CommandResult runtime_with_leaks(const Words& words) {
    make_dirs(root() + "/host");
    write_file("host/canary", "canary\n");
    std::string script = "exec \"$@\"";
    for (int fd = 3; fd <= 12; ++fd) script += concat(" ", fd, "<", root(), "/host");
    Words shell = {"bash", "-c", script, "bash"};
    const Words all = runtime_words(words);
    shell.insert(shell.end(), all.begin(), all.end());
    return run_command(shell);
  }

  CommandResult run_with_leaks(const json::value& config) {
    write_config(config);
    return runtime_with_leaks({"run", "--bundle", bundle(), "one"});
  }

  void give_capabilities(json::value& config, const json::array& names) {
    for (const char* set : {"bounding", "effective", "permitted"}) {
      edit(config, "process", "capabilities")[set] = names;
    }
  }

  void use_default_seccomp(json::value& config) {
    const runtime::CapabilityMask usual = runtime::capability_mask(runtime::make_default_capabilities());
    edit(config, "linux")["seccomp"] = to_json(runtime::make_default_seccomp(usual));
  }
};

std::size_t count_lines(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

/// E4. (Without arrange_descriptors() the ten directories are open in the payload.)
TEST_F(RuntimeEscapeTest, DescriptorsOfTheCallerStayOutside) {
  REQUIRE_PROGRAM("bash");
  const CommandResult result = run_with_leaks(make_config_for({"/payload", "fds"}));
  EXPECT_EQ(count_lines(result.out), 3U) << result.out << result.err;
  EXPECT_EQ(result.out.find(root()), std::string::npos) << result.out;
  start(make_config("echo ready; exec sleep 1000"));
  ASSERT_TRUE(eventually([&] { return output() == "ready\n"; }));
  const CommandResult entered = runtime_with_leaks({"exec", "one", "/payload", "fds"});
  EXPECT_EQ(count_lines(entered.out), 3U) << entered.out << entered.err;
  EXPECT_EQ(exec("ls /proc/1/fd").out, "0\n1\n2\n");
  delete_forced();
}

/// E4 (CVE-2024-21626). (Without RESOLVE_NO_MAGICLINKS and the look at getcwd(2) one of them shows the canary.)
TEST_F(RuntimeEscapeTest, AWorkingDirectoryIsNeverADescriptorOfTheCaller) {
  REQUIRE_PROGRAM("bash");
  Words paths = {"/proc/thread-self/cwd", "/proc/1/root", "/proc/1/cwd", "/link"};
  for (int fd = 0; fd <= patient_rounds(64); ++fd) paths.push_back(concat("/proc/self/fd/", fd));
  ASSERT_EQ(::symlink("/proc/self/fd/7", (rootfs() + "/link").c_str()), 0);
  for (const std::string& path : paths) {
    json::value config = make_config("ls; pwd");
    edit(config, "process")["cwd"] = path;
    const CommandResult result = run_with_leaks(config);
    EXPECT_NE(result.code, 0) << path << result.out;
    EXPECT_EQ(result.out, "") << path;
    EXPECT_NE(result.err.find(path), std::string::npos) << result.err;
  }
  start(make_config("echo ready; exec sleep 1000"));
  ASSERT_TRUE(eventually([&] { return output() == "ready\n"; }));
  for (const std::string& path : paths) {
    const CommandResult result = runtime_with_leaks({"exec", "--cwd", path, "one", "ls"});
    EXPECT_NE(result.code, 0) << path;
    EXPECT_EQ(result.out, "") << path;
  }
  // The benign twin: a link of the image to a directory of the image, and a directory that is not there yet.
  ASSERT_EQ(::symlink("/tmp", (rootfs() + "/twin").c_str()), 0);
  EXPECT_EQ(exec("pwd -P", {"--cwd", "/twin"}).out, "/tmp\n");
  delete_forced();
  json::value config = make_config("pwd -P");
  edit(config, "process")["cwd"] = "/made/for/it";
  EXPECT_EQ(run_with_leaks(config).out, "/made/for/it\n");
}

/// What the masks of the default config must hide, and what nobody may write to: told when they fail.
constexpr const char* probe =
    "for f in /proc/kcore /proc/keys /proc/timer_list /proc/interrupts; do [ -n \"$(head -c 1 $f 2>/dev/null)\" ] && "
    "echo unmasked $f; done; [ -n \"$(ls -A /sys/firmware 2>/dev/null)\" ] && echo unmasked firmware; "
    "for f in /proc/sysrq-trigger /proc/sys/kernel/core_pattern; do [ -f $f ] && (: >> $f) 2>/dev/null && "
    "echo writable $f; done; echo ran";

/// Settings of the host that the attacks aim at.
std::string host_settings() {
  std::string out;
  for (const char* path : {"/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/kernel/sysrq"}) {
    if (path_exists(path)) out += read_file(path);
  }
  struct stat null{};
  if (::stat("/dev/null", &null) == 0) out += concat(null.st_mode, " ", null.st_rdev);
  return out;
}

void link_to(const char* target, const std::string& path) {
  if (::symlink(target, path.c_str()) != 0) throw sys_error("symlink ", path);
}

/// Ways to have something else than what is expected at a path of the image.
const std::pair<const char*, void (*)(const std::string&)> fakes[] = {
    {"file", [](const std::string& path) { open_file(path, O_CREAT | O_WRONLY, 0666); }},
    {"core_pattern", [](const std::string& path) { link_to("/proc/sys/kernel/core_pattern", path); }},
    {"sysrq", [](const std::string& path) { link_to("/proc/sysrq-trigger", path); }},
    {"outside", [](const std::string& path) { link_to("../../../../../../../tmp", path); }},
    {"fifo", [](const std::string& path) { ::mkfifo(path.c_str(), 0666); }},
    {"mount",
     [](const std::string& path) {
       make_dirs(path);
       if (::mount("tmpfs", path.c_str(), "tmpfs", 0, "size=64k") != 0) throw sys_error("mount ", path);
     }},
};

/// E5: /proc, /sys and special files below a /dev of the image (which the config leaves uncovered) that are something
/// else. (Without mask(), make_read_only() or open_strict_target() it fails.)
TEST_F(RuntimeEscapeTest, FakeSpecialsAreRefusedOrLeaveTheMasksInPlace) {
  const std::string before = host_settings();
  for (const char* name : {"/proc", "/sys", "/dev/null", "/dev/pts", "/dev/console", "/dev/ptmx", "/dev/fd"}) {
    for (const auto& [kind, make] : fakes) {
      const std::string path = rootfs() + name;
      ::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
      remove_tree(path);
      make(path);
      json::value config = make_config(probe);
      json::array& mounts = config.at("mounts").as_array();
      mounts.erase(std::find_if(mounts.begin(), mounts.end(),
                                [](const json::value& one) { return one.at("destination").as_string() == "/dev"; }));
      const CommandResult result = run(config);
      // A procfs or sysfs goes onto the very path that the masks are for, or nowhere.
      const bool strict = !std::string(name).starts_with("/dev") && std::string(kind) != "mount";
      if (strict) EXPECT_EQ(result.code, 1) << name << " as " << kind;
      if (result.code == 0) {
        EXPECT_EQ(result.out, "ran\n") << name << " as " << kind;
      } else {
        EXPECT_EQ(result.code, 1) << name << " as " << kind << ": " << result.err;
        EXPECT_EQ(result.out, "") << name << " as " << kind;
        EXPECT_NE(result.err.find("mydocker-runtime: "), std::string::npos);
      }
      EXPECT_EQ(host_settings(), before) << name << " as " << kind;
      ::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
      remove_tree(path);
    }
  }
  for (const char* name : {"/proc", "/sys", "/dev"}) {
    remove_tree(rootfs() + name);
    make_dirs(rootfs() + name);
  }
  const CommandResult twin = run(probe);
  EXPECT_EQ(twin.out, "ran\n") << twin.err;
}

/// E5 (CVE-2025-52565): the terminal of a container whose image has made /dev/console something else.
TEST_F(RuntimeEscapeTest, AFakeConsoleNeverReceivesTheTerminal) {
  const std::string before = host_settings();
  for (const auto& [kind, make] : fakes) {
    const std::string path = rootfs() + "/dev/console";
    make(path);
    json::value config = make_config(std::string(probe) + "; tty");
    json::array& mounts = config.at("mounts").as_array();
    mounts.erase(std::find_if(mounts.begin(), mounts.end(),
                              [](const json::value& one) { return one.at("destination").as_string() == "/dev"; }));
    edit(config, "process")["terminal"] = true;
    write_config(config);
    const CommandResult result = runtime({"run", "--bundle", bundle(), "one"}, {.terminal = true});
    if (result.code == 0) {
      EXPECT_EQ(result.out, "ran\r\n/dev/pts/0\r\n") << kind;
    } else {
      EXPECT_EQ(result.out.find("ran"), std::string::npos) << kind << result.out;
    }
    EXPECT_EQ(host_settings(), before) << kind;
    ::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
    remove_tree(path);
  }
  json::value config = make_config("tty");
  edit(config, "process")["terminal"] = true;
  write_config(config);
  EXPECT_EQ(runtime({"run", "--bundle", bundle(), "one"}, {.terminal = true}).out, "/dev/pts/0\r\n");
}

/// E5 (CVE-2019-16884): volumes over /proc and below it, as a config may name them.
TEST_F(RuntimeEscapeTest, VolumesOverProcDoNotLiftTheMasks) {
  make_dirs(root() + "/volume/self");
  make_dirs(root() + "/volume/sys/kernel");
  ASSERT_EQ(::symlink("/proc/keys", (root() + "/volume/kcore").c_str()), 0);
  const std::string before = host_settings();
  for (const char* target : {"/proc", "/proc/self", "/proc/sys", "/proc/sys/kernel", "/sys", "/proc/../proc"}) {
    json::value config = make_config(probe);
    add_mount(config, target, "bind", root() + "/volume", {"rbind", "rw"});
    const CommandResult result = run(config);
    if (result.code == 0) EXPECT_EQ(result.out, "ran\n") << target;
    if (result.code != 0) EXPECT_EQ(result.out, "") << target << result.err;
    EXPECT_EQ(host_settings(), before) << target;
  }
  json::value twin = make_config("cat /data/note");
  write_file("volume/note", "note\n");
  add_mount(twin, "/data", "bind", root() + "/volume", {"rbind", "rw"});
  EXPECT_EQ(run(twin).out, "note\n");
}

/// E6 (GHSA-3q8j-pf29-vwv8): a container swaps directories of a volume while another one's masked and read-only paths
/// are made there: no mount of ours is ever writable, and the masks of /proc hold. (With a remount by path instead of
/// detached attributes, some are.)
TEST_F(RuntimeEscapeTest, MaskedAndReadOnlyPathsHoldUnderARacingContainer) {
  make_dirs(root() + "/volume/a/deep");
  make_dirs(root() + "/volume/b/deep");
  write_file("volume/a/secret", "a\n");
  write_file("volume/b/secret", "b\n");
  ASSERT_EQ(::symlink("b", (root() + "/volume/link").c_str()), 0);
  json::value racer = make_config_for({"/payload", "swap", "/volume/a", "/volume/link"});
  add_mount(racer, "/volume", "bind", root() + "/volume", {"bind"});
  edit(racer, "linux")["cgroupsPath"] = cgroup_parent() + "/one/racer";
  start(racer, "racer");
  ASSERT_TRUE(eventually([&] { return output() == "ready\n"; }));
  // Every mount below the volume that is ours: read-only, or the null device.
  json::value config = make_config(
      std::string("grep ' /volume/' /proc/self/mountinfo | grep -v ' /null ' | grep -v ' ro,' | grep -v ' ro '; ") +
      probe);
  add_mount(config, "/volume", "bind", root() + "/volume", {"bind"});
  edit(config, "linux")["cgroupsPath"] = cgroup_parent() + "/one/victim";
  for (const char* path : {"/volume/a/secret", "/volume/a/deep"}) {
    config.at("linux").at("maskedPaths").as_array().push_back(path);
  }
  for (const char* path : {"/volume/link", "/volume/b/deep"}) {
    config.at("linux").at("readonlyPaths").as_array().push_back(path);
  }
  int ran = 0;
  for (int i = 0; i < 5 * patient_rounds(20); ++i) {  // five in the guest
    const CommandResult result = run(config);
    if (result.code == 0) {
      EXPECT_EQ(result.out, "ran\n");
      ++ran;
    } else {
      EXPECT_EQ(result.code, 1) << result.err;
    }
    if (HasFailure()) break;
  }
  EXPECT_GT(ran, 0);
  write_file("bundle/rootfs/stop", "");
  EXPECT_TRUE(eventually([&] { return output() == "ready\nend 1\n"; })) << output();
  delete_forced("racer");
  EXPECT_EQ(list_tree(root() + "/volume").find("dev"), std::string::npos);
  // The benign twin: without the race the paths are as asked.
  config.at("process").at("args").as_array().back() =
      "cat /volume/b/secret; ls /volume/b/deep; touch /volume/b/deep/x 2>&1; echo $?";
  config.at("linux").at("readonlyPaths").as_array() = json::array{"/volume/b"};
  EXPECT_EQ(run(config).out, "b\ntouch: /volume/b/deep/x: Read-only file system\n1\n");
}

/// E7: nothing below /sys/fs/cgroup can be written to or made, and the default profile shuts the way to another view of
/// the hierarchies. (Without the filter a user namespace mounts one and opens notify_on_release.)
TEST_F(RuntimeEscapeTest, NoCgroupFileIsReachableForWriting) {
  json::value config =
      make_config("/payload writable /sys/fs/cgroup; ls /sys/fs/cgroup | wc -l; mkdir /sys/fs/cgroup/x");
  give_capabilities(config, json::array{"CAP_DAC_OVERRIDE", "CAP_CHOWN", "CAP_FOWNER", "CAP_MKNOD"});
  const CommandResult result = run(config);
  EXPECT_EQ(count_lines(result.out), 1U) << result.out;  // the number of what is there
  EXPECT_GT(std::stoi(result.out), 0);
  EXPECT_NE(result.err.find("Read-only file system"), std::string::npos) << result.err;
  for (const char* controller : {"memory", "devices", "cpu", "freezer"}) {
    json::value attack = make_config_for({"/payload", "cgroup-mount", controller});
    use_default_seccomp(attack);
    EXPECT_EQ(run(attack).out, "unshare: errno 1\nmount: errno 1\n") << controller;
  }
  // The benign twin: it reads its own limits there.
  json::value twin = make_config("cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max");
  edit(twin, "linux", "resources")["pids"] = json::object{{"limit", 77}};
  EXPECT_EQ(run(twin).out, "77\n");
}

/// E8 and H3: any node can be made, and only the listed ones open, whatever name they bear. (Without the device rules
/// in the cgroup all of them do.)
TEST_F(RuntimeEscapeTest, NodesOfForeignDevicesAreMadeAndDoNotOpen) {
  const std::pair<const char*, const char*> rows[] = {
      {"b 8 0", "closed"},    {"b 254 0", "closed"},  {"b 259 0", "closed"}, {"c 1 1", "closed"},
      {"c 1 2", "closed"},    {"c 1 4", "closed"},    {"c 1 11", "closed"},  {"c 10 200", "closed"},
      {"c 10 229", "closed"}, {"c 10 237", "closed"}, {"c 4 0", "closed"},   {"b 7 0", "closed"},
      {"c 1 3", "open"},      {"c 1 5", "open"},      {"c 1 7", "open"},     {"c 1 8", "open"},
      {"c 1 9", "open"},
  };
  std::string script;
  std::string expected;
  for (const auto& [device, verdict] : rows) {
    script += concat("mknod /tmp/n ", device, " || echo mknod; ([ -b /tmp/n ] || [ -c /tmp/n ]) || echo none; ",
                     "e=$( (: < /tmp/n) 2>&1) && echo ", device, " open || case \"$e\" in *'not permitted'*) echo ",
                     device, " closed;; *) echo ", device, " \"$e\";; esac; rm /tmp/n; ");
    expected += concat(device, " ", verdict, "\n");
  }
  json::value config = make_config(script);
  give_capabilities(config, json::array{"CAP_MKNOD", "CAP_DAC_OVERRIDE"});
  const CommandResult result = run(config);
  EXPECT_EQ(result.out, expected) << result.err;
  start(make_config("echo ready; exec sleep 1000"));
  ASSERT_TRUE(eventually([&] { return output() == "ready\n"; }));
  EXPECT_EQ(exec(script, {"--cap", "CAP_MKNOD", "--cap", "CAP_DAC_OVERRIDE"}).out, expected);
  delete_forced();
}

}  // namespace
}  // namespace mydocker::test
