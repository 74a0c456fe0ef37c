// Every field of a create request: it takes effect, is refused by name, or is one that Docker on Linux ignores, too.

#include <fcntl.h>
#include <sys/stat.h>

#include <set>

#include "api/types/container.h"
#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

enum class Fate {
  effect,     ///< the command, run in a container with the field, prints `shown`
  refused,    ///< 400 with `shown` in its message
  no_effect,  ///< accepted; Docker on Linux does nothing with it either; stands in the README
  stored,     ///< told back: inspect has `shown` (JSON; "" = the value) at the path `command`
  elsewhere   ///< `shown` is the test of this program that fails without it
};

struct Row {
  std::string field;
  Fate fate;
  std::string value;    ///< JSON of the field itself
  std::string command;  ///< sh -c; or the path in inspect
  std::string shown;
};

const std::vector<Row>& rows() {
  using enum Fate;
  static const std::vector<Row> table = {
      {"Hostname", effect, R"("thishost")", "hostname", "thishost\n"},
      {"Domainname", elsewhere, "", "", "IsolationTest.HostnameAndDomainnameAreItsOwn"},
      {"User", effect, R"("12:34")", "id -u; id -g", "12\n34\n"},
      {"AttachStdin", stored, "true", "Config.AttachStdin", ""},
      {"AttachStdout", stored, "true", "Config.AttachStdout", ""},
      {"AttachStderr", stored, "true", "Config.AttachStderr", ""},
      {"ExposedPorts", stored, R"({"80/tcp":{}})", "Config.ExposedPorts", ""},
      {"Tty", effect, "true", "test -t 1 && echo yes", "yes\r\n"},
      {"OpenStdin", elsewhere, "", "", "AttachTest.StdinHalfCloseEndsTheInputAndKeepsTheOutput"},
      {"StdinOnce", elsewhere, "", "", "AttachTest.StdinHalfCloseEndsTheInputAndKeepsTheOutput"},
      {"Env", effect, R"(["A=b c"])", "echo $A", "b c\n"},
      {"Cmd", elsewhere, "", "", "ContainerTest.ARunPrintsAndEndsWithItsExitCode"},
      {"Healthcheck", stored, R"({"Test":["NONE"]})", "Config.Healthcheck.Test", R"(["NONE"])"},
      {"ArgsEscaped", no_effect, "true", "", ""},
      {"Image", elsewhere, "", "", "CreateFieldsTest.AMissingImageAloneIs404"},
      {"Volumes", effect, R"({"/anonymous":{}})", "grep -c ' /anonymous ' /proc/mounts", "1\n"},
      {"WorkingDir", effect, R"("/made/here")", "pwd", "/made/here\n"},
      {"Entrypoint", effect, R"(["echo","from"])", "", "from sh -c \n"},
      {"NetworkDisabled", effect, "true", "ls /sys/class/net", "lo\n"},
      {"MacAddress", effect, R"("02:42:aa:bb:cc:dd")", "cat /sys/class/net/eth0/address", "02:42:aa:bb:cc:dd\n"},
      {"OnBuild", stored, R"(["RUN true"])", "Config.OnBuild", ""},
      {"Labels", stored, R"({"a":"b"})", "Config.Labels.a", R"("b")"},
      {"StopSignal", elsewhere, "", "", "ContainerTest.TheStopSignalOfTheConfigIsUsed"},
      {"StopTimeout", elsewhere, "", "", "CreateFieldsTest.StopTimeoutIsTheGracePeriod"},
      {"Shell", stored, R"(["/bin/x"])", "Config.Shell", ""},

      {"HostConfig.CpuShares", elsewhere, "", "", "LimitsTest.CpuSharesAndCpusetAreWritten"},
      {"HostConfig.Memory", elsewhere, "", "", "LimitsTest.TheContainerReadsItsLimitsFromItsOwnCgroupView"},
      {"HostConfig.NanoCpus", elsewhere, "", "", "LimitsTest.TheContainerReadsItsLimitsFromItsOwnCgroupView"},
      {"HostConfig.CgroupParent", elsewhere, "", "", "CreateFieldsTest.CgroupParentIsWhereTheCgroupLies"},
      {"HostConfig.BlkioWeight", refused, "5000", "", "Range of blkio weight is from 10 to 1000"},
      {"HostConfig.BlkioWeightDevice", refused, R"([{"Path":"/dev/zero","Weight":5000}])", "",
       "Range of blkio weight is from 10 to 1000"},
      {"HostConfig.BlkioDeviceReadBps", elsewhere, "", "", "LimitsTest.BlockDeviceThrottlesReachTheKernelsFile"},
      {"HostConfig.BlkioDeviceWriteBps", elsewhere, "", "", "LimitsTest.BlockDeviceThrottlesReachTheKernelsFile"},
      {"HostConfig.BlkioDeviceReadIOps", elsewhere, "", "", "LimitsTest.BlockDeviceThrottlesReachTheKernelsFile"},
      {"HostConfig.BlkioDeviceWriteIOps", elsewhere, "", "", "LimitsTest.BlockDeviceThrottlesReachTheKernelsFile"},
      {"HostConfig.CpuPeriod", refused, "1", "", "CPU cfs period can not be less than 1ms"},
      {"HostConfig.CpuQuota", refused, "1", "", "CPU cfs quota can not be less than 1ms"},
      {"HostConfig.CpuRealtimePeriod", stored, "1000000", "HostConfig.CpuRealtimePeriod", ""},
      {"HostConfig.CpuRealtimeRuntime", stored, "0", "HostConfig.CpuRealtimeRuntime", ""},
      {"HostConfig.CpusetCpus", elsewhere, "", "", "LimitsTest.CpuSharesAndCpusetAreWritten"},
      {"HostConfig.CpusetMems", refused, R"("77")", "", "Requested memory nodes are not available"},
      {"HostConfig.Devices", elsewhere, "", "", "IsolationTest.ADeviceCanBeGiven"},
      {"HostConfig.DeviceCgroupRules", elsewhere, "", "", "CreateFieldsTest.ADeviceRuleOpensADevice"},
      {"HostConfig.DeviceRequests", refused, R"([{"Driver":"nvidia","Count":-1,"Capabilities":[["gpu"]]}])", "",
       "DeviceRequests: could not select device driver \"nvidia\" with capabilities: [[gpu]]"},
      {"HostConfig.KernelMemory", no_effect, "10000000", "", ""},
      {"HostConfig.KernelMemoryTCP", no_effect, "10000000", "", ""},
      {"HostConfig.MemoryReservation", elsewhere, "", "", "LimitsTest.ReservationAndSwapAreWritten"},
      {"HostConfig.MemorySwap", elsewhere, "", "", "LimitsTest.ReservationAndSwapAreWritten"},
      {"HostConfig.MemorySwappiness", refused, "101", "", "valid memory swappiness range is 0-100"},
      {"HostConfig.OomKillDisable", stored, "false", "HostConfig.OomKillDisable", ""},
      {"HostConfig.Init", elsewhere, "", "", "IsolationTest.InitReapsOrphansAndForwardsSignals"},
      {"HostConfig.PidsLimit", elsewhere, "", "", "LimitsTest.ThePidsLimitStopsForks"},
      {"HostConfig.Ulimits", elsewhere, "", "", "LimitsTest.UlimitsAreSetAndADefaultOneNeverFails"},
      {"HostConfig.CpuCount", no_effect, "1", "", "CpuCount"},
      {"HostConfig.CpuPercent", no_effect, "50", "", "CpuPercent"},
      {"HostConfig.IOMaximumIOps", refused, "1", "", "IOMaximumIOps"},
      {"HostConfig.IOMaximumBandwidth", refused, "1", "", "IOMaximumBandwidth"},
      {"HostConfig.Binds", elsewhere, "", "", "IsolationTest.BindsAreMountedAndReadOnlyMeansIt"},
      {"HostConfig.ContainerIDFile", stored, R"("/x/cid")", "HostConfig.ContainerIDFile", ""},
      {"HostConfig.LogConfig", elsewhere, "", "", "LogsTest.RotationBoundsTheFiles"},
      {"HostConfig.NetworkMode", elsewhere, "", "", "NetworkTest.NoneHasOnlyLoopback"},
      {"HostConfig.PortBindings", elsewhere, "", "", "NetworkTest.APublishedPortAnswersFromLoopback"},
      {"HostConfig.RestartPolicy", refused, R"({"Name":"zzz"})", "", "zzz"},
      {"HostConfig.AutoRemove", elsewhere, "", "", "ContainerTest.AutoRemoveTakesTheContainerAway"},
      {"HostConfig.VolumeDriver", elsewhere, "", "", "CreateFieldsTest.AVolumeDriverThatIsNotThereIsRefused"},
      {"HostConfig.VolumesFrom", elsewhere, "", "", "CreateFieldsTest.VolumesFromTakesOverMountsAndAccess"},
      {"HostConfig.ConsoleSize", stored, "[20,60]", "HostConfig.ConsoleSize", ""},
      {"HostConfig.Annotations", stored, R"({"k":"v"})", "HostConfig.Annotations.k", R"("v")"},
      {"HostConfig.CapAdd", elsewhere, "", "", "IsolationTest.CapabilitiesAreAddedAndDropped"},
      {"HostConfig.CapDrop", elsewhere, "", "", "IsolationTest.CapabilitiesAreAddedAndDropped"},
      {"HostConfig.CgroupnsMode", refused, R"("foo")", "", "invalid cgroup namespace mode: foo"},
      {"HostConfig.Dns", effect, R"(["10.9.8.7"])", "grep -c '^nameserver 10.9.8.7' /etc/resolv.conf", "1\n"},
      {"HostConfig.DnsOptions", effect, R"(["ndots:7"])", "grep -c 'ndots:7' /etc/resolv.conf", "1\n"},
      {"HostConfig.DnsSearch", effect, R"(["sub.test"])", "grep -c 'search sub.test' /etc/resolv.conf", "1\n"},
      {"HostConfig.ExtraHosts", effect, R"(["other:10.1.1.1","gate:host-gateway"])",
       "grep -c '10.1.1.1.other' /etc/hosts; grep -c '172.17.0.1.gate' /etc/hosts", "1\n1\n"},
      {"HostConfig.GroupAdd", elsewhere, "", "", "IsolationTest.GroupAddGivesSupplementaryGroups"},
      {"HostConfig.IpcMode", elsewhere, "", "", "CreateFieldsTest.AShareableIpcNamespaceIsJoinedAndAPrivateOneIsNot"},
      {"HostConfig.Cgroup", refused, R"("x")", "", "invalid Cgroup: x"},
      {"HostConfig.Links", elsewhere, "", "", "CreateFieldsTest.ALinkGivesANameAndVariables"},
      {"HostConfig.OomScoreAdj", effect, "500", "cat /proc/self/oom_score_adj", "500\n"},
      {"HostConfig.PidMode", elsewhere, "", "", "CreateFieldsTest.ThePidNamespaceOfAContainerIsJoined"},
      {"HostConfig.Privileged", elsewhere, "", "", "IsolationTest.PrivilegedHasAllThatTheEngineHas"},
      {"HostConfig.PublishAllPorts", elsewhere, "", "", "CreateFieldsTest.AllExposedPortsArePublishedWhenAsked"},
      {"HostConfig.ReadonlyRootfs", elsewhere, "", "", "IsolationTest.AReadOnlyRootStillHasItsTmpfs"},
      {"HostConfig.SecurityOpt", elsewhere, "", "", "IsolationTest.NoNewPrivilegesIsSet"},
      {"HostConfig.StorageOpt", refused, R"({"size":"10G"})", "",
       "--storage-opt is supported only for overlay over xfs"},
      {"HostConfig.Tmpfs", effect, R"({"/t":"size=64k,mode=1700"})",
       "df -k /t | tail -1 | awk '{print $2}'; stat -c %a /t", "64\n1700\n"},
      {"HostConfig.UTSMode", elsewhere, "", "", "IsolationTest.PidAndUtsCanBeTheHosts"},
      {"HostConfig.UsernsMode", stored, R"("host")", "HostConfig.UsernsMode", ""},
      {"HostConfig.ShmSize", effect, "1048576", "df -k /dev/shm | tail -1 | awk '{print $2}'", "1024\n"},
      {"HostConfig.Sysctls", elsewhere, "", "", "IsolationTest.SysctlsOfItsNamespacesAreSet"},
      {"HostConfig.Runtime", refused, R"("nope")", "", "unknown or invalid runtime name: nope"},
      {"HostConfig.Isolation", refused, R"("hyperv")", "", "hyperv"},
      {"HostConfig.Mounts", elsewhere, "", "", "CreateFieldsTest.MountsOfEveryTypeAndTheirOptions"},
      {"HostConfig.HealthOnFailure", refused, R"("zz")", "", "zz"},
      {"HostConfig.MaskedPaths", effect, R"(["/etc/passwd"])", "wc -c < /etc/passwd", "0\n"},
      {"HostConfig.ReadonlyPaths", effect, R"(["/tmp"])", "touch /tmp/x 2>/dev/null || echo refused", "refused\n"},

      {"Endpoint.IPAMConfig", refused, R"({"IPv4Address":"172.17.0.77"})", "", "user defined networks only"},
      {"Endpoint.Links", refused, R"(["a:b"])", "", "Links of an endpoint are not supported"},
      {"Endpoint.Aliases", refused, R"(["other"])", "", "only supported for user-defined networks"},
      {"Endpoint.MacAddress", effect, R"("02:42:11:22:33:44")", "cat /sys/class/net/eth0/address",
       "02:42:11:22:33:44\n"},
      {"Endpoint.DriverOpts", refused, R"({"a":"b"})", "", "DriverOpts of an endpoint: \"a\" is not supported"},
      {"Endpoint.GwPriority", no_effect, "5", "", ""},
  };
  return table;
}

