#include <unistd.h>

#include <algorithm>

#include "engine/base/sys.h"
#include "tests/integration/runtime_fixture.h"

/// linux.netDevices (config-linux.md "Network Devices"): devices of the caller's network namespace, which is the test's
/// own, become a container's.
namespace mydocker::test {
namespace {

class RuntimeNetDeviceTest : public RuntimeTest {
 protected:
  void SetUp() override {
    RuntimeTest::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    REQUIRE_PROGRAM("ip");
    remove_links();
    // The peers stay here: while they are there, so are the devices.
    ip({"link", "add", "mdt0", "mtu", "1400", "type", "veth", "peer", "name", "mdp0"});
    ip({"link", "add", "mdt1", "type", "veth", "peer", "name", "mdp1"});
  }
  void TearDown() override {
    remove_links();
    RuntimeTest::TearDown();
  }

  static void ip(Words words) {
    words.insert(words.begin(), "ip");
    const CommandResult result = run_command(words);
    EXPECT_EQ(result.code, 0) << result.err;
  }
  static bool has_link(const std::string& name) { return run_command({"ip", "link", "show", "dev", name}).code == 0; }
  static void remove_links() {
    for (const char* name : {"mdp0", "mdp1"}) {
      run_command({"ip", "link", "del", name});  // it may go with a container's namespace this very moment
      EXPECT_FALSE(has_link(name));
    }
  }
  static json::value with_devices(json::value config, json::object devices) {
    edit(config, "linux")["netDevices"] = std::move(devices);
    return config;
  }
  /// Two addresses of each family that count, and two that do not: of another scope, of limited life.
  static void give_addresses() {
    ip({"addr", "add", "10.9.0.2/24", "broadcast", "10.9.0.200", "dev", "mdt0"});
    ip({"addr", "add", "10.9.0.3/24", "label", "mdt0:one", "dev", "mdt0"});
    ip({"addr", "add", "10.9.1.1", "peer", "10.9.1.2/32", "dev", "mdt0"});
    ip({"addr", "add", "10.9.2.2/24", "scope", "link", "dev", "mdt0"});
    ip({"addr", "add", "10.9.3.2/24", "valid_lft", "5000", "preferred_lft", "4000", "dev", "mdt0"});
    ip({"addr", "add", "fd00:9::2/64", "nodad", "dev", "mdt0"});
  }
  /// "inet 10.9.0.2/24 brd 10.9.0.255 scope global mdt0": what `ip -o addr` says of a device, without its number.
  static std::string addresses(const std::string& name) {
    const CommandResult result =
        run_command({"sh", "-c", "ip -o addr show dev " + name + " | grep -v 'scope link' | sed " + shorten});
    return result.out;
  }

  static constexpr const char* shorten = R"('s/^[0-9]*: [^ ]* *//; s/ *\\.*//; s/ nodad//; s/ flags 02//')";
  static constexpr const char* show = R"(exec 2>&1
busybox ip link show $dev | sed -n 's/^[0-9]*: \([^@:]*\).*[<,]UP[,>].* mtu \([0-9]*\) .*/\1 up \2/p; s/.*ether \([^ ]*\) .*/\1/p'
busybox ip -o addr show dev $dev | grep -v 'scope link' | sed )";
};

TEST_F(RuntimeNetDeviceTest, ADeviceMovesWithItsAddressesAndANewName) {
  give_addresses();
  const std::string mac =
      run_command({"sh", "-c", "ip -o link show dev mdt0 | sed 's/.*ether \\([^ ]*\\) .*/\\1/'"}).out;
  const std::string script = std::string("dev=inside0\n") + show + shorten;
  const CommandResult result = run(with_devices(make_config(script), {{"mdt0", json::object{{"name", "inside0"}}}}));
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "inside0 up 1400\n" + mac +
                            "inet 10.9.0.2/24 brd 10.9.0.200 scope global inside0\n"
                            "inet 10.9.1.1 peer 10.9.1.2/32 scope global inside0\n"
                            "inet 10.9.0.3/24 scope global secondary inside0:one\n"
                            "inet6 fd00:9::2/64 scope global\n");
  // The kernel destroys a virtual device with its namespace, and its peer with it.
  EXPECT_TRUE(eventually([] { return !has_link("mdp0"); }));
  EXPECT_FALSE(has_link("mdt0"));
  EXPECT_TRUE(has_link("mdt1"));  // nobody named it
}

