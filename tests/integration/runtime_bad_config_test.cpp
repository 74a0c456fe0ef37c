#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <random>

#include "engine/base/sys.h"
#include "tests/integration/runtime_fixture.h"
#include "tests/support/patience.h"

/// A config.json that is wrong: one clear error on stderr and in the log, exit code 1, nothing left.
namespace mydocker::test {
namespace {

TEST_F(RuntimeTest, BadDocumentsAreRefusedByName) {
  const auto with = [&](std::string_view member, json::value value) {
    json::value config = make_config("true");
    config.as_object()[member] = std::move(value);
    return config;
  };
  const auto without = [&](std::string_view member) {
    json::value config = make_config("true");
    config.as_object().erase(member);
    return config;
  };
  expect_refused(run(with("ociVersion", "2.0.0")), "ociVersion \"2.0.0\" is not supported");
  expect_refused(run(with("ociVersion", "0.9.0")), "ociVersion \"0.9.0\" is not supported");
  for (const char* version : {"1", "1.", "1.x", "1..0", "1.0.2 ", "one", "1.0.2.3", "01.0.0"}) {
    expect_refused(run(with("ociVersion", version)), "is not supported");
  }
  expect_refused(run(without("ociVersion")), "ociVersion is missing");
  expect_refused(run(with("ociVersion", 1)), "ociVersion: expected a string");
  expect_refused(run(without("root")), "root.path is missing");
  expect_refused(run(with("root", json::object{{"path", "absent"}})), "absent");
  expect_refused(run(with("root", json::object{{"path", "config.json"}})), "root.path is not a directory");
  expect_refused(run(without("process")), "process.args must not be empty");
  expect_refused(run(without("linux")), "no mount namespace");
  expect_refused(run(with("process", json::array{})), "process: expected an object");
  expect_refused(run(with("mounts", "none")), "mounts: expected a list");
  expect_refused(run(with("hostname", json::string(std::string(65, 'x')))), "hostname is longer than 64 bytes");
  expect_refused(run(with("domainname", json::string(std::string(65, 'x')))), "domainname is longer than 64 bytes");
  expect_refused(run(with("hostname", json::string(std::string("a\0b", 3)))), "hostname contains a NUL byte");
  for (const char* version : {"1.0.0", "1.0.2-dev", "1.0.0-rc5+build", "1.2.1", "1.3.0"}) {
    EXPECT_EQ(run(with("ociVersion", version)).code, 0) << version;
  }
}

TEST_F(RuntimeTest, BadTextIsRefused) {
  const auto run_text = [&](const std::string& text) {
    write_file("bundle/config.json", text);
    return runtime({"run", "--bundle", bundle(), "one"});
  };
  expect_refused(run_text(""), "config.json: invalid JSON");
  expect_refused(run_text("{"), "config.json: invalid JSON");
  expect_refused(run_text("[]"), "expected an object");
  expect_refused(run_text(R"({"ociVersion": "1.0.2"} trailing)"), "invalid JSON");
  expect_refused(run_text(std::string(100000, '[')), "invalid JSON");
  expect_refused(run_text(std::string(std::size_t{9} << 20, ' ')), "config.json");
  expect_refused(run_text(std::string("\xff\xfe{}")), "invalid JSON");
  ASSERT_EQ(::unlink((bundle() + "/config.json").c_str()), 0);
  expect_refused(runtime({"run", "--bundle", bundle(), "one"}), "config.json: No such file or directory");
  expect_refused(runtime({"run", "--bundle", root() + "/absent", "one"}), "absent: No such file or directory");
  write_config(make_config("true"));
  expect_refused(runtime({"run", "--bundle", bundle(), "a/../b"}), "invalid container id");
  expect_refused(runtime({"run", "--bundle", bundle()}), "missing argument: container id");
}

TEST_F(RuntimeTest, WhatIsNotSupportedIsRefusedAndNotIgnored) {
  const auto with = [&](std::string_view member, json::value value) {
    json::value config = make_config("true");
    edit(config, "linux")[member] = std::move(value);
    return run(config);
  };
  expect_refused(with("intelRdt", json::object{{"closID", "x"}}), "linux.intelRdt is not supported");
  expect_refused(with("resources", json::object{{"rdma", json::object{{"mlx5_1", json::object{{"hcaHandles", 3}}}}}}),
                 "linux.resources.rdma is not supported");
  json::value unknown = make_config("echo ran");
  unknown.as_object()["com.example.unknown"] = 1;  // an unknown property is no error (config.md "Extensibility")
  EXPECT_EQ(run(unknown).out, "ran\n");
}

/// The deterministic mutator: one change to a document that uses everything.
class Mutator {
 public:
  explicit Mutator(unsigned seed) : random_(seed) {}