/// Of an endpoint only these are read from a request (WIRE 12.4); the others are answers.
const std::set<std::string> endpoint_answers = {"NetworkID", "EndpointID",        "Gateway",
                                                "IPAddress", "IPPrefixLen",       "IPv6Gateway",
                                                "DNSNames",  "GlobalIPv6Address", "GlobalIPv6PrefixLen"};

template <typename T>
void add_names(std::set<std::string>& names, const std::string& prefix) {
  std::apply([&](const auto&... field) { (names.insert(prefix + std::string(field.name)), ...); }, T::json_fields());
}

class CreateFieldsTest : public DaemonTest {
 protected:
  /// A create body with one field more.
  json::object body_of(const Row& row) {
    json::object host{{"NetworkMode", "bridge"}};
    json::object body{{"Image", "payload"}, {"Cmd", json::array{"sh", "-c", row.command}}};
    const json::value value = parse_json(row.value);
    if (row.field.starts_with("HostConfig.")) {
      host[row.field.substr(11)] = value;
    } else if (row.field.starts_with("Endpoint.")) {
      body["NetworkingConfig"] =
          json::object{{"EndpointsConfig", json::object{{"bridge", json::object{{row.field.substr(9), value}}}}}};
    } else {
      body[row.field] = value;
    }
    body["HostConfig"] = host;
    return body;
  }
  std::string refusal(const json::object& body) {
    const Response response = client().post("/containers/create", body);
    EXPECT_EQ(response.status, 400) << response.body;
    return response.message();
  }
};