TEST_F(RuntimeNetDeviceTest, CreateTakesTheDeviceAndTheContainerKeepsIt) {
  ip({"addr", "add", "10.9.0.2/24", "dev", "mdt0"});
  create(with_devices(make_config("exec sleep 1000"), {{"mdt0", json::object{}}}));
  EXPECT_FALSE(has_link("mdt0"));
  ASSERT_EQ(runtime({"start", "one"}).code, 0);
  const CommandResult seen = exec("busybox ip -o -4 addr show dev mdt0");
  EXPECT_NE(seen.out.find("inet 10.9.0.2/24"), std::string::npos) << seen.out << seen.err;
  ip({"addr", "add", "10.9.0.1/24", "dev", "mdp0"});
  ip({"link", "set", "mdp0", "up"});
  // It takes the kernel a moment to see that the other end is there.
  EXPECT_TRUE(eventually([] { return run_command({"busybox", "ping", "-c", "1", "-W", "1", "10.9.0.2"}).code == 0; }));
  delete_forced();
  EXPECT_TRUE(eventually([] { return !has_link("mdp0"); }));
}

/// "%d" at the end of a name: the first number that is free.
TEST_F(RuntimeNetDeviceTest, ATemplateIsNumbered) {
  const char* script = "cd /sys/class/net; echo *";
  json::value config = make_config(script);
  EXPECT_EQ(
      run(with_devices(config, {{"mdt0", json::object{{"name", "eth%d"}}}, {"mdt1", json::object{{"name", "eth%d"}}}}))
          .out,
      "eth0 eth1 lo\n");
}

TEST_F(RuntimeNetDeviceTest, HooksSeeTheDevice) {
  json::value config = with_devices(make_config("true"), {{"mdt0", json::object{{"name", "inside0"}}}});
  const auto hook = [&](const std::string& script) {
    return json::array{json::object{{"path", "/bin/sh"}, {"args", json::array{"sh", "-c", script}}}};
  };
  const std::string out = root() + "/hooks";
  config.as_object()["hooks"] = json::object{
      {"createRuntime", hook("grep -q mdt0: /proc/self/net/dev || echo createRuntime gone >> " + out)},
      {"createContainer", hook("grep -o inside0: /proc/self/net/dev >> " + out)},
  };
  EXPECT_EQ(run(config).code, 0);
  EXPECT_EQ(read("hooks"), "createRuntime gone\ninside0:\n");
}

/// Who does not start gives everything back: names, addresses, state.
TEST_F(RuntimeNetDeviceTest, AFailedCreationGivesTheDevicesBack) {
  give_addresses();
  ip({"link", "set", "mdt0", "up"});
  const std::string before = addresses("mdt0");
  json::object devices = {{"mdt0", json::object{{"name", "inside0"}}}, {"mdt1", json::object{{"name", "inside1"}}}};
  const auto expect_back = [&](const CommandResult& result, const std::string& text) {
    expect_refused(result, text);
    std::string again = addresses("mdt0");
    std::string expected = before;  // what is of limited life is not a part of it
    const std::size_t limited = expected.find("inet 10.9.3.2");
    expected.erase(limited, expected.find('\n', limited) - limited + 1);
    EXPECT_EQ(again, expected);
    EXPECT_TRUE(has_link("mdt1"));
    const auto state = [](const char* name) { return run_command({"ip", "-o", "link", "show", "dev", name}).out; };
    EXPECT_NE(state("mdt0").find(",UP"), std::string::npos) << state("mdt0");
    EXPECT_EQ(state("mdt1").find(",UP"), std::string::npos) << state("mdt1");
    ip({"addr", "add", "10.9.3.2/24", "valid_lft", "5000", "preferred_lft", "4000", "dev", "mdt0"});
  };
  json::value config = with_devices(make_config("true"), devices);
  config.as_object()["hooks"] = json::object{
      {"createRuntime", json::array{json::object{{"path", "/bin/false"}, {"args", json::array{"false"}}}}}};
  expect_back(run(config), "createRuntime");
  config = with_devices(make_config_for({"/absent"}), devices);
  expect_back(run(config), "/absent");
  config = with_devices(make_config("true"), devices);
  add_mount(config, "/mnt", "tmpfs", "tmpfs", {"no-such-option=1"});
  expect_back(run(config), "no-such-option");
}