  std::string mutate(json::value document, const std::string& kept) {
    if (pick(4) == 0) return mutate_text(write_json(document), kept);
    std::vector<json::value*> nodes;
    collect(document, nodes);
    change(*nodes[pick(nodes.size())]);
    return write_json(document);
  }

 private:
  std::size_t pick(std::size_t count) { return random_() % count; }

  void collect(json::value& node, std::vector<json::value*>& out) {
    if (auto* object = node.if_object()) {
      for (auto& entry : *object) {
        if (entry.key() == "cgroupsPath") continue;  // else groups beside the test's own would come up
        out.push_back(&entry.value());
        collect(entry.value(), out);
      }
    } else if (auto* array = node.if_array()) {
      for (json::value& item : *array) {
        out.push_back(&item);
        collect(item, out);
      }
    }
  }

  json::value other_value() {
    switch (pick(17)) {
      case 0:
        return nullptr;
      case 1:
        return pick(2) == 0;
      case 2:
        return 0;
      case 3:
        return -1;
      case 4:
        return 1;
      case 5:
        return std::int64_t{1} << 32;
      case 6:
        return std::numeric_limits<std::uint64_t>::max();
      case 7:
        return std::numeric_limits<std::int64_t>::min();
      case 8:
        return 1.5;
      case 9:
        return "";
      case 10:
        return "x";
      case 11:
        return "/x";
      case 12:
        return "../../x";
      case 13:
        return json::string("n\0l", 3);
      case 14:
        return json::string(5000, 'l');
      case 15:
        return json::array{};
      default:
        return json::object{};
    }
  }

  void change(json::value& node) {
    const std::size_t kind = pick(6);
    if (kind == 0 && node.is_object() && !node.as_object().empty()) {
      auto& object = node.as_object();
      const auto victim = object.begin() + static_cast<std::ptrdiff_t>(pick(object.size()));
      if (victim->key() != "cgroupsPath") object.erase(victim);
    } else if (kind == 1 && node.is_array() && !node.as_array().empty()) {
      auto& array = node.as_array();
      array.push_back(json::value(array[pick(array.size())]));
    } else if (kind == 2 && node.is_array() && !node.as_array().empty()) {
      auto& array = node.as_array();
      array.erase(array.begin() + static_cast<std::ptrdiff_t>(pick(array.size())));
    } else if (kind == 3) {
      node = json::array{json::value(node)};
    } else {
      node = other_value();
    }
  }

  /// Bytes change anywhere but in `kept`.
  std::string mutate_text(std::string text, const std::string& kept) {
    const std::size_t begin = text.find(kept);
    std::size_t at = pick(text.size());
    if (at + 8 >= begin && at < begin + kept.size() + 8) at = 0;
    switch (pick(3)) {
      case 0:
        text.resize(at);
        break;
      case 1:
        text[at] = static_cast<char>(text[at] ^ (1 << pick(8)));
        break;
      default:
        text.insert(at, std::string(1 + pick(3), static_cast<char>(pick(256))));
        break;
    }
    return text;
  }

