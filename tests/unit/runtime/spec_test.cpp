#include "runtime/spec.h"

#include <gtest/gtest.h>

#include <functional>

#include "runtime/bundle.h"
#include "tests/support/requirements.h"
#include "tests/support/temp_tree.h"

namespace mydocker::runtime {
namespace {

TEST(Spec, TheExampleIsValidAndSurvivesJson) {
  const Spec example = make_example_spec();
  validate(example);
  const std::string text = write_json(to_json(example));
  const Spec again = from_json<Spec>(parse_json(text));
  validate(again);
  EXPECT_EQ(write_json(to_json(again)), text);
}

TEST(Spec, ADocumentWithEveryMemberSurvivesJson) {
  const std::string text = R"({"ociVersion":"1.2.0","process":{"terminal":true,"consoleSize":{"height":5,"width":6},
    "user":{"uid":1,"gid":2,"umask":18,"additionalGids":[3]},"args":["sh"],"env":["A=b"],"cwd":"/",
    "capabilities":{"bounding":["CAP_CHOWN"],"ambient":["CAP_CHOWN"]},"rlimits":[{"type":"RLIMIT_NOFILE","hard":18446744073709551615,"soft":5}],
    "noNewPrivileges":true,"oomScoreAdj":-5,"scheduler":{"policy":"SCHED_OTHER","nice":1},"ioPriority":{"class":"IOPRIO_CLASS_BE","priority":4},
    "execCPUAffinity":{"initial":"0","final":"0-1"}},"root":{"path":"rootfs","readonly":true},"hostname":"h","domainname":"d",
    "mounts":[{"destination":"/x","type":"bind","source":"/y","options":["rbind"],"uidMappings":[{"containerID":0,"hostID":1,"size":2}],
    "gidMappings":[{"containerID":0,"hostID":1,"size":2}]}],"hooks":{"poststop":[{"path":"/h","args":["h"],"env":["E=1"],"timeout":3}]},
    "annotations":{"k":"v"},"linux":{"sysctl":{"net.core.somaxconn":"1"},"resources":{"devices":[{"allow":false,"access":"rwm"}],
    "memory":{"limit":1,"swap":-1,"swappiness":0},"cpu":{"shares":2,"quota":-1,"period":100000,"burst":0,"cpus":"0","idle":0},
    "pids":{"limit":-1},"blockIO":{"weight":10,"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":7}]},
    "hugepageLimits":[{"pageSize":"2MB","limit":0}],"network":{"classID":1,"priorities":[{"name":"lo","priority":2}]},
    "unified":{"memory.high":"5"}},"cgroupsPath":"/a/b","namespaces":[{"type":"mount"},{"type":"network","path":"/n"},{"type":"uts"},{"type":"time"}],
    "devices":[{"path":"/dev/x","type":"c","major":1,"minor":3,"fileMode":438,"uid":0,"gid":0}],
    "seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["x"],"action":"SCMP_ACT_ERRNO","errnoRet":1,"args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]}]},
    "rootfsPropagation":"rslave","maskedPaths":["/m"],"readonlyPaths":["/r"],"personality":{"domain":"LINUX"},
    "timeOffsets":{"boottime":{"secs":-3,"nanosecs":4}}}})";
  const Spec spec = from_json<Spec>(parse_json(text));
  validate(spec);
  EXPECT_EQ(spec.process.rlimits[0].hard, UINT64_MAX);
  EXPECT_EQ(spec.process.oom_score_adj, -5);
  EXPECT_EQ(spec.linux.resources->memory->swap, -1);
  EXPECT_EQ(spec.linux.resources->memory->swappiness, 0U);
  EXPECT_EQ(spec.linux.time_offsets.at("boottime").secs, -3);
  EXPECT_EQ(to_json(from_json<Spec>(to_json(spec))), to_json(spec));
}

struct BadSpec {
  const char* what;
  std::function<void(Spec&)> change;
};