TEST_F(CreateFieldsTest, EveryFieldIsInTheTable) {
  std::set<std::string> known;
  for (const Row& row : rows()) EXPECT_TRUE(known.insert(row.field).second) << row.field << " stands there twice";
  std::set<std::string> names;
  add_names<api::ContainerConfig>(names, "");
  add_names<api::HostConfig>(names, "HostConfig.");
  add_names<api::EndpointSettings>(names, "Endpoint.");
  for (const std::string& answer : endpoint_answers) names.erase("Endpoint." + answer);
  EXPECT_EQ(known, names);
}

TEST_F(CreateFieldsTest, EachFieldTakesEffectIsRefusedOrIsTold) {
  for (const Row& row : rows()) {
    SCOPED_TRACE(row.field);
    if (row.fate == Fate::elsewhere) {
      const std::size_t dot = row.shown.find('.');
      bool found = false;
      const ::testing::UnitTest& all = *::testing::UnitTest::GetInstance();
      for (int i = 0; i < all.total_test_suite_count(); ++i) {
        const ::testing::TestSuite& suite = *all.GetTestSuite(i);
        if (suite.name() != row.shown.substr(0, dot)) continue;
        for (int j = 0; j < suite.total_test_count(); ++j) {
          found = found || suite.GetTestInfo(j)->name() == row.shown.substr(dot + 1);
        }
      }
      EXPECT_TRUE(found) << row.shown;
      continue;
    }
    const json::object body = body_of(row);
    const Response created = client().post("/containers/create", body);
    if (row.fate == Fate::refused) {
      EXPECT_EQ(created.status, 400);
      EXPECT_NE(created.message().find(row.shown), std::string::npos) << created.message();
      continue;
    }
    ASSERT_EQ(created.status, 201) << created.body;
    const std::string id = text(at(created.json(), "Id"));
    if (row.fate == Fate::no_effect) {
      EXPECT_NE(write_json(at(created.json(), "Warnings")).find(row.shown), std::string::npos) << created.body;
    } else if (row.fate == Fate::stored) {
      const std::string expected = row.shown.empty() ? row.value : row.shown;
      EXPECT_EQ(write_json(at(inspect(id), row.command)), write_json(parse_json(expected)));
    } else {
      start(id);
      wait(id);
      EXPECT_EQ(row.field == "Tty" ? client().get("/containers/" + id + "/logs?stdout=1").body : logs(id).out,
                row.shown);
    }
    EXPECT_EQ(client().remove("/containers/" + id + "?v=1&force=1").status, 204);
  }
}