  std::mt19937 random_;
};

class RuntimeMutationTest : public RuntimeTest, public ::testing::WithParamInterface<unsigned> {
 protected:
  json::value make_rich_config() {
    json::value config = make_config_for({"/payload", "exit", "42"});
    edit(config, "annotations")["key"] = "value";
    edit(config, "linux")["cgroupsPath"] = cgroup_parent() + "/one";
    edit(config, "process")["oomScoreAdj"] = 100;
    edit(config, "process")["scheduler"] = json::object{{"policy", "SCHED_BATCH"}, {"nice", 1}};
    edit(config, "process")["ioPriority"] = json::object{{"class", "IOPRIO_CLASS_BE"}, {"priority", 3}};
    edit(config, "process")["consoleSize"] = json::object{{"height", 1}, {"width", 2}};
    edit(config, "process", "user")["additionalGids"] = json::array{1, 2};
    edit(config, "process", "user")["umask"] = 18;
    const json::object hook{
        {"path", "/bin/true"}, {"args", json::array{"true"}}, {"env", json::array{"A=b"}}, {"timeout", 5}};
    for (const char* name :
         {"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}) {
      edit(config, "hooks")[name] = json::array{hook};
    }
    add_namespace(config, "time");
    edit(config, "linux")["timeOffsets"] = json::object{{"boottime", json::object{{"secs", 5}, {"nanosecs", 6}}}};
    edit(config, "linux")["sysctl"] = json::object{{"net.ipv4.ip_forward", "1"}};
    edit(config, "linux")["devices"] = json::array{json::object{
        {"path", "/dev/mine"}, {"type", "c"}, {"major", 1}, {"minor", 3}, {"fileMode", 438}, {"uid", 0}, {"gid", 0}}};
    edit(config, "linux")["rootfsPropagation"] = "private";
    edit(config, "linux")["personality"] = json::object{{"domain", "LINUX"}};
    edit(config, "linux")["seccomp"] = json::object{
        {"defaultAction", "SCMP_ACT_ALLOW"},
        {"architectures", json::array{"SCMP_ARCH_X86_64"}},
        {"flags", json::array{"SECCOMP_FILTER_FLAG_LOG"}},
        {"syscalls", json::array{json::object{
                         {"names", json::array{"keyctl"}},
                         {"action", "SCMP_ACT_ERRNO"},
                         {"errnoRet", 1},
                         {"args", json::array{json::object{{"index", 0}, {"value", 1}, {"op", "SCMP_CMP_EQ"}}}}}}}};
    json::object& resources = edit(config, "linux", "resources");
    resources["memory"] = json::object{{"limit", 268435456}, {"reservation", 134217728}, {"swappiness", 10}};
    resources["cpu"] = json::object{{"shares", 512}, {"quota", 50000}, {"period", 100000}, {"cpus", "0"}};
    resources["pids"] = json::object{{"limit", 100}};
    add_mount(config, "/mnt", "tmpfs", "tmpfs", {"size=64k", "mode=755", "nosuid"});
    add_mount(config, "/mnt2", "bind", rootfs() + "/tmp", {"rbind", "ro", "rprivate"});
    return config;
  }
};

TEST_P(RuntimeMutationTest, AMutatedDocumentRunsOrIsRefusedAndLeavesNothing) {
  const json::value config = make_rich_config();
  write_config(config);
  ASSERT_EQ(runtime({"run", "--bundle", bundle(), "one"}).code, 42);
  int refused = 0;
  const auto documents = static_cast<unsigned>(patient_rounds(250));
  for (unsigned i = 0; i < documents; ++i) {
    const unsigned seed = GetParam() * 1000 + i;
    const std::string text = Mutator(seed).mutate(config, cgroup_parent() + "/one");
    write_file("bundle/config.json", text);
    ::unlink(log_file().c_str());
    const CommandResult result = runtime({"run", "--bundle", bundle(), "one"});
    const std::string log = path_exists(log_file()) ? read("log") : "";
    const auto count = [](const std::string& where, std::string_view what) {
      int found = 0;
      for (std::size_t at = 0; (at = where.find(what, at)) != std::string::npos; at += what.size()) ++found;
      return found;
    };
    const int errors = count(log, "level=error");
    const int warnings = count(log, "level=warning");
    refused += errors;
    EXPECT_NE(result.code, -1) << seed << ": it hangs\n" << text;
    EXPECT_LE(errors, 1) << seed << "\n" << log;
    EXPECT_EQ(count(log, "\n"), errors + warnings) << seed << "\n" << log;
    EXPECT_EQ(count(result.err, "mydocker-runtime: "), errors + warnings) << seed << "\n" << result.err;
    if (errors == 1) EXPECT_EQ(result.code, 1) << seed << "\n" << result.err << text;
    if (result.code == 1) EXPECT_EQ(errors, 1) << seed << ": no error is told\n" << result.err << text;
    EXPECT_EQ(leftovers(), "") << seed << "\n" << result.err << text;
    if (HasFailure()) break;
  }
  EXPECT_GT(refused, static_cast<int>(documents / 5));
  EXPECT_LT(refused, static_cast<int>(documents));
}

INSTANTIATE_TEST_SUITE_P(Seeds, RuntimeMutationTest, ::testing::Values(1U, 2U, 3U, 4U));

}  // namespace
}  // namespace mydocker::test