TEST(Spec, MistakesAreNamed) {
  const BadSpec table[] = {
      {"ociVersion", [](Spec& s) { s.version = "2.0.0"; }},
      {"ociVersion", [](Spec& s) { s.version = ""; }},
      {"process.args", [](Spec& s) { s.process.args.clear(); }},
      {"process.cwd", [](Spec& s) { s.process.cwd = "relative"; }},
      {"process.user.uid", [](Spec& s) { s.process.user.uid = 4294967295U; }},
      {"process.user.gid", [](Spec& s) { s.process.user.gid = 2147483648U; }},
      {"CAP_X", [](Spec& s) { s.process.capabilities->bounding = {"CAP_X"}; }},
      {"RLIMIT_X", [](Spec& s) { s.process.rlimits = {{"RLIMIT_X", 1, 1}}; }},
      {"twice", [](Spec& s) { s.process.rlimits = {{"RLIMIT_CPU", 1, 1}, {"RLIMIT_CPU", 1, 1}}; }},
      {"soft limit above", [](Spec& s) { s.process.rlimits = {{"RLIMIT_CPU", 1, 2}}; }},
      {"oomScoreAdj", [](Spec& s) { s.process.oom_score_adj = 1001; }},
      {"root.path", [](Spec& s) { s.root.path = ""; }},
      {"mount namespace",
       [](Spec& s) {
         s.linux.namespaces = {{"pid", ""}};
         s.hostname = "";
       }},
      {"twice", [](Spec& s) { s.linux.namespaces.push_back({"pid", ""}); }},
      {"unknown type", [](Spec& s) { s.linux.namespaces.push_back({"syslog", ""}); }},
      {"uts", [](Spec& s) { std::erase_if(s.linux.namespaces, [](auto& n) { return n.type == "uts"; }); }},
      {"uidMappings", [](Spec& s) { s.linux.uid_mappings = {{0, 0, 1}}; }},
      {"uidMappings", [](Spec& s) { s.linux.namespaces.push_back({"user", ""}); }},
      {"beyond 4294967294",
       [](Spec& s) {
         s.linux.namespaces.push_back({"user", ""});
         s.linux.uid_mappings = {{1, 0, 4294967295U}};
       }},
      {"beyond 4294967294",
       [](Spec& s) {
         s.linux.namespaces.push_back({"user", ""});
         s.linux.gid_mappings = {{0, 4294967295U, 1}};
       }},
      {"overlap",
       [](Spec& s) {
         s.linux.namespaces.push_back({"user", ""});
         s.linux.uid_mappings = {{0, 0, 10}, {100, 9, 1}};
       }},
      {"overlap",
       [](Spec& s) { s.mounts.push_back({"/m", "bind", "/s", {"bind"}, {{0, 0, 1}}, {{5, 0, 10}, {14, 50, 1}}}); }},
      {"kernel.hostname\" is not",
       [](Spec& s) {
         s.linux.sysctl = {{"kernel.hostname", "x"}};
         s.hostname = "";
         std::erase_if(s.linux.namespaces, [](auto& n) { return n.type == "uts"; });
       }},
      {"vm.swappiness", [](Spec& s) { s.linux.sysctl = {{"vm.swappiness", "1"}}; }},
      {"is not a name", [](Spec& s) { s.linux.sysctl = {{"net/../kernel/core_pattern", "1"}}; }},
      {"cgroupsPath", [](Spec& s) { s.linux.cgroups_path = "/a/../b"; }},
      {"rootfsPropagation", [](Spec& s) { s.linux.rootfs_propagation = "sideways"; }},
      {"maskedPaths", [](Spec& s) { s.linux.masked_paths = {"proc"}; }},
      {"hooks", [](Spec& s) { s.hooks.emplace().poststop = {{"relative", {}, {}, {}}}; }},
      {"NUL", [](Spec& s) { s.process.args = {std::string("a\0b", 3)}; }},
      {"linux.devices", [](Spec& s) { s.linux.devices = {{"/dev/x", "z", 1, 1, {}, {}, {}}}; }},
  };
  for (const BadSpec& row : table) {
    Spec spec = make_example_spec();
    row.change(spec);
    EXPECT_THROW_ERROR(validate(spec), ErrorKind::invalid_argument, row.what);
  }
}

TEST(Spec, WhatIsNotBuiltIsRefusedClearly) {
  Spec rdt = make_example_spec();
  rdt.linux.intel_rdt.emplace();
  EXPECT_THROW_ERROR(validate(rdt), ErrorKind::not_implemented, "intelRdt");
}

TEST(Bundle, ErrorsNameTheFile) {
  const test::TempTree tree{{"bad/config.json", "{"},
                            {"wrong/config.json", R"({"ociVersion":"1.0.2","process":{"args":5}})"}};
  EXPECT_THROW_ERROR(read_bundle(tree.path("none")), ErrorKind::not_found, "config.json");
  EXPECT_THROW_ERROR(read_bundle(tree.path("bad")), ErrorKind::invalid_argument, "bad/config.json");
  EXPECT_THROW_ERROR(read_bundle(tree.path("wrong")), ErrorKind::invalid_argument, "process.args");
}

/// 1,000 documents made of the example with one byte changed: an error or a spec, never a crash.
TEST(Bundle, MutatedDocumentsAreHandled) {
  const std::string good = write_json(to_json(make_example_spec()));
  std::uint32_t state = 12345;
  for (int i = 0; i < 1000; ++i) {
    std::string text = good;
    state = state * 1664525 + 1013904223;
    text[state % text.size()] = static_cast<char>(state >> 24);
    try {
      validate(from_json<Spec>(parse_json(text)));
    } catch (const Error& error) {
      EXPECT_FALSE(error.message().empty());
    }
  }
}

}  // namespace
}  // namespace mydocker::runtime
