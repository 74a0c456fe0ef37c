#include "runtime/cgroup.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <optional>
#include <thread>

#include "engine/base/sys.h"
#include "runtime/cgroup_convert.h"
#include "tests/support/requirements.h"
#include "tests/support/temp_tree.h"

/// Ordinary directories stand in for cgroup file systems; the last tests use the machine's own.
namespace mydocker::runtime {
namespace {

using test::TempTree;

const char* const id = "/mydocker/abc";

TEST(CgroupLayout, V2IsOneTree) {
  const TempTree tree{{"cgroup.controllers", "cpuset cpu io memory pids\n"}, {"system.slice/x", ""}};
  const CgroupLayout layout = CgroupLayout::detect(tree.path());
  EXPECT_EQ(layout.mode, CgroupMode::v2);
  EXPECT_TRUE(layout.has("memory"));
  EXPECT_FALSE(layout.has("devices"));
}

TEST(CgroupLayout, V1HierarchiesAreNamedByTheirDirectories) {
  const TempTree tree{{"cpu,cpuacct/tasks", ""}, {"memory/tasks", ""}, {"systemd/tasks", ""}, {"other/x", ""}};
  ASSERT_EQ(::symlink("cpu,cpuacct", tree.path("cpu").c_str()), 0);
  const CgroupLayout layout = CgroupLayout::detect(tree.path());
  EXPECT_EQ(layout.mode, CgroupMode::v1);
  EXPECT_EQ(layout.hierarchies.size(), 3U);
  EXPECT_TRUE(layout.has("cpu"));
  EXPECT_TRUE(layout.has("cpuacct"));
  EXPECT_TRUE(layout.has("name=systemd"));
}

TEST(CgroupLayout, HybridHasBoth) {
  const TempTree tree{{"memory/tasks", ""}, {"unified/cgroup.controllers", "hugetlb\n"}};
  const CgroupLayout layout = CgroupLayout::detect(tree.path());
  EXPECT_EQ(layout.mode, CgroupMode::hybrid);
  EXPECT_TRUE(layout.has("hugetlb"));
  EXPECT_TRUE(layout.has("memory"));
}

TEST(CgroupLayout, NothingMountedIsAnError) {
  const TempTree tree{{"x/y", ""}};
  EXPECT_THROW_ERROR(CgroupLayout::detect(tree.path()), ErrorKind::internal, "no cgroup");
}

Resources make_resources() {
  Resources resources;
  resources.memory = Memory{};
  resources.memory->limit = 100 << 20;
  resources.memory->swap = 150 << 20;
  resources.memory->reservation = 50 << 20;
  resources.cpu = Cpu{};
  resources.cpu->shares = 1024;
  resources.cpu->quota = 50000;
  resources.cpu->period = 100000;
  resources.cpu->cpus = "0";
  resources.pids = Pids{99};
  resources.block_io = BlockIo{};
  resources.block_io->weight = 1000;
  resources.block_io->throttle_read_bps_device = {{8, 0, 1000}};
  resources.block_io->throttle_write_iops_device = {{8, 16, 7}};
  return resources;
}

TEST(Cgroup, V2LimitsAreConverted) {
  const TempTree tree{{"cgroup.controllers", "cpuset cpu io memory pids\n"},
                      {"cgroup.subtree_control", ""},
                      {"mydocker/abc/memory.max", ""},
                      {"mydocker/abc/memory.swap.max", ""},
                      {"mydocker/abc/memory.low", ""},
                      {"mydocker/abc/cpu.weight", ""},
                      {"mydocker/abc/cpu.max", ""},
                      {"mydocker/abc/cpuset.cpus", ""},
                      {"mydocker/abc/pids.max", ""},
                      {"mydocker/abc/io.weight", ""},
                      {"mydocker/abc/io.max", ""}};
  Cgroup cgroup = Cgroup::create(id, tree.path());
  cgroup.apply(make_resources());
  EXPECT_EQ(tree.read("mydocker/abc/memory.max"), "104857600");
  EXPECT_EQ(tree.read("mydocker/abc/memory.swap.max"), "52428800");
  EXPECT_EQ(tree.read("mydocker/abc/memory.low"), "52428800");
  EXPECT_EQ(tree.read("mydocker/abc/cpu.weight"), "100");
  EXPECT_EQ(tree.read("mydocker/abc/cpu.max"), "50000 100000");
  EXPECT_EQ(tree.read("mydocker/abc/cpuset.cpus"), "0");
  EXPECT_EQ(tree.read("mydocker/abc/pids.max"), "99");
  EXPECT_EQ(tree.read("mydocker/abc/io.weight"), "10000");
  EXPECT_NE(tree.read("mydocker/abc/io.max").find("8:"), std::string::npos);
}

TEST(Cgroup, V1LimitsGoToTheirHierarchies) {
  const TempTree tree{{"memory/tasks", ""},
                      {"memory/mydocker/abc/memory.limit_in_bytes", ""},
                      {"memory/mydocker/abc/memory.memsw.limit_in_bytes", "0"},
                      {"memory/mydocker/abc/memory.soft_limit_in_bytes", ""},
                      {"cpu/tasks", ""},
                      {"cpu/mydocker/abc/cpu.shares", ""},
                      {"cpu/mydocker/abc/cpu.cfs_period_us", ""},
                      {"cpu/mydocker/abc/cpu.cfs_quota_us", ""},
                      {"cpuset/tasks", ""},
                      {"cpuset/mydocker/abc/cpuset.cpus", ""},
                      {"pids/tasks", ""},
                      {"pids/mydocker/abc/pids.max", ""},
                      {"blkio/tasks", ""},
                      {"blkio/mydocker/abc/blkio.bfq.weight", ""},
                      {"blkio/mydocker/abc/blkio.throttle.read_bps_device", ""},
                      {"blkio/mydocker/abc/blkio.throttle.write_iops_device", ""}};
  Cgroup cgroup = Cgroup::create(id, tree.path());
  cgroup.apply(make_resources());
  EXPECT_EQ(tree.read("memory/mydocker/abc/memory.limit_in_bytes"), "104857600");
  EXPECT_EQ(tree.read("memory/mydocker/abc/memory.memsw.limit_in_bytes"), "157286400");
  EXPECT_EQ(tree.read("memory/mydocker/abc/memory.soft_limit_in_bytes"), "52428800");
  EXPECT_EQ(tree.read("cpu/mydocker/abc/cpu.shares"), "1024");
  EXPECT_EQ(tree.read("cpu/mydocker/abc/cpu.cfs_quota_us"), "50000");
  EXPECT_EQ(tree.read("cpu/mydocker/abc/cpu.cfs_period_us"), "100000");
  EXPECT_EQ(tree.read("pids/mydocker/abc/pids.max"), "99");
  EXPECT_EQ(tree.read("blkio/mydocker/abc/blkio.bfq.weight"), "1000");
  EXPECT_EQ(tree.read("blkio/mydocker/abc/blkio.throttle.read_bps_device"), "8:0 1000");
  EXPECT_EQ(tree.read("blkio/mydocker/abc/blkio.throttle.write_iops_device"), "8:16 7");
}

TEST(Cgroup, UnaskedLimitsAreLeftAlone) {
  const TempTree tree{{"cgroup.controllers", "memory\n"},
                      {"mydocker/abc/memory.max", "max\n"},
                      {"mydocker/abc/memory.swap.max", "max\n"}};
  Cgroup cgroup = Cgroup::create(id, tree.path());
  Resources resources;
  resources.memory = Memory{};
  resources.memory->limit = 64 << 20;
  cgroup.apply(resources);
  EXPECT_EQ(tree.read("mydocker/abc/memory.max"), "67108864");
  EXPECT_EQ(tree.read("mydocker/abc/memory.swap.max"), "max\n");
}

TEST(Cgroup, AMissingControllerIsNamed) {
  const TempTree tree{{"cgroup.controllers", "pids\n"}, {"mydocker/abc/pids.max", ""}};
  Cgroup cgroup = Cgroup::create(id, tree.path());
  Resources memory;
  memory.memory = Memory{};
  memory.memory->limit = 1;
  EXPECT_THROW_ERROR(cgroup.apply(memory), ErrorKind::invalid_argument, "\"memory\" is not available");
  Resources cpu;
  cpu.cpu = Cpu{};
  cpu.cpu->quota = 1;
  EXPECT_THROW_ERROR(cgroup.apply(cpu), ErrorKind::invalid_argument, "\"cpu\" is not available");
}

TEST(Cgroup, ContradictingMemoryLimitsAreRefused) {
  const TempTree tree{{"cgroup.controllers", "memory\n"}, {"mydocker/abc/memory.max", ""}};
  Cgroup cgroup = Cgroup::create(id, tree.path());
  Resources resources;
  resources.memory = Memory{};
  resources.memory->limit = 100;
  resources.memory->swap = 50;
  EXPECT_THROW_ERROR(cgroup.apply(resources), ErrorKind::invalid_argument, "above");
}

TEST(Cgroup, UnifiedFilesArePlainNamesOnV2Only) {
  const TempTree v2{{"cgroup.controllers", "memory\n"}, {"mydocker/abc/memory.high", ""}};
  Cgroup cgroup = Cgroup::create(id, v2.path());
  Resources resources;
  resources.unified = {{"memory.high", "5000"}};
  cgroup.apply(resources);
  EXPECT_EQ(v2.read("mydocker/abc/memory.high"), "5000");
  resources.unified = {{"../memory.high", "1"}};
  EXPECT_THROW_ERROR(cgroup.apply(resources), ErrorKind::invalid_argument, "bad file name");
  const TempTree v1{{"memory/tasks", ""}};
  Cgroup old = Cgroup::create(id, v1.path());
  EXPECT_THROW_ERROR(old.apply(resources), ErrorKind::invalid_argument, "v2");
}

TEST(Cgroup, PathsCannotLeaveTheTree) {
  const TempTree tree{{"cgroup.controllers", "pids\n"}};
  EXPECT_THROW_ERROR(Cgroup::create("/a/../../b", tree.path()), ErrorKind::invalid_argument, "..");
  EXPECT_THROW_ERROR(Cgroup::create("/", tree.path()), ErrorKind::invalid_argument, "empty");
}

TEST(Cgroup, V1JoinsThroughTasksAndV2ThroughProcs) {
  const TempTree tree{{"memory/tasks", ""},
                      {"memory/mydocker/abc/tasks", ""},
                      {"unified/cgroup.controllers", ""},
                      {"unified/mydocker/abc/cgroup.procs", ""}};
  const Cgroup cgroup = Cgroup::create(id, tree.path());
  cgroup.join(true);
  EXPECT_EQ(tree.read("memory/mydocker/abc/tasks"), "0");
  EXPECT_EQ(tree.read("unified/mydocker/abc/cgroup.procs"), "");
  cgroup.join(false);
  EXPECT_EQ(tree.read("unified/mydocker/abc/cgroup.procs"), "0");
}

TEST(Cgroup, ANewCpusetTakesWhatItsParentHas) {
  const TempTree tree{{"cpuset/tasks", ""},
                      {"cpuset/cpuset.cpus", "0-3\n"},
                      {"cpuset/cpuset.mems", "0\n"},
                      {"cpuset/mydocker/cpuset.cpus", "0-3\n"}};
  Cgroup::create(id, tree.path());
  EXPECT_TRUE(tree.exists("cpuset/mydocker/abc/"));
}

TEST(CgroupStats, V2FilesAreRead) {
  const TempTree tree{
      {"cgroup.controllers", "cpu io memory pids\n"},
      {"mydocker/abc/cpu.stat",
       "usage_usec 100\nuser_usec 60\nsystem_usec 40\nnr_periods 3\nnr_throttled 2\nthrottled_usec 7\n"},
      {"mydocker/abc/memory.current", "4096\n"},
      {"mydocker/abc/memory.max", "max\n"},
      {"mydocker/abc/memory.stat", "anon 10\nfile 20\n"},
      {"mydocker/abc/memory.events", "low 0\nhigh 0\nmax 4\noom 1\noom_kill 2\n"},
      {"mydocker/abc/pids.current", "5\n"},
      {"mydocker/abc/pids.max", "10\n"},
      {"mydocker/abc/io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n"}};
  const Cgroup cgroup = Cgroup::open(id, tree.path());
  const CgroupStats stats = cgroup.stats();
  EXPECT_TRUE(stats.v2);
  EXPECT_EQ(stats.cpu.total_ns, 100000U);
  EXPECT_EQ(stats.cpu.throttled_periods, 2U);
  EXPECT_EQ(stats.memory.usage_bytes, 4096U);
  EXPECT_EQ(stats.memory.limit_bytes, UINT64_MAX);
  EXPECT_EQ(stats.memory.counters.at("file"), 20U);
  EXPECT_EQ(stats.memory.failures, 4U);
  EXPECT_EQ(stats.pids.limit, 10U);
  ASSERT_EQ(stats.block_io.service_bytes.size(), 3U);
  EXPECT_EQ(stats.block_io.service_bytes[1].operation, "Write");
  EXPECT_EQ(cgroup.oom_kill_count(), 2U);
}

TEST(CgroupStats, V1FilesAreRead) {
  const TempTree tree{{"cpu/tasks", ""},
                      {"cpu/mydocker/abc/cpu.stat", "nr_periods 1\nnr_throttled 2\nthrottled_time 3\n"},
                      {"cpuacct/tasks", ""},
                      {"cpuacct/mydocker/abc/cpuacct.usage", "77\n"},
                      {"cpuacct/mydocker/abc/cpuacct.usage_percpu", "70 7 \n"},
                      {"memory/tasks", ""},
                      {"memory/mydocker/abc/memory.usage_in_bytes", "100\n"},
                      {"memory/mydocker/abc/memory.memsw.usage_in_bytes", "130\n"},
                      {"memory/mydocker/abc/memory.limit_in_bytes", "9223372036854771712\n"},
                      {"memory/mydocker/abc/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"},
                      {"blkio/tasks", ""},
                      {"blkio/mydocker/abc/blkio.throttle.io_service_bytes", "8:0 Read 5\n8:0 Write 6\nTotal 11\n"}};
  const Cgroup cgroup = Cgroup::open(id, tree.path());
  const CgroupStats stats = cgroup.stats();
  EXPECT_FALSE(stats.v2);
  EXPECT_EQ(stats.cpu.total_ns, 77U);
  EXPECT_EQ(stats.cpu.per_cpu_ns, (std::vector<std::uint64_t>{70, 7}));
  EXPECT_EQ(stats.cpu.throttled_ns, 3U);
  EXPECT_EQ(stats.memory.swap_usage_bytes, 30U);
  EXPECT_EQ(stats.memory.limit_bytes, UINT64_MAX);
  EXPECT_EQ(stats.block_io.service_bytes.size(), 2U);
  EXPECT_EQ(cgroup.oom_kill_count(), 3U);
}

TEST(CgroupConvert, SharesAndWeights) {
  EXPECT_EQ(weight_of_shares(2), 1U);
  EXPECT_EQ(weight_of_shares(1024), 100U);
  EXPECT_EQ(weight_of_shares(262144), 10000U);
  EXPECT_EQ(io_weight_of_blkio(10), 1U);
  EXPECT_EQ(io_weight_of_blkio(1000), 10000U);
  EXPECT_EQ(cpu_max(std::nullopt, 50000), "max 50000");
  EXPECT_EQ(cpu_max(-1, std::nullopt), "max 100000");
  EXPECT_EQ(swap_for_v2(-1, 5), "max");
  EXPECT_EQ(swap_for_v2(5, 5), "0");
  EXPECT_THROW_ERROR(swap_for_v2(5, std::nullopt), ErrorKind::invalid_argument, "memory limit");
}

/// The machine's own hierarchies, whatever they are.
class RealCgroup : public ::testing::Test {
 protected:
  void SetUp() override {
    REQUIRE_ROOT();
    try {
      cgroup_.emplace(Cgroup::create(concat("/mydocker-unit-", ::getpid())));
    } catch (const Error& error) {
      GTEST_SKIP() << "no writable cgroups: " << error.message();
    }
  }
  void TearDown() override {
    if (child_ > 0) {
      ::kill(child_, SIGKILL);
      ::waitpid(child_, nullptr, 0);
    }
    if (cgroup_) cgroup_->remove();
  }
  /// Forks a child that has joined when this returns, asleep.
  void start_child() {
    Pipe ready = make_pipe();
    child_ = ::fork();
    if (child_ == 0) {
      cgroup_->join(false);
      ready.write.reset();
      for (;;) ::pause();
    }
    ready.write.reset();
    wait_readable(ready.read.get(), 5000);
  }