TEST_F(CreateFieldsTest, AMissingImageAloneIs404) {
  EXPECT_EQ(client().post("/containers/create", json::object{{"Image", "nothere"}, {"Cmd", json::array{"x"}}}).status,
            404);
  json::object body{{"Image", "payload"}, {"HostConfig", json::object{{"VolumesFrom", json::array{"nobody"}}}}};
  EXPECT_EQ(refusal(body), "No such container: nobody");
  body["HostConfig"] = json::object{{"NetworkMode", "container:nobody"}};
  EXPECT_EQ(refusal(body), "No such container: nobody");
}

TEST_F(CreateFieldsTest, StopTimeoutIsTheGracePeriod) {
  const std::string id = run({.command = {"/payload", "ignore-term"}, .extra = {{"StopTimeout", 0}}});
  wait_ready(id);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(client().post("/containers/" + id + "/stop").status, 204);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(8));
}

TEST_F(CreateFieldsTest, CgroupParentIsWhereTheCgroupLies) {
  const std::string top = "/mydocker-fields-" + random_hex(4);
  const std::string parent = top + "/a/b";
  const auto find = [](const std::string& path) {
    return run_command({"sh", "-c", concat("ls -d /sys/fs/cgroup/*", path, " /sys/fs/cgroup", path, " 2>/dev/null")})
        .out;
  };
  const std::string id = run({.host = {{"CgroupParent", parent}}});
  const std::string other = run({.host = {{"CgroupParent", top}}});
  const std::string seen = read_file("/proc/" + std::to_string(pid_of(id)) + "/cgroup");
  EXPECT_NE(seen.find(parent + "/" + id), std::string::npos) << seen;
  remove(id);
  // Its own group goes a moment after the answer, with it what was made for it above; what is in use stays.
  EXPECT_TRUE(eventually([&] { return find(top + "/a").empty(); })) << find(top + "/a");
  EXPECT_NE(find(top), "");
  remove(other);
  EXPECT_TRUE(eventually([&] { return find(top).empty(); })) << find(top);
}

TEST_F(CreateFieldsTest, ADeviceRuleOpensADevice) {
  // A number that no driver has: what the device filter lets through fails for another reason than what it refuses.
  const std::vector<std::string> open = {"sh", "-c", "mknod /none c 252 77; (: < /none) 2>&1"};
  EXPECT_NE(run_to_end({.command = open}).out.find("Operation not permitted"), std::string::npos);
  const Outcome allowed = run_to_end({.command = open, .host = {{"DeviceCgroupRules", json::array{"c 252:77 rwm"}}}});
  EXPECT_NE(allowed.out.find("No such device or address"), std::string::npos) << allowed.out;
  EXPECT_EQ(refusal({{"Image", "payload"}, {"HostConfig", json::object{{"DeviceCgroupRules", json::array{"x 1"}}}}}),
            "invalid device cgroup rule format: 'x 1'");
}

TEST_F(CreateFieldsTest, AVolumeDriverThatIsNotThereIsRefused) {
  const std::string message = refusal({{"Image", "payload"},
                                       {"Volumes", json::object{{"/v", json::object{}}}},
                                       {"HostConfig", json::object{{"VolumeDriver", "nope"}}}});
  EXPECT_NE(message.find("error looking up volume plugin nope"), std::string::npos) << message;
}