TEST_F(RuntimeNetDeviceTest, WhatCannotBeMovedIsRefusedByName) {
  const auto with = [&](json::object devices) { return run(with_devices(make_config("true"), std::move(devices))); };
  expect_refused(with({{"absent", json::object{}}}), "linux.netDevices: there is no network device \"absent\"");
  expect_refused(with({{"mdt0", json::object{}}, {"mdz", json::object{}}}), "there is no network device \"mdz\"");
  EXPECT_TRUE(has_link("mdt0"));  // all or none
  expect_refused(with({{"mdt0", json::object{{"name", "lo"}}}}), "the container has a network device \"lo\" already");
  expect_refused(with({{"lo", json::object{{"name", "other"}}}}), "linux.netDevices: move network device lo");
  expect_refused(with({{"mdt0", json::object{{"name", "same"}}}, {"mdt1", json::object{{"name", "same"}}}}),
                 "linux.netDevices: gives the name \"same\" twice");
  for (const char* bad :
       {".", "..", "a/b", "sixteen-letters-", "a b", "a:b", "a%b", "a%d%d", "a%dsixteen-let%", "a\tb"}) {
    expect_refused(with({{"mdt0", json::object{{"name", bad}}}}), "is not a name for a network device");
    expect_refused(with({{bad, json::object{}}}), "is not a name for a network device");
  }
  expect_refused(with({{"eth%d", json::object{}}}), "is not a name for a network device");
  expect_refused(with({{"", json::object{}}}), "is not a name for a network device");
  expect_refused(with({{"mdt0", "eth0"}}), "linux.netDevices");
  EXPECT_TRUE(has_link("mdt0"));
  json::value config = with_devices(make_config("true"), {{"mdt0", json::object{}}});
  remove_namespace(config, "network");
  expect_refused(run(config), "linux.netDevices: without a network namespace");
  add_namespace(config, "network", "/proc/self/ns/net");
  expect_refused(run(config), "linux.netDevices: the container is in the host's network namespace");
  EXPECT_TRUE(has_link("mdt0"));
}

TEST_F(RuntimeNetDeviceTest, AJoinedNamespaceKeepsItsDevices) {
  json::value config = make_config("echo ready; sleep 1000");
  edit(config, "linux")["cgroupsPath"] = cgroup_parent() + "/one/first";
  start(config, "first");
  const std::string netns = concat("/proc/", pid("first"), "/ns/net");
  config = with_devices(make_config("cd /sys/class/net; echo *"), {{"mdt0", json::object{}}});
  edit(config, "linux")["cgroupsPath"] = cgroup_parent() + "/one/second";
  remove_namespace(config, "network");
  add_namespace(config, "network", netns);
  EXPECT_EQ(run(config).out, "lo mdt0\n");
  EXPECT_EQ(exec("cd /sys/class/net; echo *", {}, "first").out, "lo mdt0\n");
  config = with_devices(config, {{"mdt1", json::object{{"name", "mdt0"}}}});
  const CommandResult taken = run(config);
  EXPECT_EQ(taken.code, 1);
  EXPECT_NE(taken.err.find("the container has a network device \"mdt0\" already"), std::string::npos) << taken.err;
  config = with_devices(config, {{"mdt1", json::object{{"name", "mdt%d"}}}});
  EXPECT_EQ(run(config).out, "lo mdt0 mdt1\n");  // numbered from 0, which is taken
  delete_forced("first");
}

TEST_F(RuntimeNetDeviceTest, AUserNamespaceIsNoObstacle) {
  REQUIRE_USER_NAMESPACES();
  ASSERT_EQ(::chmod(root().c_str(), 0755), 0);
  give_addresses();
  json::value config = with_devices(make_config("busybox ip -o -4 addr show dev mdt0 | grep -c 'scope global'"),
                                    {{"mdt0", json::object{}}});
  const json::array map{json::object{{"containerID", 0}, {"hostID", 100000}, {"size", 65536}}};
  add_namespace(config, "user");
  edit(config, "linux")["uidMappings"] = map;
  edit(config, "linux")["gidMappings"] = map;
  const CommandResult result = run(config);
  EXPECT_EQ(result.out, "3\n") << result.err;
}

TEST_F(RuntimeNetDeviceTest, AnOrdinaryUserMovesNothing) {
  REQUIRE_USER_NAMESPACES();
  REQUIRE_PROGRAM("setpriv");
  ASSERT_EQ(::unlink((bundle() + "/config.json").c_str()), 0);
  make_dirs(root() + "/home");
  ASSERT_EQ(run_command({"chown", "-R", "1000:1000", bundle(), root() + "/home"}).code, 0);
  ASSERT_EQ(::chmod(root().c_str(), 0755), 0);
  const auto as_user = [&](const Words& words) {
    Words all = {"setpriv",        "--reuid=1000",    "--regid=1000",
                 "--clear-groups", "--inh-caps=-all", program("mydocker-runtime")};
    all.insert(all.end(), words.begin(), words.end());
    CommandOptions options;
    options.environment = {"XDG_RUNTIME_DIR=" + root() + "/home"};
    return run_command(all, options);
  };
  ASSERT_EQ(as_user({"spec", "--rootless", "--bundle", bundle()}).code, 0);
  json::value config = parse_json(read_file(bundle() + "/config.json"));
  edit(config, "process")["terminal"] = false;
  edit(config, "process")["args"] = json::array{"true"};
  add_namespace(config, "network");
  write_config(with_devices(config, {{"mdt0", json::object{}}}));
  const CommandResult result = as_user({"run", "--bundle", bundle(), "one"});
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("linux.netDevices: an ordinary user cannot move network devices"), std::string::npos)
      << result.err;
  EXPECT_TRUE(has_link("mdt0"));
}

}  // namespace
}  // namespace mydocker::test
