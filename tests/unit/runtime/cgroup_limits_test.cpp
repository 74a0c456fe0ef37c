#include <gtest/gtest.h>

#include "runtime/cgroup.h"
#include "tests/support/requirements.h"
#include "tests/support/temp_tree.h"

/// Each member of linux.resources, in each kind of tree: ordinary directories stand in for cgroup file systems.
namespace mydocker::runtime {
namespace {

using test::TempTree;

const char* const id = "/c";

/// A limit as config.json says it.
Resources parse(std::string_view text) { return from_json<Resources>(parse_json(text)); }

struct FieldCase {
  const char* name;
  const char* resources;  ///< JSON
  const char* file;       ///< in the container's directory, with what was there before
  const char* before;
  const char* after;
};

void PrintTo(const FieldCase& one, std::ostream* out) { *out << one.name; }

std::string case_name(const testing::TestParamInfo<FieldCase>& info) { return info.param.name; }

class V1Field : public testing::TestWithParam<FieldCase> {};

TEST_P(V1Field, IsWritten) {
  const std::string file(GetParam().file);
  const std::string hierarchy = file.substr(0, file.find('/'));
  const std::string own = hierarchy + "/c/" + file.substr(hierarchy.size() + 1);
  const TempTree tree{{hierarchy + "/tasks", ""}, {own, GetParam().before}};
  Cgroup cgroup = Cgroup::create(id, tree.path());
  cgroup.apply(parse(GetParam().resources));
  EXPECT_EQ(tree.read(own), GetParam().after);
}

INSTANTIATE_TEST_SUITE_P(
    Resources, V1Field,
    testing::Values(
        FieldCase{"limit", R"({"memory":{"limit":5}})", "memory/memory.limit_in_bytes", "", "5"},
        FieldCase{"noLimit", R"({"memory":{"limit":-1}})", "memory/memory.limit_in_bytes", "", "-1"},
        FieldCase{"reservation", R"({"memory":{"reservation":5}})", "memory/memory.soft_limit_in_bytes", "", "5"},
        FieldCase{"swap", R"({"memory":{"swap":7}})", "memory/memory.memsw.limit_in_bytes", "0", "7"},
        FieldCase{"swappiness", R"({"memory":{"swappiness":60}})", "memory/memory.swappiness", "", "60"},
        FieldCase{"kernelTcp", R"({"memory":{"kernelTCP":9}})", "memory/memory.kmem.tcp.limit_in_bytes", "", "9"},
        FieldCase{"disableOomKiller", R"({"memory":{"disableOOMKiller":true}})", "memory/memory.oom_control", "", "1"},
        FieldCase{"shares", R"({"cpu":{"shares":512}})", "cpu/cpu.shares", "", "512"},
        FieldCase{"quota", R"({"cpu":{"quota":20000}})", "cpu/cpu.cfs_quota_us", "", "20000"},
        FieldCase{"period", R"({"cpu":{"period":50000}})", "cpu/cpu.cfs_period_us", "", "50000"},
        FieldCase{"burst", R"({"cpu":{"burst":1000}})", "cpu/cpu.cfs_burst_us", "", "1000"},
        FieldCase{"idle", R"({"cpu":{"idle":1}})", "cpu/cpu.idle", "", "1"},
        FieldCase{"realtimeRuntime", R"({"cpu":{"realtimeRuntime":950}})", "cpu/cpu.rt_runtime_us", "", "950"},
        FieldCase{"realtimePeriod", R"({"cpu":{"realtimePeriod":1000}})", "cpu/cpu.rt_period_us", "", "1000"},
        FieldCase{"cpus", R"({"cpu":{"cpus":"0-1"}})", "cpuset/cpuset.cpus", "0", "0-1"},
        FieldCase{"mems", R"({"cpu":{"mems":"0"}})", "cpuset/cpuset.mems", "1", "0"},
        FieldCase{"pids", R"({"pids":{"limit":9}})", "pids/pids.max", "", "9"},
        FieldCase{"noPids", R"({"pids":{"limit":-1}})", "pids/pids.max", "", "max"},
        FieldCase{"bfqWeight", R"({"blockIO":{"weight":20}})", "blkio/blkio.bfq.weight", "", "20"},
        FieldCase{"cfqWeight", R"({"blockIO":{"weight":20}})", "blkio/blkio.weight", "", "20"},
        FieldCase{"leafWeight", R"({"blockIO":{"leafWeight":30}})", "blkio/blkio.leaf_weight", "", "30"},
        FieldCase{"readBps", R"({"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":1,"rate":5}]}})",
                  "blkio/blkio.throttle.read_bps_device", "", "8:1 5"},
        FieldCase{"writeBps", R"({"blockIO":{"throttleWriteBpsDevice":[{"major":8,"minor":1,"rate":5}]}})",
                  "blkio/blkio.throttle.write_bps_device", "", "8:1 5"},
        FieldCase{"readIops", R"({"blockIO":{"throttleReadIOPSDevice":[{"major":8,"minor":1,"rate":5}]}})",
                  "blkio/blkio.throttle.read_iops_device", "", "8:1 5"},
        FieldCase{"writeIops", R"({"blockIO":{"throttleWriteIOPSDevice":[{"major":8,"minor":1,"rate":5}]}})",
                  "blkio/blkio.throttle.write_iops_device", "", "8:1 5"},
        FieldCase{"hugepages", R"({"hugepageLimits":[{"pageSize":"2MB","limit":4096}]})",
                  "hugetlb/hugetlb.2MB.limit_in_bytes", "", "4096"},
        FieldCase{"classId", R"({"network":{"classID":1048577}})", "net_cls/net_cls.classid", "", "1048577"},
        FieldCase{"priorities", R"({"network":{"priorities":[{"name":"eth0","priority":5}]}})",
                  "net_prio/net_prio.ifpriomap", "", "eth0 5"},
        FieldCase{"devices", R"({"devices":[{"allow":true,"type":"c","major":1,"minor":3,"access":"r"}]})",
                  "devices/devices.allow", "", "c 1:3 r"},
        FieldCase{"deniedDevices", R"({"devices":[{"allow":false}]})", "devices/devices.deny", "", "a"}),
    case_name);

class V2Field : public testing::TestWithParam<FieldCase> {};

TEST_P(V2Field, IsWritten) {
  const std::string own = concat("c/", GetParam().file);
  const TempTree tree{{"cgroup.controllers", "cpuset cpu io memory hugetlb pids\n"}, {own, GetParam().before}};
  Cgroup cgroup = Cgroup::create(id, tree.path());
  cgroup.apply(parse(GetParam().resources));
  EXPECT_EQ(tree.read(own), GetParam().after);
}

INSTANTIATE_TEST_SUITE_P(
    Resources, V2Field,
    testing::Values(FieldCase{"limit", R"({"memory":{"limit":5}})", "memory.max", "", "5"},
                    FieldCase{"noLimit", R"({"memory":{"limit":-1}})", "memory.max", "", "max"},
                    FieldCase{"reservation", R"({"memory":{"reservation":5}})", "memory.low", "", "5"},
                    FieldCase{"swap", R"({"memory":{"swap":-1}})", "memory.swap.max", "", "max"},
                    FieldCase{"shares", R"({"cpu":{"shares":1024}})", "cpu.weight", "", "100"},
                    FieldCase{"quota", R"({"cpu":{"quota":20000,"period":50000}})", "cpu.max", "", "20000 50000"},
                    FieldCase{"burst", R"({"cpu":{"burst":1000}})", "cpu.max.burst", "", "1000"},
                    FieldCase{"idle", R"({"cpu":{"idle":1,"shares":9}})", "cpu.idle", "", "1"},
                    FieldCase{"cpus", R"({"cpu":{"cpus":"0-1"}})", "cpuset.cpus", "", "0-1"},
                    FieldCase{"mems", R"({"cpu":{"mems":"0"}})", "cpuset.mems", "", "0"},
                    FieldCase{"pids", R"({"pids":{"limit":9}})", "pids.max", "", "9"},
                    FieldCase{"ioWeight", R"({"blockIO":{"weight":1000}})", "io.weight", "", "10000"},
                    FieldCase{"bfqWeight", R"({"blockIO":{"weight":1000}})", "io.bfq.weight", "", "1000"},
                    FieldCase{"weightDevice", R"({"blockIO":{"weightDevice":[{"major":8,"minor":1,"weight":10}]}})",
                              "io.weight", "", "8:1 1"},
                    FieldCase{"readBps", R"({"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":1,"rate":5}]}})",
                              "io.max", "", "8:1 rbps=5"},
                    FieldCase{"writeBps", R"({"blockIO":{"throttleWriteBpsDevice":[{"major":8,"minor":1,"rate":0}]}})",
                              "io.max", "", "8:1 wbps=max"},
                    FieldCase{"readIops", R"({"blockIO":{"throttleReadIOPSDevice":[{"major":8,"minor":1,"rate":5}]}})",
                              "io.max", "", "8:1 riops=5"},
                    FieldCase{"writeIops",
                              R"({"blockIO":{"throttleWriteIOPSDevice":[{"major":8,"minor":1,"rate":5}]}})", "io.max",
                              "", "8:1 wiops=5"},
                    FieldCase{"hugepages", R"({"hugepageLimits":[{"pageSize":"2MB","limit":4096}]})", "hugetlb.2MB.max",
                              "", "4096"},
                    FieldCase{"unified", R"({"unified":{"memory.high":"7"}})", "memory.high", "", "7"}),
    case_name);

TEST(CgroupLimits, AHybridTreeTakesEachControllerWhereItIs) {
  const TempTree tree{{"memory/tasks", ""},
                      {"memory/c/memory.limit_in_bytes", ""},
                      {"unified/cgroup.controllers", "hugetlb pids\n"},
                      {"unified/c/hugetlb.2MB.max", ""},
                      {"unified/c/hugetlb.2MB.rsvd.max", ""},
                      {"unified/c/pids.max", ""}};
  Cgroup cgroup = Cgroup::create(id, tree.path());
  EXPECT_EQ(cgroup.mode(), CgroupMode::hybrid);
  cgroup.apply(parse(R"({"memory":{"limit":5},"pids":{"limit":3},"hugepageLimits":[{"pageSize":"2MB","limit":9}]})"));
  EXPECT_EQ(tree.read("memory/c/memory.limit_in_bytes"), "5");
  EXPECT_EQ(tree.read("unified/c/pids.max"), "3");
  EXPECT_EQ(tree.read("unified/c/hugetlb.2MB.max"), "9");
  EXPECT_EQ(tree.read("unified/c/hugetlb.2MB.rsvd.max"), "9");
}

TEST(CgroupLimits, WhatADelegatedTreeLacksIsNamed) {
  const TempTree tree{{"cgroup.controllers", "memory pids\n"}, {"user/cgroup.controllers", "pids\n"}};
  Cgroup cgroup = Cgroup::create("/user/c", tree.path());
  EXPECT_THROW_ERROR(cgroup.apply(parse(R"({"memory":{"limit":5}})")), ErrorKind::invalid_argument, "memory.max");
  EXPECT_THROW_ERROR(cgroup.apply(parse(R"({"cpu":{"shares":5}})")), ErrorKind::invalid_argument, "\"cpu\"");
}

TEST(CgroupLimits, ControllersAreHandedDownToEveryParent) {
  const TempTree tree{{"cgroup.controllers", "cpu memory\n"},
                      {"cgroup.subtree_control", ""},
                      {"a/cgroup.controllers", "cpu\n"},
                      {"a/cgroup.subtree_control", ""}};
  Cgroup::create("/a/c", tree.path());
  EXPECT_EQ(tree.read("a/cgroup.subtree_control"), "+cpu");
}

TEST(CgroupLimits, RdmaIsRefusedClearly) {
  const TempTree tree{{"cgroup.controllers", "rdma pids\n"}, {"c/pids.max", "max"}};
  Cgroup cgroup = Cgroup::create(id, tree.path());
  EXPECT_THROW_ERROR(cgroup.apply(parse(R"({"rdma":{"mlx5_1":{"hcaHandles":3}},"pids":{"limit":3}})")),
                     ErrorKind::not_implemented, "linux.resources.rdma");
  EXPECT_EQ(tree.read("c/pids.max"), "max");
}

TEST(CgroupLimits, KernelMemoryIsIgnoredWithAWarning) {
  const TempTree tree{{"memory/tasks", ""}};
  Cgroup cgroup = Cgroup::create(id, tree.path());
  cgroup.apply(parse(R"({"memory":{"kernel":1000}})"));
  ASSERT_EQ(cgroup.warnings().size(), 1U);
  EXPECT_NE(cgroup.warnings().front().find("kernel memory"), std::string::npos);
}

TEST(CgroupLimits, WhatOnlyV1HasIsWarnedOfOrRefusedOnV2) {
  const TempTree tree{{"cgroup.controllers", "cpu memory\n"}};
  Cgroup cgroup = Cgroup::create(id, tree.path());
  cgroup.apply(parse(R"({"memory":{"swappiness":5,"disableOOMKiller":true,"kernelTCP":5}})"));
  EXPECT_EQ(cgroup.warnings().size(), 3U);
  EXPECT_THROW_ERROR(cgroup.apply(parse(R"({"cpu":{"realtimeRuntime":5}})")), ErrorKind::invalid_argument, "real-time");
  EXPECT_THROW_ERROR(cgroup.apply(parse(R"({"network":{"classID":5}})")), ErrorKind::invalid_argument, "net_cls");
}

TEST(CgroupLimits, AWeightThatNoFileTakesIsRefused) {
  const TempTree v1{{"blkio/tasks", ""}};
  Cgroup old = Cgroup::create(id, v1.path());
  EXPECT_THROW_ERROR(old.apply(parse(R"({"blockIO":{"weight":20}})")), ErrorKind::invalid_argument, "blkio.bfq.weight");
  EXPECT_THROW_ERROR(old.apply(parse(R"({"blockIO":{"leafWeight":20}})")), ErrorKind::invalid_argument, "leaf weight");
  const TempTree v2{{"cgroup.controllers", "io\n"}};
  Cgroup cgroup = Cgroup::create(id, v2.path());
  EXPECT_THROW_ERROR(cgroup.apply(parse(R"({"blockIO":{"weight":20}})")), ErrorKind::invalid_argument, "io.weight");
}

TEST(CgroupLimits, WeightsOfSingleDevicesHaveTheirOwnFileOnV1) {
  const TempTree tree{{"blkio/tasks", ""},
                      {"blkio/c/blkio.bfq.weight", ""},
                      {"blkio/c/blkio.bfq.weight_device", ""},
                      {"blkio/c/blkio.leaf_weight", ""},
                      {"blkio/c/blkio.leaf_weight_device", ""}};
  Cgroup cgroup = Cgroup::create(id, tree.path());
  cgroup.apply(parse(R"({"blockIO":{"weightDevice":[{"major":8,"minor":1,"weight":10,"leafWeight":11}]}})"));
  EXPECT_EQ(tree.read("blkio/c/blkio.bfq.weight_device"), "8:1 10");
  EXPECT_EQ(tree.read("blkio/c/blkio.leaf_weight_device"), "8:1 11");
}

TEST(CgroupLimits, CheckBeforeUpdateKeepsALimitAboveTheUsage) {
  const TempTree v2{{"cgroup.controllers", "memory\n"}, {"c/memory.current", "1000\n"}, {"c/memory.max", "max"}};
  Cgroup cgroup = Cgroup::create(id, v2.path());
  EXPECT_THROW_ERROR(cgroup.apply(parse(R"({"memory":{"limit":999,"checkBeforeUpdate":true}})")),
                     ErrorKind::invalid_argument, "in use: 1000");
  EXPECT_EQ(v2.read("c/memory.max"), "max");
  cgroup.apply(parse(R"({"memory":{"limit":1000,"checkBeforeUpdate":true}})"));
  EXPECT_EQ(v2.read("c/memory.max"), "1000");
  const TempTree v1{
      {"memory/tasks", ""}, {"memory/c/memory.usage_in_bytes", "1000\n"}, {"memory/c/memory.limit_in_bytes", "2000"}};
  Cgroup old = Cgroup::create(id, v1.path());
  EXPECT_THROW_ERROR(old.apply(parse(R"({"memory":{"limit":999,"checkBeforeUpdate":true}})")),
                     ErrorKind::invalid_argument, "in use: 1000");
  EXPECT_EQ(v1.read("memory/c/memory.limit_in_bytes"), "2000");
}

TEST(CgroupLimits, NoMemoryLimitLeavesNoneForSwapEither) {
  const TempTree tree{{"cgroup.controllers", "memory\n"}, {"c/memory.max", "5"}, {"c/memory.swap.max", "5"}};
  Cgroup cgroup = Cgroup::create(id, tree.path());
  cgroup.apply(parse(R"({"memory":{"limit":-1}})"));
  EXPECT_EQ(tree.read("c/memory.swap.max"), "max");
}

TEST(CgroupLimits, AnUnknownUnifiedFileIsNamedAndLinesAreWrittenOneByOne) {
  const TempTree tree{{"cgroup.controllers", "io\n"}, {"c/io.max", ""}};
  Cgroup cgroup = Cgroup::create(id, tree.path());
  EXPECT_THROW_ERROR(cgroup.apply(parse(R"({"unified":{"misc.max":"1"}})")), ErrorKind::invalid_argument, "misc.max");
  cgroup.apply(parse(R"({"unified":{"io.max":"8:0 rbps=100\n8:1 rbps=2\n"}})"));
  // Each write begins at the file's start: the second one lies over the first.
  EXPECT_EQ(tree.read("c/io.max"), "8:1 rbps=200");
}

TEST(CgroupFreezer, V2IsUsedWhereItIsThere) {
  const TempTree tree{{"freezer/tasks", ""},
                      {"freezer/c/freezer.state", "THAWED\n"},
                      {"unified/cgroup.controllers", ""},
                      {"unified/c/cgroup.freeze", "0"},
                      {"unified/c/cgroup.events", "populated 1\nfrozen 1\n"}};
  Cgroup cgroup = Cgroup::open(id, tree.path());
  cgroup.freeze();
  EXPECT_EQ(tree.read("unified/c/cgroup.freeze"), "1");
  EXPECT_EQ(tree.read("freezer/c/freezer.state"), "THAWED\n");
  EXPECT_TRUE(cgroup.frozen());
}

TEST(CgroupFreezer, V1IsSeenAndThawedToo) {
  const TempTree tree{{"freezer/tasks", ""},
                      {"freezer/c/freezer.state", "FROZEN"},
                      {"unified/cgroup.controllers", ""},
                      {"unified/c/cgroup.freeze", "0"},
                      {"unified/c/cgroup.events", "populated 1\nfrozen 0\n"}};
  Cgroup cgroup = Cgroup::open(id, tree.path());
  EXPECT_TRUE(cgroup.frozen());
  cgroup.thaw();
  EXPECT_EQ(tree.read("freezer/c/freezer.state"), "THAWED");
}

TEST(CgroupFreezer, AloneOnV1) {
  const TempTree tree{{"freezer/tasks", ""}, {"freezer/c/freezer.state", "THAWED"}};
  Cgroup cgroup = Cgroup::open(id, tree.path());
  cgroup.freeze();
  EXPECT_EQ(tree.read("freezer/c/freezer.state"), "FROZEN");
}

}  // namespace
}  // namespace mydocker::runtime