TEST_F(CreateFieldsTest, VolumesFromTakesOverMountsAndAccess) {
  const std::string bind = scratch("given");
  ASSERT_EQ(::mkdir(bind.c_str(), 0755), 0);
  const std::string donor = create({.name = "donor",
                                    .extra = {{"Volumes", json::object{{"/anonymous", json::object{}}}}},
                                    .host = {{"Binds", json::array{"fromvol:/vol", bind + ":/bind"}}}});
  const std::string id = create({.command = {"sh", "-c",
                                             "echo x > /anonymous/a; echo x > /vol/b; touch /bind/c 2>/dev/null "
                                             "|| echo refused"},
                                 .host = {{"VolumesFrom", json::array{"donor:ro"}}}});
  start(id);
  wait(id);
  EXPECT_EQ(logs(id).out, "refused\n");
  const std::string writer =
      create({.command = {"sh", "-c", "echo x > /anonymous/a; echo x > /bind/c; cat /vol/kept"},
              .host = {{"VolumesFrom", json::array{"donor"}}, {"Binds", json::array{"othervol:/vol"}}}});
  EXPECT_EQ(text(at(inspect(writer), "Mounts.2.Name")), "othervol") << "what a request names itself comes first";
  start(writer);
  wait(writer);
  EXPECT_TRUE(path_exists(bind + "/c"));
  remove(donor);
  start(id);  // the mounts outlive the donor
  wait(id);
  EXPECT_EQ(refusal({{"Image", "payload"}, {"HostConfig", json::object{{"VolumesFrom", json::array{writer + ":zz"}}}}}),
            "invalid mode: zz");
  for (const std::string& one : {id, writer}) EXPECT_EQ(client().remove("/containers/" + one + "?v=1").status, 204);
  for (const char* volume : {"fromvol", "othervol"}) client().remove(std::string("/volumes/") + volume);
}

TEST_F(CreateFieldsTest, AShareableIpcNamespaceIsJoinedAndAPrivateOneIsNot) {
  const std::string donor =
      run({.command = {"sh", "-c", "echo shared > /dev/shm/word; echo ready; exec /payload pause"},
           .host = {{"IpcMode", "shareable"}}});
  wait_ready(donor);
  const std::string guest = run({.command = {"sh", "-c",
                                             "cat /dev/shm/word; echo back > /dev/shm/answer; readlink "
                                             "/proc/self/ns/ipc; echo ready; exec /payload pause"},
                                 .host = {{"IpcMode", "container:" + donor}}});
  wait_ready(guest);
  const std::string seen = logs(guest).out;
  EXPECT_EQ(seen.substr(0, 7), "shared\n");
  EXPECT_EQ(exec(donor, {"cat", "/dev/shm/answer"}).out, "back\n");
  EXPECT_NE(seen.find(exec(donor, {"readlink", "/proc/self/ns/ipc"}).out), std::string::npos);
  const std::string closed = run();
  const std::string refused = create({.host = {{"IpcMode", "container:" + closed}}});
  const Response response = client().post("/containers/" + refused + "/start");
  EXPECT_EQ(response.status, 409);
  EXPECT_NE(response.message().find("non-shareable IPC"), std::string::npos) << response.message();
}

TEST_F(CreateFieldsTest, ThePidNamespaceOfAContainerIsJoined) {
  const std::string donor = run();
  const std::string guest = run({.host = {{"PidMode", "container:" + donor}}});
  EXPECT_EQ(exec(guest, {"readlink", "/proc/self/ns/pid"}).out, exec(donor, {"readlink", "/proc/self/ns/pid"}).out);
}

TEST_F(CreateFieldsTest, ALinksHostsEntryFollowsItsTargetsAddress) {
  const json::object bridge{{"NetworkMode", "bridge"}};
  const std::string target = run({.name = "server", .host = bridge});
  const std::string linked =
      run({.name = "linked", .host = {{"NetworkMode", "bridge"}, {"Links", json::array{"server:db"}}}});
  const auto address = [&] { return text(at(inspect(target), "NetworkSettings.IPAddress")); };
  const auto hosts = [&] { return exec(linked, {"cat", "/etc/hosts"}).out; };
  const std::string before = address();
  EXPECT_NE(hosts().find(before + "\tdb "), std::string::npos) << hosts();
  EXPECT_EQ(exec(linked, {"sh", "-c", "echo 192.0.2.1 mine >> /etc/hosts"}).code, 0);
  EXPECT_EQ(client().post("/containers/server/stop?t=0").status, 204);
  run({.name = "other", .host = bridge});  // takes the address that is free now, if addresses are taken again
  start(target);
  const std::string after = address();
  ASSERT_NE(after, before);
  const std::string seen = hosts();
  EXPECT_NE(seen.find(after + "\tdb "), std::string::npos) << seen;
  EXPECT_EQ(seen.find(before + "\tdb "), std::string::npos) << seen;
  EXPECT_NE(seen.find("192.0.2.1 mine\n"), std::string::npos) << "its own lines stay: " << seen;
  EXPECT_NE(seen.find(text(at(inspect(linked), "NetworkSettings.IPAddress"))), std::string::npos) << seen;
}

