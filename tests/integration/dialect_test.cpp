// What an older client sees: every switch of the API's versions through the socket, below and from its version.

#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class DialectTest : public DaemonTest {
 protected:
  json::value get(int minor, const std::string& path) {
    const Response response = client().get(concat("/v1.", minor, path));
    EXPECT_EQ(response.status, 200) << response.body;
    return response.json();
  }
  Response create_with(int minor, json::object host, json::object extra = {}) {
    json::object body{{"Image", "payload"}, {"Cmd", json::array{"/payload", "pause"}}};
    host.emplace("NetworkMode", "none");
    for (const auto& entry : extra) body[entry.key()] = entry.value();
    body["HostConfig"] = std::move(host);
    return client().post(concat("/v1.", minor, "/containers/create"), body);
  }
  /// Creates, inspects by the newest dialect, removes.
  json::value made_by(int minor, json::object host, json::object extra = {}) {
    const Response response = create_with(minor, std::move(host), std::move(extra));
    EXPECT_EQ(response.status, 201) << response.body;
    const std::string id = text(at(response.json(), "Id"));
    json::value inspected = inspect(id);
    remove(id);
    return inspected;
  }
};

TEST_F(DialectTest, WaitKnowsConditionsFrom130) {
  const std::string id = create();
  // Below 1.30 the condition is not even looked at, and a created container answers at once.
  const std::string path = "/containers/" + id + "/wait?condition=nonsense";
  EXPECT_EQ(client().post("/v1.29" + path).status, 200);
  EXPECT_EQ(client().post("/v1.30" + path).status, 400);
  remove(id);
}

TEST_F(DialectTest, DefaultNamespacesChangedTwice) {
  EXPECT_EQ(text(at(made_by(39, {}), "HostConfig.IpcMode")), "shareable");
  EXPECT_EQ(text(at(made_by(40, {}), "HostConfig.IpcMode")), "private");
  const bool v1 = text(at(client().get("/info").json(), "CgroupVersion")) == "1";
  EXPECT_EQ(text(at(made_by(40, {}), "HostConfig.CgroupnsMode")), v1 ? "host" : "private");
  EXPECT_EQ(text(at(made_by(41, {}), "HostConfig.CgroupnsMode")), "private");
}