  std::optional<Cgroup> cgroup_;
  pid_t child_ = -1;
};

TEST_F(RealCgroup, AChildThatJoinsIsInEveryHierarchy) {
  start_child();
  const std::string text = read_file(concat("/proc/", child_, "/cgroup"));
  for (std::size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1) {
    const std::string line = text.substr(begin, text.find('\n', begin) - begin);
    EXPECT_NE(line.find("mydocker-unit-"), std::string::npos) << line;
  }
  EXPECT_EQ(cgroup_->processes(), std::vector<pid_t>{child_});
}

TEST_F(RealCgroup, FreezeStopsAndKillAllEmpties) {
  start_child();
  cgroup_->freeze();
  EXPECT_TRUE(cgroup_->frozen());
  cgroup_->thaw();
  EXPECT_FALSE(cgroup_->frozen());
  cgroup_->kill_all();
  int status = 0;
  ASSERT_EQ(::waitpid(child_, &status, 0), child_);
  EXPECT_TRUE(WIFSIGNALED(status));
  child_ = -1;
  cgroup_->remove();
  EXPECT_THROW_ERROR(Cgroup::open(cgroup_->path()), ErrorKind::not_found, "no such cgroup");
}

/// Where the directories of a path are in the machine's hierarchies.
std::vector<std::string> find_directories(const std::string& path) {
  std::vector<std::string> found;
  const CgroupLayout layout = CgroupLayout::detect();
  for (const CgroupHierarchy& one : layout.hierarchies) {
    const std::string whole = concat(layout.root, "/", one.directory, path);
    if (path_exists(whole)) found.push_back(whole);
  }
  return found;
}

TEST_F(RealCgroup, ParentsThatWereMadeGoWithTheLastCgroupBelowThem) {
  const std::string base = cgroup_->path();
  Cgroup first = Cgroup::create(base + "/a/b/first");
  Cgroup second = Cgroup::create(base + "/a/second");
  first.remove();
  EXPECT_TRUE(find_directories(base + "/a/b").empty());
  EXPECT_FALSE(find_directories(base + "/a/second").empty());
  second.remove();
  EXPECT_TRUE(find_directories(base + "/a").empty());
  EXPECT_FALSE(find_directories(base).empty());
}

TEST_F(RealCgroup, ParentsThatOthersMadeStay) {
  const std::string there = cgroup_->path() + "/there";
  for (const std::string& directory : find_directories(cgroup_->path())) {
    ASSERT_EQ(::mkdir((directory + "/there").c_str(), 0755), 0);
  }
  const std::size_t hierarchies = find_directories(there).size();
  Cgroup::create(there + "/made/one").remove();
  EXPECT_TRUE(find_directories(there + "/made").empty());
  EXPECT_EQ(find_directories(there).size(), hierarchies);
}

/// One removes the parents that another is just about to use.
TEST_F(RealCgroup, ParentsAreSharedByThoseWhoComeAndGo) {
  const std::string parent = cgroup_->path() + "/shared";
  std::atomic<int> made = 0;
  const auto come_and_go = [&](const std::string& name) {
    for (int round = 0; round < 20; ++round) {
      Cgroup cgroup = Cgroup::create(concat(parent, "/below/", name));
      if (find_directories(cgroup.path()).size() == cgroup.layout().hierarchies.size()) ++made;
      cgroup.remove();
    }
  };
  {
    const std::jthread one([&] { come_and_go("one"); });
    const std::jthread other([&] { come_and_go("other"); });
    const std::jthread third([&] { come_and_go("third"); });
  }
  EXPECT_EQ(made, 60);
  EXPECT_TRUE(find_directories(parent).empty());
}

TEST(OomRecord, IsTheKernelsOwnAndOfThisCgroup) {
  const std::string path = "/system.slice/mydocker-ab.scope";
  const std::string text =
      "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=mydocker-ab.scope,mems_allowed=0,"
      "oom_memcg=/system.slice,task_memcg=/system.slice/mydocker-ab.scope";
  const std::string end = ",task=payload,pid=77,uid=0\n";
  EXPECT_TRUE(is_oom_record("6,339,5140900,-;" + text + end, path));
  EXPECT_TRUE(is_oom_record("4,339,5140900,-,caller=T1;" + text + "/below" + end, path));
  EXPECT_TRUE(is_oom_record("6,340,5140901,c;,task_memcg=" + path + end, path));  // the rest of a broken line
  const std::pair<std::string, std::string> others[] = {
      {"written by a process", "14,339,5140900,-;" + text + end},
      {"another cgroup", "6,339,5140900,-;" + text + "x" + end},
      {"another text", "6,339,5140900,-;usb " + text + end},
      {"behind the text", "6,339,5140900,-;oom-kill:none\n DEVICE=,task_memcg=" + path + ","},
      {"no head", text + end},
      {"a bad number", "x,1,1,-;" + text + end},
      {"nothing", ""}};
  for (const auto& [name, record] : others) EXPECT_FALSE(is_oom_record(record, path)) << name;
}

}  // namespace
}  // namespace mydocker::runtime