TEST_F(CreateFieldsTest, ALinksNameMayBeOneCharacter) {
  const std::string target = run({.name = "server", .host = {{"NetworkMode", "bridge"}}});
  const std::string address = text(at(inspect(target), "NetworkSettings.IPAddress"));
  const json::object host{{"NetworkMode", "bridge"}, {"Links", json::array{"server:x"}}};
  const std::string linked = run({.name = "linked", .host = host});
  EXPECT_NE(exec(linked, {"cat", "/etc/hosts"}).out.find(address + "\tx "), std::string::npos);
  const Response hostile = client().post(
      "/containers/create",
      parse_json(R"({"Image":"payload","HostConfig":{"NetworkMode":"bridge","Links":["server:x\ty"]}})").as_object());
  EXPECT_EQ(hostile.status, 400) << hostile.body;
  const Response whole = client().remove("/containers/server?link=1");
  EXPECT_NE(whole.message().find("default link name of the container: /server"), std::string::npos) << whole.body;
  EXPECT_EQ(client().remove("/containers/nosuch?link=1").status, 404);
}

TEST_F(CreateFieldsTest, ALinkGivesANameAndVariables) {
  const std::string target =
      run({.name = "dbserver",
           .extra = {{"Env", json::array{"SECRET=x"}}, {"ExposedPorts", json::object{{"5432/tcp", json::object{}}}}},
           .host = {{"NetworkMode", "bridge"}}});
  const std::string address = text(at(inspect(target), "NetworkSettings.IPAddress"));
  const std::string id = create({.command = {"sh", "-c", "grep -w db /etc/hosts; env | grep ^DB_ | sort"},
                                 .name = "web",
                                 .host = {{"NetworkMode", "bridge"}, {"Links", json::array{"dbserver:db"}}}});
  EXPECT_EQ(text(at(inspect(id), "HostConfig.Links.0")), "/dbserver:/web/db");
  const json::value listed =
      client().get("/containers/json?filters=" + url_encode(R"({"id":[")" + target + R"("]})")).json();
  EXPECT_EQ(write_json(at(listed, "0.Names")), R"(["/dbserver","/web/db"])");
  start(id);
  wait(id);
  const std::string seen = logs(id).out;
  EXPECT_NE(seen.find(address + "\tdb"), std::string::npos) << seen;
  for (const std::string& line : {"DB_NAME=/web/db", "DB_ENV_SECRET=x"})
    EXPECT_NE(seen.find(line), std::string::npos) << seen;
  EXPECT_NE(seen.find("DB_PORT_5432_TCP_ADDR=" + address), std::string::npos) << seen;
  EXPECT_NE(seen.find("DB_PORT=tcp://" + address + ":5432"), std::string::npos) << seen;
  EXPECT_EQ(client().remove("/containers/web/db?link=1").status, 204);
  EXPECT_EQ(client().remove("/containers/web/db?link=1").status, 404);
  EXPECT_EQ(client().get("/containers/dbserver/json").status, 200) << "the linked container stays";
  const std::string stopped = create({.name = "off"});
  const std::string linked = create({.host = {{"NetworkMode", "bridge"}, {"Links", json::array{"off"}}}});
  EXPECT_NE(client().post("/containers/" + linked + "/start").message().find("Cannot link to a non running container"),
            std::string::npos);
}

TEST_F(CreateFieldsTest, AllExposedPortsArePublishedWhenAsked) {
  const std::string id = run({.extra = {{"ExposedPorts", json::object{{"81/tcp", json::object{}}}}},
                              .host = {{"NetworkMode", "bridge"}, {"PublishAllPorts", true}}});
  const json::value ports = at(inspect(id), "NetworkSettings.Ports");
  EXPECT_NE(write_json(ports).find("HostPort"), std::string::npos) << write_json(ports);
}

TEST_F(CreateFieldsTest, MountsOfEveryTypeAndTheirOptions) {
  const std::string bind = scratch("bind");
  ASSERT_EQ(::mkdir(bind.c_str(), 0755), 0);
  const json::value mounts =
      parse_json(R"([
    {"Type":"bind","Source":")" +
                 bind + R"(/new","Target":"/b","BindOptions":{"CreateMountpoint":true,"Propagation":"rslave"}},
    {"Type":"volume","Source":"mv","Target":"/v","VolumeOptions":{"Labels":{"l":"1"}}},
    {"Type":"volume","Source":"mt","Target":"/vt","VolumeOptions":{"DriverConfig":{"Name":"local","Options":{"type":"tmpfs","device":"tmpfs","o":"size=64k"}}}},
    {"Type":"tmpfs","Target":"/t","TmpfsOptions":{"SizeBytes":65536,"Mode":448,"Options":[["exec"]]}},
    {"Type":"image","Source":"payload","Target":"/i"}])");
  const std::string id =
      run({.command = {"sh", "-c",
                       "echo x > /b/f; echo x > /v/f; mkdir /v/sub; echo s > /v/sub/f; df -k /vt | tail -1 | awk "
                       "'{print $2}'; df -k /t | tail -1 | awk '{print $2}'; stat -c %a /t; grep -c ' /t "
                       ".*noexec' /proc/mounts; test -x /i/payload && echo image; touch /i/x 2>/dev/null || echo "
                       "readonly"},
           .host = {{"Mounts", mounts}}});
  EXPECT_EQ(wait(id), 0);
  EXPECT_EQ(logs(id).out, "64\n64\n700\n0\nimage\nreadonly\n");
  EXPECT_EQ(text(at(inspect(id), "Mounts.0.Propagation")), "rslave");
  EXPECT_TRUE(path_exists(bind + "/new/f"));
  EXPECT_EQ(text(at(client().get("/volumes/mv").json(), "Labels.l")), "1");
  const Outcome sub = run_to_end(
      {.command = {"sh", "-c", "cat /s/f; ls /s"},
       .host = {{"Mounts",
                 parse_json(R"([{"Type":"volume","Source":"mv","Target":"/s","VolumeOptions":{"Subpath":"sub"}}])")}}});
  EXPECT_EQ(sub.out, "s\nf\n") << sub.err;
  remove(id);
  for (const char* volume : {"mv", "mt"}) EXPECT_EQ(client().remove(std::string("/volumes/") + volume).status, 204);
}