TEST_F(DialectTest, FieldsOfTheHostAreDroppedBelowTheirVersion) {
  const json::object host{{"ConsoleSize", json::array{24, 80}}, {"Annotations", json::object{{"a", "b"}}}};
  EXPECT_EQ(write_json(at(made_by(41, host), "HostConfig.ConsoleSize")), "[0,0]");
  EXPECT_EQ(write_json(at(made_by(42, host), "HostConfig.ConsoleSize")), "[24,80]");
  EXPECT_TRUE(at(made_by(42, host), "HostConfig.Annotations").is_null());
  EXPECT_EQ(text(at(made_by(43, host), "HostConfig.Annotations.a")), "b");
  const json::object check{{"Test", json::array{"CMD", "/payload", "true"}}, {"StartInterval", 5'000'000'000}};
  const json::object health{{"Healthcheck", check}};
  EXPECT_TRUE(at(made_by(43, {}, health), "Config.Healthcheck.StartInterval").is_null());
  EXPECT_EQ(at(made_by(44, {}, health), "Config.Healthcheck.StartInterval").to_number<std::int64_t>(), 5'000'000'000);
}

TEST_F(DialectTest, MountsAreJudgedByTheirVersion) {
  const auto mount = [](json::object fields) { return json::object{{"Mounts", json::array{std::move(fields)}}}; };
  const json::object foreign =
      mount({{"Type", "tmpfs"}, {"Target", "/t"}, {"VolumeOptions", json::object{{"NoCopy", true}}}});
  EXPECT_EQ(create_with(42, foreign).status, 400);
  made_by(41, foreign);
  const json::object missing = mount({{"Type", "bind"},
                                      {"Source", scratch("missing")},
                                      {"Target", "/t"},
                                      {"BindOptions", json::object{{"CreateMountpoint", true}}}});
  EXPECT_EQ(create_with(41, missing).status, 400);
  made_by(42, missing);
  const json::object image = mount({{"Type", "image"}, {"Source", "payload"}, {"Target", "/t"}});
  const Response refused = create_with(47, image);
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.message(), "Mount type \"Image\" needs API v1.48 or newer");
  const json::object subpath =
      mount({{"Type", "volume"}, {"Source", "v"}, {"Target", "/t"}, {"VolumeOptions", json::object{{"Subpath", "x"}}}});
  EXPECT_EQ(create_with(44, subpath).message(), "VolumeOptions.Subpath needs API v1.45 or newer");
}

TEST_F(DialectTest, SysctlsOfTheLinkMoveToItsEndpointBelow148) {
  const json::object host{
      {"NetworkMode", "bridge"},
      {"Sysctls", json::object{{"net.ipv4.conf.eth0.log_martians", "1"}, {"net.ipv4.ip_forward", "0"}}}};
  const Response refused = create_with(48, host);
  EXPECT_EQ(refused.status, 400);
  EXPECT_NE(refused.message().find("must be supplied using driver option"), std::string::npos) << refused.message();
  const Response created = create_with(47, host);
  ASSERT_EQ(created.status, 201) << created.body;
  const std::string id = text(at(created.json(), "Id"));
  EXPECT_EQ(write_json(at(inspect(id), "HostConfig.Sysctls")), R"({"net.ipv4.ip_forward":"0"})");
  start(id);
  EXPECT_EQ(exec(id, {"cat", "/proc/sys/net/ipv4/conf/eth0/log_martians"}).out, "1\n");
}

TEST_F(DialectTest, SeveralEndpointsAtACreateAreRefusedBelow144) {
  const json::object both{{"one", json::object{}}, {"two", json::object{}}};
  const json::object endpoints{{"NetworkingConfig", json::object{{"EndpointsConfig", both}}}};
  const Response response = create_with(43, {{"NetworkMode", "one"}}, endpoints);
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(response.message(), "Container cannot be created with multiple network endpoints: one, two");
}

TEST_F(DialectTest, StopTakesASignalFrom142) {
  const auto stop_by = [&](int minor) {
    const std::string id = run({.command = {"/payload", "trap"}});
    wait_ready(id);
    client().post(concat("/v1.", minor, "/containers/", id, "/stop?signal=SIGUSR2&t=1"));
    const int code = wait(id);
    remove(id);
    return code;
  };
  EXPECT_EQ(stop_by(42), 42);
  EXPECT_EQ(stop_by(41), 137);
}

TEST_F(DialectTest, ImagesChangedTheirShapeFiveTimes) {
  const std::string empty_tar(10240, '\0');
  const Headers tar{{"Content-Type", "application/x-tar"}};
  ASSERT_EQ(client().request("POST", "/images/create?fromSrc=-", empty_tar, tar).status, 200);
  const auto dangling = [&](int minor) {
    return get(minor, "/images/json?filters=%7B%22dangling%22%3A%5B%22true%22%5D%7D");
  };
  EXPECT_EQ(text(at(dangling(42), "0.RepoTags.0")), "<none>:<none>");
  EXPECT_EQ(write_json(at(dangling(43), "0.RepoTags")), "[]");
  EXPECT_FALSE(at(dangling(43), "0.VirtualSize").is_null());
  EXPECT_TRUE(at(dangling(44), "0.VirtualSize").is_null());
  EXPECT_EQ(at(dangling(50), "0.Containers").to_number<int>(), -1);
  EXPECT_EQ(at(dangling(51), "0.Containers").to_number<int>(), 0);
  const std::string image = "/images/" + text(at(dangling(51), "0.Id"));
  const std::string name = image + "/json";
  EXPECT_TRUE(at(get(44, name), "ContainerConfig").is_object());
  EXPECT_TRUE(at(get(45, name), "ContainerConfig").is_null());
  EXPECT_TRUE(at(get(49, name), "Config.Tty").is_bool());
  EXPECT_TRUE(at(get(50, name), "Config.Tty").is_null());
  const std::string other = name + "?platform=%7B%22os%22%3A%22linux%22%2C%22architecture%22%3A%22s390x%22%7D";
  EXPECT_EQ(client().get("/v1.48" + other).status, 200);
  EXPECT_EQ(client().get("/v1.49" + other).status, 404);
  EXPECT_EQ(client().remove(image).status, 200);
}

TEST_F(DialectTest, NetworksListsAndInfo) {
  EXPECT_TRUE(at(get(47, "/networks/bridge"), "EnableIPv4").is_null());
  EXPECT_TRUE(at(get(48, "/networks/bridge"), "EnableIPv4").get_bool());
  const std::string id = create({.host = {{"Annotations", json::object{{"a", "b"}}}}});
  EXPECT_TRUE(at(get(45, "/containers/json?all=1"), "0.HostConfig.Annotations").is_null());
  EXPECT_EQ(text(at(get(46, "/containers/json?all=1"), "0.HostConfig.Annotations.a")), "b");
  remove(id);
  EXPECT_TRUE(at(get(48, "/info"), "FirewallBackend").is_null());
  EXPECT_FALSE(at(get(49, "/info"), "FirewallBackend").is_null());
  EXPECT_FALSE(at(get(49, "/info"), "BridgeNfIptables").is_null());
  EXPECT_TRUE(at(get(50, "/info"), "BridgeNfIptables").is_null());
}

TEST_F(DialectTest, StreamsNameTheirFramingFrom142) {
  const std::string id = run({.command = {"/payload", "echo", "hello"}});
  wait(id);
  const std::string path = "/containers/" + id + "/logs?stdout=1";
  EXPECT_EQ(client().get("/v1.41" + path).header("content-type"), "application/vnd.docker.raw-stream");
  EXPECT_EQ(client().get("/v1.42" + path).header("content-type"), "application/vnd.docker.multiplexed-stream");
  remove(id);
}

TEST_F(DialectTest, VolumePruneTakesNamedOnesBelow142) {
  ASSERT_EQ(client().post("/volumes/create", json::object{{"Name", "kept"}}).status, 201);
  EXPECT_EQ(client().post("/v1.42/volumes/prune").status, 200);
  EXPECT_EQ(client().get("/volumes/kept").status, 200);
  EXPECT_EQ(client().post("/v1.41/volumes/prune").status, 200);
  EXPECT_EQ(client().get("/volumes/kept").status, 404);
}

}  // namespace
}  // namespace mydocker::test
