#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "engine/base/sys.h"
#include "tests/integration/runtime_fixture.h"

/// One document with every member that the specification's own example has (config.md "Configuration Schema Example"),
/// and those of the later versions: it runs, as far as the machine can; what it cannot is refused by name, one after
/// the other, and never left out in silence.
namespace mydocker::test {
namespace {

using json::array;
using json::object;

object make_process() {
  const array capabilities{"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"};
  return {
      {"terminal", false},
      {"consoleSize", object{{"height", 25}, {"width", 80}}},
      {"user", object{{"uid", 1}, {"gid", 1}, {"umask", 63}, {"additionalGids", array{5, 6}}}},
      {"args", array{"sh", "/show"}},
      {"env", array{"PATH=/bin", "TERM=xterm"}},
      {"cwd", "/work"},
      {"capabilities", object{{"bounding", capabilities},
                              {"permitted", capabilities},
                              {"inheritable", capabilities},
                              {"effective", array{"CAP_AUDIT_WRITE", "CAP_KILL"}},
                              {"ambient", array{"CAP_NET_BIND_SERVICE"}}}},
      {"rlimits", array{object{{"type", "RLIMIT_CORE"}, {"hard", 1024}, {"soft", 1024}},
                        object{{"type", "RLIMIT_NOFILE"}, {"hard", 1024}, {"soft", 512}}}},
      {"apparmorProfile", "acme_secure_profile"},
      {"oomScoreAdj", 100},
      {"selinuxLabel", "system_u:system_r:svirt_lxc_net_t:s0:c124,c675"},
      {"ioPriority", object{{"class", "IOPRIO_CLASS_IDLE"}, {"priority", 4}}},
      {"scheduler", object{{"policy", "SCHED_BATCH"}, {"nice", 3}, {"flags", array{}}}},
      {"execCPUAffinity", object{{"initial", "0"}, {"final", "0"}}},
      {"noNewPrivileges", true},
  };
}

object make_mount(const char* destination, const char* type, const char* source, array options) {
  return {{"destination", destination}, {"type", type}, {"source", source}, {"options", std::move(options)}};
}

array make_mounts() {
  return {
      make_mount("/proc", "proc", "proc", {}),
      make_mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      make_mount("/dev/pts", "devpts", "devpts",
                 {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
      make_mount("/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}),
      make_mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
      make_mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev"}),
      make_mount("/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", "ro"}),
  };
}

object make_hooks(const std::string& log) {
  object hooks;
  for (const char* name : {"prestart", "createRuntime", "createContainer", "poststart", "poststop"}) {
    hooks[name] = array{object{{"path", "/bin/sh"},
                               {"args", array{"sh", "-c", concat("cat > /dev/null; echo $KEY ", name, " >> ", log)}},
                               {"env", array{"KEY=hook"}},
                               {"timeout", 30}}};
  }
  hooks["startContainer"] =
      array{object{{"path", "/bin/sh"}, {"args", array{"sh", "-c", "echo startContainer > /dev/shm/hook"}}}};
  return hooks;
}

object make_block_io() {
  const auto rate = [](int value) { return array{object{{"major", 254}, {"minor", 0}, {"rate", value}}}; };
  return {{"weight", 10},
          {"leafWeight", 10},
          {"weightDevice", array{object{{"major", 254}, {"minor", 0}, {"weight", 500}, {"leafWeight", 300}}}},
          {"throttleReadBpsDevice", rate(600000)},
          {"throttleWriteBpsDevice", rate(500000)},
          {"throttleReadIOPSDevice", rate(700)},
          {"throttleWriteIOPSDevice", rate(300)}};
}

object make_resources() {
  return {
      {"network", object{{"classID", 1048577}, {"priorities", array{object{{"name", "lo"}, {"priority", 500}}}}}},
      {"pids", object{{"limit", 32771}}},
      {"hugepageLimits", array{object{{"pageSize", "2MB"}, {"limit", 9437184}}}},
      {"memory", object{{"limit", 536870912},
                        {"reservation", 268435456},
                        {"swap", 536870912},
                        {"kernel", -1},
                        {"kernelTCP", -1},
                        {"swappiness", 0},
                        {"disableOOMKiller", false},
                        {"useHierarchy", true},
                        {"checkBeforeUpdate", false}}},
      {"cpu", object{{"shares", 1024},
                     {"quota", 100000},
                     {"burst", 5000},
                     {"period", 50000},
                     {"realtimeRuntime", 0},
                     {"realtimePeriod", 500000},
                     {"cpus", "0"},
                     {"mems", "0"},
                     {"idle", 0}}},
      {"devices", array{object{{"allow", false}, {"access", "rwm"}},
                        object{{"allow", true}, {"type", "c"}, {"major", 10}, {"minor", 229}, {"access", "rw"}},
                        object{{"allow", true}, {"type", "b"}, {"major", 8}, {"minor", 0}, {"access", "r"}}}},
      {"rdma", object{{"mlx5_1", object{{"hcaHandles", 3}, {"hcaObjects", 10000}}}}},
      {"unified", object{{"hugetlb.2MB.max", "9437184"}}},
      {"blockIO", make_block_io()},
  };
}

object make_linux(const std::string& cgroup) {
  array namespaces;
  for (const char* type : {"pid", "network", "ipc", "uts", "mount", "user", "cgroup", "time"}) {
    namespaces.push_back(object{{"type", type}});
  }
  const array map{object{{"containerID", 0}, {"hostID", 1000}, {"size", 32000}}};
  return {
      {"devices", array{object{{"path", "/dev/fuse"},
                               {"type", "c"},
                               {"major", 10},
                               {"minor", 229},
                               {"fileMode", 438},
                               {"uid", 0},
                               {"gid", 0}},
                        object{{"path", "/dev/sda"},
                               {"type", "b"},
                               {"major", 8},
                               {"minor", 0},
                               {"fileMode", 432},
                               {"uid", 0},
                               {"gid", 0}}}},
      {"uidMappings", map},
      {"gidMappings", map},
      {"sysctl", object{{"net.ipv4.ip_forward", "1"}, {"net.core.somaxconn", "256"}}},
      {"cgroupsPath", cgroup},
      {"resources", make_resources()},
      {"rootfsPropagation", "slave"},
      {"timeOffsets", object{{"monotonic", object{{"secs", 172800}, {"nanosecs", 0}}},
                             {"boottime", object{{"secs", 604800}, {"nanosecs", 0}}}}},
      {"seccomp",
       object{{"defaultAction", "SCMP_ACT_ALLOW"},
              {"architectures", array{"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"}},
              {"syscalls", array{object{{"names", array{"getcwd", "chmod"}}, {"action", "SCMP_ACT_ERRNO"}}}}}},
      {"namespaces", std::move(namespaces)},
      {"maskedPaths", array{"/proc/kcore", "/proc/interrupts", "/proc/keys", "/proc/latency_stats", "/proc/timer_stats",
                            "/proc/sched_debug"}},
      {"readonlyPaths",
       array{"/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}},
      {"mountLabel", "system_u:object_r:svirt_sandbox_file_t:s0:c715,c811"},
      {"intelRdt", object{{"closID", "guaranteed_group"}, {"l3CacheSchema", "L3:0=7f0;1=1f"}}},
      {"netDevices", object{{"eth7", object{{"name", "container_eth0"}}}}},
      {"memoryPolicy", object{{"mode", "MPOL_INTERLEAVE"}, {"nodes", "0"}}},
      {"personality", object{{"domain", "LINUX"}, {"flags", array{}}}},
  };
}

/// What the payload tells of itself; one line for each thing that the document asks for.
constexpr const char* show = R"(echo ids $(id -u) $(id -g) $(id -G)
echo umask $(umask)
echo env $TERM $KEY
echo cwd $(readlink /proc/self/cwd)
grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status
echo limits $(ulimit -c) $(ulimit -Sn) $(ulimit -Hn)
echo oom $(cat /proc/self/oom_score_adj)
/payload scheduler
/payload uname | head -2
chmod 0 /dev/shm/hook 2>&1
cat /dev/shm/hook
echo sysctl $(cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/core/somaxconn)
echo map $(cat /proc/self/uid_map)
read up rest < /proc/uptime; [ ${up%.*} -gt 604800 ] && echo moved
cat /proc/kcore /proc/interrupts /proc/keys 2>/dev/null | head -c 1 | wc -c
grep ' /proc/sys ' /proc/self/mountinfo | cut -d' ' -f6 | cut -c1-2
for p in /dev/pts /dev/shm /dev/mqueue /sys /sys/fs/cgroup; do cut -d' ' -f5 /proc/self/mountinfo | grep -c "^$p\$"; done
touch /not-here 2>&1; true
)";

constexpr const char* shown = R"(ids 1 1 1 5 6
umask 0077
env xterm
cwd /work
CapInh:	0000000020000420
CapPrm:	0000000000000400
CapEff:	0000000000000400
CapBnd:	0000000020000420
CapAmb:	0000000000000400
NoNewPrivs:	1
Seccomp:	2
limits 2 512 1024
oom 100
policy 3 nice 3 priority 0 reset 0 affinity 0 io 24580
hostname slartibartfast
domainname foobarbaz.test
chmod: /dev/shm/hook: Operation not permitted
startContainer
sysctl 1 256
map 0 1000 32000
moved
0
ro
1
1
1
1
1
touch: /not-here: Read-only file system
)";

/// What a machine may lack: the words of the refusal, and the document without what they name.
struct Refusal {
  const char* words;
  bool everywhere;  ///< no machine has it: the refusal must come
  void (*take_away)(json::value& config);
};

object& block_io_of(json::value& config) { return edit(config, "linux", "resources").at("blockIO").as_object(); }

constexpr Refusal refusals[] = {
    {"linux.intelRdt is not supported", true, [](json::value& c) { edit(c, "linux").erase("intelRdt"); }},
    {"linux.resources.rdma is not supported", true,
     [](json::value& c) { edit(c, "linux", "resources").erase("rdma"); }},
    {"linux.netDevices: there is no network device \"eth7\"", true,  // the test is in a namespace of its own
     [](json::value& c) { edit(c, "linux").erase("netDevices"); }},
    {"SELinux mount label \"system_u:object_r:svirt_sandbox_file_t:s0:c715,c811\" cannot be applied", true,
     [](json::value& c) { edit(c, "linux").erase("mountLabel"); }},
    {"AppArmor profile \"acme_secure_profile\" cannot be applied", true,
     [](json::value& c) { edit(c, "process").erase("apparmorProfile"); }},
    {"SELinux label \"system_u:system_r:svirt_lxc_net_t:s0:c124,c675\" cannot be applied", true,
     [](json::value& c) { edit(c, "process").erase("selinuxLabel"); }},
    {"device /dev/sda cannot be made here", true,  // not in a user namespace
     [](json::value& c) { edit(c, "linux").at("devices").as_array().pop_back(); }},
    {"device /dev/fuse cannot be made here", false,
     [](json::value& c) { edit(c, "linux").at("devices").as_array().pop_back(); }},
    {"linux.resources.unified needs a pure cgroup v2 host", false,
     [](json::value& c) { edit(c, "linux", "resources").erase("unified"); }},
    {"weight_device", false, [](json::value& c) { block_io_of(c).erase("weightDevice"); }},
    {"the block I/O leaf weight cannot be set", false, [](json::value& c) { block_io_of(c).erase("leafWeight"); }},
    {"the block I/O weight cannot be set", false, [](json::value& c) { block_io_of(c).erase("weight"); }},
    {"the network class cannot be limited", false,
     [](json::value& c) { edit(c, "linux", "resources").erase("network"); }},
    {"io.max", false,  // no such disk
     [](json::value& c) { edit(c, "linux", "resources").erase("blockIO"); }},
    {"throttle", false, [](json::value& c) { edit(c, "linux", "resources").erase("blockIO"); }},
    {"hugetlb", false, [](json::value& c) { edit(c, "linux", "resources").erase("hugepageLimits"); }},
    {"real-time", false,
     [](json::value& c) {
       object& cpu = edit(c, "linux", "resources").at("cpu").as_object();
       cpu.erase("realtimeRuntime");
       cpu.erase("realtimePeriod");
     }},
};

class RuntimeDocumentTest : public RuntimeTest {
 protected:
  json::value make_document() {
    return object{{"ociVersion", "1.3.0"},
                  {"process", make_process()},
                  {"root", object{{"path", "rootfs"}, {"readonly", true}}},
                  {"hostname", "slartibartfast"},
                  {"domainname", "foobarbaz.test"},
                  {"mounts", make_mounts()},
                  {"hooks", make_hooks(root() + "/hooks")},
                  {"linux", make_linux(cgroup_parent() + "/one")},
                  {"annotations", object{{"com.example.key1", "value1"}, {"com.example.key2", ""}}}};
  }
};

TEST_F(RuntimeDocumentTest, EveryMemberRunsOrIsRefusedByName) {
  REQUIRE_USER_NAMESPACES();
  ASSERT_EQ(::chmod(root().c_str(), 0755), 0);
  make_dirs(rootfs() + "/work");
  write_file("bundle/rootfs/show", show);
  write_file("hooks", "", 0666);
  json::value config = make_document();
  CommandResult result = run(config);
  std::set<std::string> met;
  while (result.code != 0) {
    const auto* refusal = std::find_if(std::begin(refusals), std::end(refusals), [&](const Refusal& one) {
      return result.err.find(one.words) != std::string::npos;
    });
    ASSERT_NE(refusal, std::end(refusals)) << result.err;
    ASSERT_TRUE(met.insert(refusal->words).second) << "again: " << result.err;
    const std::string hook = read("hooks");  // who was refused after the hooks of its creation hears of its end
    if (!hook.empty()) EXPECT_TRUE(hook.ends_with("hook poststop\n")) << hook;
    write_file("hooks", "", 0666);
    EXPECT_EQ(wait_for_leftovers(), "") << result.err;
    refusal->take_away(config);
    result = run(config);
  }
  for (const Refusal& one : refusals) {
    if (one.everywhere) EXPECT_TRUE(met.contains(one.words)) << one.words;
  }
  EXPECT_EQ(result.out, shown);
  EXPECT_EQ(result.err, "mydocker-runtime: warning: the kernel memory limit is ignored: kernels have it no more\n");
  EXPECT_EQ(read("hooks"), "hook prestart\nhook createRuntime\nhook createContainer\nhook poststart\nhook poststop\n");
}

/// What of its limits reaches the kernel, read beside the container while it runs.
TEST_F(RuntimeDocumentTest, TheLimitsStandInTheKernelsFiles) {
  if (!path_exists("/sys/fs/cgroup/memory") || !path_exists("/sys/fs/cgroup/cpu")) GTEST_SKIP() << "needs cgroup v1";
  json::value config = make_config("echo ready; exec sleep 1000");
  object& resources = edit(config, "linux", "resources");
  resources = make_resources();
  for (const char* member : {"rdma", "unified", "network", "blockIO"}) resources.erase(member);
  const std::string huge = "/sys/fs/cgroup/unified" + cgroup_parent() + "/one/hugetlb.2MB.max";
  const bool has_huge_pages =
      path_exists("/sys/fs/cgroup/unified/cgroup.controllers") &&
      read_file("/sys/fs/cgroup/unified/cgroup.controllers").find("hugetlb") != std::string::npos &&
      path_exists("/sys/kernel/mm/hugepages/hugepages-2048kB");
  if (!has_huge_pages) resources.erase("hugepageLimits");
  start(config);
  const auto limit = [&](const char* controller, const char* file) {
    std::string text = read_file(concat("/sys/fs/cgroup/", controller, cgroup_parent(), "/one/", file));
    return text.substr(0, text.find('\n'));
  };
  EXPECT_EQ(limit("memory", "memory.limit_in_bytes"), "536870912");
  EXPECT_EQ(limit("memory", "memory.soft_limit_in_bytes"), "268435456");
  EXPECT_EQ(limit("memory", "memory.swappiness"), "0");
  EXPECT_EQ(limit("memory", "memory.oom_control"), "oom_kill_disable 0");
  EXPECT_EQ(limit("cpu", "cpu.shares"), "1024");
  EXPECT_EQ(limit("cpu", "cpu.cfs_quota_us"), "100000");
  EXPECT_EQ(limit("cpu", "cpu.cfs_period_us"), "50000");
  EXPECT_EQ(limit("cpu", "cpu.cfs_burst_us"), "5000");
  EXPECT_EQ(limit("cpu", "cpu.idle"), "0");
  EXPECT_EQ(limit("cpuset", "cpuset.cpus"), "0");
  EXPECT_EQ(limit("cpuset", "cpuset.mems"), "0");
  EXPECT_EQ(limit("pids", "pids.max"), "32771");
  if (has_huge_pages) EXPECT_EQ(read_file(huge), "8388608\n");  // whole pages
  delete_forced();
  resources["cpu"] = object{{"idle", 1}};
  start(config);
  EXPECT_EQ(limit("cpu", "cpu.idle"), "1");
  delete_forced();
}

}  // namespace
}  // namespace mydocker::test