// SECURITY C3: a sub-path through links of the volume stays in the volume.
TEST_F(CreateFieldsTest, ASubpathThroughAHostileLinkStaysInTheVolume) {
  const std::string outside = scratch("secrets");
  ASSERT_EQ(::mkdir(outside.c_str(), 0755), 0);
  write_all(open_file(outside + "/f", O_WRONLY | O_CREAT, 0644).get(), "HOST SECRET");
  EXPECT_EQ(run_to_end(
                {.command = {"sh", "-c", "ln -s " + outside + " /v/abs; ln -s ../../../../../.." + outside + " /v/rel"},
                 .host = {{"Binds", json::array{"hostile:/v"}}}})
                .code,
            0);
  for (const std::string subpath : {"abs", "rel"}) {
    const std::string id = create(
        {.command = {"cat", "/s/f"},
         .host = {{"Mounts",
                   parse_json(R"([{"Type":"volume","Source":"hostile","Target":"/s","VolumeOptions":{"Subpath":")" +
                              subpath + R"("}}])")}}});
    const Response started = client().post("/containers/" + id + "/start");
    EXPECT_EQ(started.status, 400) << started.body;
    EXPECT_NE(started.message().find("cannot access path"), std::string::npos) << started.message();
    remove(id);
  }
  EXPECT_EQ(client().remove("/volumes/hostile").status, 204);
}

TEST_F(CreateFieldsTest, ASubpathOfAnImageIsWhatAllItsLayersShowThere) {
  const std::string outside = scratch("secrets");
  ASSERT_EQ(::mkdir(outside.c_str(), 0755), 0);
  write_all(open_file(outside + "/f", O_WRONLY | O_CREAT, 0644).get(), "HOST SECRET");
  const std::string low = TarBuilder().directory("d").file("d/low", "low").file("d/both", "low").finish();
  const std::string high = TarBuilder()
                               .file("d/high", "high")
                               .file("d/both", "high")
                               .symlink("inner", "/d")
                               .symlink("outer", outside)
                               .finish();
  load({.name = "one", .layers = {low}});
  load({.name = "two", .layers = {low, high}});
  const auto mounted = [](const std::string& image, const std::string& subpath) {
    return json::object{{"NetworkMode", "none"},
                        {"Mounts", json::array{json::object{{"Type", "image"},
                                                            {"Source", image},
                                                            {"Target", "/s"},
                                                            {"ImageOptions", json::object{{"Subpath", subpath}}}}}}};
  };
  const std::vector<std::string> show = {"sh", "-c",
                                         "ls /s; cat /s/both; echo; touch /s/x 2>/dev/null || echo readonly"};
  EXPECT_EQ(run_to_end({.command = show, .host = mounted("one", "d")}).out, "both\nlow\nlow\nreadonly\n");
  EXPECT_EQ(run_to_end({.command = show, .host = mounted("two", "d/")}).out, "both\nhigh\nlow\nhigh\nreadonly\n");
  EXPECT_EQ(run_to_end({.command = show, .host = mounted("two", "inner")}).out, "both\nhigh\nlow\nhigh\nreadonly\n");
  EXPECT_EQ(run_to_end({.command = {"cat", "/s"}, .host = mounted("two", "d/high")}).out, "high");
  const CommandResult cli = docker({"run", "--rm", "--network=none", "--mount",
                                    "type=image,src=two,dst=/s,image-subpath=d", "payload", "cat", "/s/both"});
  const bool knows_key = cli.err.find("unexpected key 'image-subpath'") == std::string::npos;  // a client of 2025
  if (knows_key) EXPECT_EQ(cli.out, "high") << cli.err;
  for (const char* image : {"one", "two"}) {
    for (const char* subpath : {"nothing", "outer", "outer/f"}) {
      const std::string id = create({.command = {"cat", "/s/f"}, .host = mounted(image, subpath)});
      const Response started = client().post("/containers/" + id + "/start");
      EXPECT_EQ(started.status, 400) << started.body;
      EXPECT_NE(started.message().find("cannot access path"), std::string::npos) << started.message();
      remove(id);
    }
    EXPECT_NE(
        refusal({{"Image", "payload"}, {"HostConfig", mounted(image, "../d")}}).find("relative path within the im"),
        std::string::npos);
  }
  for (const char* image : {"one", "two"}) EXPECT_EQ(client().remove(std::string("/images/") + image).status, 200);
}

TEST_F(CreateFieldsTest, DriverOptsOfAnEndpointNameItsInterfaceAndSetItsSysctls) {
  const auto connected = [](json::object options) {
    return json::object{
        {"NetworkingConfig",
         json::object{{"EndpointsConfig", json::object{{"bridge", json::object{{"DriverOpts", options}}}}}}}};
  };
  const std::string ifname = "com.docker.network.endpoint.ifname";
  const std::string sysctls = "com.docker.network.endpoint.sysctls";
  const std::string made = create({.extra = connected({{ifname, "web0"}}), .host = {{"NetworkMode", "bridge"}}});
  const json::value networks = at(inspect(made), "NetworkSettings.Networks");
  EXPECT_EQ(write_json(at(networks, "bridge.DriverOpts")), concat(R"({")", ifname, R"(":"web0"})"));
  const Outcome outcome =
      run_to_end({.command = {"sh", "-c",
                              "/payload links; cd /proc/sys/net/ipv4; cat conf/web0/log_martians conf/web0/arp_ignore "
                              "neigh/web0/gc_stale_time; ip route"},
                  .extra = connected({{ifname, "web0"},
                                      {sysctls,
                                       "net.ipv4.conf.IFNAME.log_martians=1,net.ipv4.conf.IFNAME.arp_ignore=2,"
                                       "net.ipv4.neigh.IFNAME.gc_stale_time=77"}}),
                  .host = {{"NetworkMode", "bridge"}}});
  EXPECT_NE(outcome.out.find("web0 172.17."), std::string::npos) << outcome.out << outcome.err;
  EXPECT_NE(outcome.out.find("\n1\n2\n77\n"), std::string::npos) << outcome.out;
  EXPECT_NE(outcome.out.find("dev web0"), std::string::npos) << outcome.out;
  const auto refused = [&](const std::string& key, const std::string& value, const std::string& told) {
    json::object body = connected({{key, value}});
    body["Image"] = "payload";
    body["HostConfig"] = json::object{{"NetworkMode", "bridge"}};
    const std::string message = refusal(body);
    EXPECT_NE(message.find(told), std::string::npos) << key << "=" << value << ": " << message;
  };
  for (const char* name : {"", "lo", "..", "a/b", "sixteen-letters-", "a b"}) refused(ifname, name, "interface name");
  for (const char* sysctl : {"net.ipv4.ip_forward=1", "net.ipv4.conf.eth0.log_martians=1", "net.ipv4.conf.IFNAME.x",
                             "net.ipv4.conf.IFNAME.../../../kernel/x=1", "kernel.x.y.IFNAME.z=1", ""}) {
    refused(sysctls, sysctl, "invalid endpoint sysctl");
  }
  const std::string id = create(
      {.extra = connected({{sysctls, "net.ipv4.conf.IFNAME.nothing_such=1"}}), .host = {{"NetworkMode", "bridge"}}});
  const Response started = client().post("/containers/" + id + "/start");
  EXPECT_EQ(started.status, 400) << started.body;
  EXPECT_NE(started.message().find("nothing_such"), std::string::npos) << started.message();
}

TEST_F(CreateFieldsTest, MountsThatCannotBeAreRefusedByName) {
  const std::vector<std::pair<std::string, std::string>> bad = {
      {R"({"Type":"bind","Source":"/nowhere/at/all","Target":"/b"})",
       "bind source path does not exist: /nowhere/at/all"},
      {R"({"Type":"bind","Source":"rel","Target":"/b"})", "mount path must be absolute"},
      {R"({"Type":"volume","Target":""})", "field Target must not be empty"},
      {R"({"Type":"npipe","Source":"x","Target":"/b"})", "mount type unknown"},
      {R"({"Type":"tmpfs","Target":"/b","BindOptions":{}})",
       "BindOptions must not be specified on mount type \"tmpfs\""},
      {R"({"Type":"volume","Source":"v2","Target":"/b","VolumeOptions":{"Subpath":"../x"}})",
       "subpath must be a relative path"},
      {R"({"Type":"volume","Source":"v2","Target":"/b","VolumeOptions":{"DriverConfig":{"Options":{"o":"x"}}}})",
       "missing required option"},
      {R"({"Type":"image","Source":"nothere","Target":"/b"})", "No such image: nothere"},
      {R"({"Type":"bind","Source":"/tmp","Target":"/b","BindOptions":{"ReadOnlyForceRecursive":true}})", "read-only"},
      {R"({"Type":"bind","Source":"/tmp","Target":"/b","BindOptions":{"Propagation":"zz"}})",
       "invalid propagation mode: zz"}};
  for (const auto& [mount, expected] : bad) {
    const std::string message =
        refusal({{"Image", "payload"}, {"HostConfig", json::object{{"Mounts", json::array{parse_json(mount)}}}}});
    EXPECT_NE(message.find(expected), std::string::npos) << mount << ": " << message;
  }
  for (const std::string key : {"kernel.hostname", "vm.swappiness", "net.ipv4/../../vm.swappiness"}) {
    EXPECT_NE(refusal({{"Image", "payload"}, {"HostConfig", json::object{{"Sysctls", json::object{{key, "1"}}}}}})
                  .find("is not whitelisted"),
              std::string::npos)
        << key;
  }
}

}  // namespace
}  // namespace mydocker::test
