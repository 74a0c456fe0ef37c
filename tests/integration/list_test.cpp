// Which containers a list, a prune or a name means, and what commit, update and wait do beyond the plain case.

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class ListTest : public DaemonTest {
 protected:
  static std::string filters(const std::string& text) { return "filters=" + url_encode(text); }
  /// The names that a filter lets through, newest first.
  std::string list(const std::string& filter) {
    const Response response = client().get("/containers/json?all=1&" + filters(filter));
    EXPECT_EQ(response.status, 200) << filter << response.body;
    std::string names;
    const json::value items = response.json();
    for (const json::value& item : items.as_array()) names += text(at(item, "Names.0"));
    return names;
  }
};

TEST_F(ListTest, EveryFilterSelectsWhatItSays) {
  const std::string three = create({.command = {"/payload", "exit", "3"}, .name = "three"});
  start(three);
  EXPECT_EQ(wait(three), 3);
  create({.name = "made",
          .extra = {{"ExposedPorts", json::object{{"80/tcp", json::object{}}, {"53/udp", json::object{}}}},
                    {"Labels", json::object{{"k", "v"}, {"only", ""}}}},
          .host = {{"Binds", json::array{"lv:/data"}}}});
  run({.name = "live",
       .host = {{"NetworkMode", "bridge"}, {"PortBindings", parse_json(R"({"81/tcp":[{"HostPort":"18381"}]})")}}});
  const std::string image = text(at(inspect("live"), "Image"));
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"ancestor":["payload"]})", "/live/made/three"},
      {R"({"ancestor":["payload:latest"]})", "/live/made/three"},
      {R"({"ancestor":[")" + image + R"("]})", "/live/made/three"},
      {R"({"ancestor":["nothere"]})", ""},
      {R"({"before":["live"]})", "/made/three"},
      {R"({"since":["three"]})", "/live/made"},
      {R"({"exited":["3"]})", "/three"},
      {R"({"exited":["0"]})", ""},
      {R"({"expose":["80"]})", "/made"},
      {R"({"expose":["79-81/tcp"]})", "/made"},
      {R"({"expose":["53"]})", ""},
      {R"({"expose":["53/udp"]})", "/made"},
      {R"({"health":["none"]})", "/live/made/three"},
      {R"({"health":["healthy"]})", ""},
      {R"({"id":[")" + three.substr(0, 9) + R"("]})", "/three"},
      {R"({"is-task":["true"]})", ""},
      {R"({"is-task":["False"]})", "/live/made/three"},
      {R"({"isolation":["default"]})", "/live/made/three"},
      {R"({"label":["k"]})", "/made"},
      {R"({"label":["k=v","only"]})", "/made"},
      {R"({"label":["k=v","other"]})", ""},
      {R"({"name":["^/t"]})", "/three"},
      {R"({"name":["^t"]})", "/three"},
      {R"({"name":["e$"]})", "/live/made/three"},
      {R"({"name":["("]})", ""},
      {R"({"network":["bridge"]})", "/live"},
      {R"({"network":["none"]})", "/made/three"},
      {R"({"publish":["18381"]})", "/live"},
      {R"({"publish":["18380-18390/tcp"]})", "/live"},
      {R"({"publish":["18381/udp"]})", ""},
      {R"({"publish":["81"]})", ""},
      {R"({"status":["exited","running"]})", "/live/three"},
      {R"({"status":["created"]})", "/made"},
      {R"({"volume":["lv"]})", "/made"},
      {R"({"volume":["/data"]})", "/made"},
      {R"({"volume":["/dat"]})", ""},
      {R"({"status":{"running":true},"name":{"live":true}})", "/live"}};
  for (const auto& [filter, expected] : cases) EXPECT_EQ(list(filter), expected) << filter;
  const std::string network = text(at(inspect("live"), "NetworkSettings.Networks.bridge.NetworkID"));
  EXPECT_EQ(list(R"({"network":[")" + network + R"("]})"), "/live");
  EXPECT_EQ(client().get("/containers/json?limit=2&" + filters(R"({"name":["e$"]})")).json().as_array().size(), 2U);
  for (const std::string bad :
       {R"({"status":["zz"]})", R"({"exited":["x"]})", R"({"health":["ill"]})", R"({"zz":["x"]})",
        R"({"is-task":["maybe"]})", R"({"is-task":["true","false"]})", R"({"status":)"}) {
    EXPECT_EQ(client().get("/containers/json?" + filters(bad)).status, 400) << bad;
  }
  EXPECT_EQ(client().get("/containers/json?" + filters(R"({"before":["nobody"]})")).status, 404);
  for (const char* name : {"three", "made", "live"}) remove(name);
  EXPECT_EQ(client().remove("/volumes/lv").status, 204);
}

TEST_F(ListTest, PruneFiltersSelectByAgeAndLabel) {
  const auto labelled = [](const char* value) { return json::object{{"Labels", json::object{{"keep", value}}}}; };
  const std::string yes = create({.extra = labelled("yes")});
  const std::string no = create({.extra = labelled("no")});
  const std::string none = create();
  const auto prune = [&](const std::string& filter) {
    const Response response = client().post("/containers/prune?" + filters(filter));
    EXPECT_EQ(response.status, 200) << response.body;
    return write_json(at(response.json(), "ContainersDeleted"));
  };
  EXPECT_EQ(write_json(at(client().post("/volumes/prune").json(), "VolumesDeleted")), "[]");
  EXPECT_EQ(prune(R"({"until":["1h"]})"), "null");
  EXPECT_EQ(prune(R"({"label":["keep=maybe"]})"), "null");
  EXPECT_EQ(prune(R"({"label":["keep=no"]})"), "[\"" + no + "\"]");
  EXPECT_EQ(prune(R"({"label!":["keep=yes"]})"), "[\"" + none + "\"]");
  EXPECT_EQ(prune(R"({"until":["2100-01-01T00:00:00Z"]})"), "[\"" + yes + "\"]");
  EXPECT_EQ(client().post("/containers/prune?" + filters(R"({"until":["1h","2h"]})")).status, 400);
  EXPECT_EQ(client().post("/containers/prune?" + filters(R"({"until":["zz"]})")).status, 400);
}

TEST_F(ListTest, PruneTellsWhatItFreed) {
  const std::string id = run({.command = {"sh", "-c", "head -c 4321 /dev/zero > /made"}});
  EXPECT_EQ(wait(id), 0);
  EXPECT_EQ(at(client().post("/containers/prune").json(), "SpaceReclaimed").to_number<int>(), 4321);
}

TEST_F(ListTest, AnAmbiguousPrefixIsToldAndNamesWinOverPrefixes) {
  // Seventeen IDs: two of them begin alike.
  std::map<char, std::string> first;
  std::string shared;
  while (shared.empty()) {
    const std::string id = create();
    if (!first.emplace(id.front(), id).second) shared = id.substr(0, 1);
  }
  const Response response = client().get("/containers/" + shared + "/json");
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(response.message(), "multiple IDs found with provided prefix: " + shared);
  const std::string prefix = first.begin()->second.substr(0, 6);
  const std::string named = create({.name = prefix});
  EXPECT_EQ(text(at(inspect(prefix), "Id")), named);
}

TEST_F(ListTest, GeneratedNamesAreTwoWordsAndTakenOnesAreToldInDockersWords) {
  const std::string id = create();
  const std::string name = text(at(inspect(id), "Name"));
  EXPECT_NE(name.find('_'), std::string::npos) << name;
  json::object body{{"Image", "payload"}};
  const Response taken = client().post("/containers/create?name=" + name.substr(1), body);
  EXPECT_EQ(taken.status, 409);
  EXPECT_EQ(taken.message(), "Conflict. The container name \"" + name + "\" is already in use by container \"" + id +
                                 "\". You have to remove (or rename) that container to be able to reuse that name.");
  const Response bad = client().post("/containers/create?name=a%20b", body);
  EXPECT_EQ(bad.status, 400);
  EXPECT_EQ(bad.message(), "Invalid container name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed");
  EXPECT_EQ(client().post("/containers/" + id + "/rename?name=").status, 400);
  EXPECT_EQ(client().post("/containers/" + id + "/rename?name=" + name.substr(1)).status, 400);
}

TEST_F(ListTest, CommitTakesAuthorCommentChangesAndPausesMeanwhile) {
  const std::string id = run({.extra = {{"Env", json::array{"OLD=1"}}}});
  const Response made = client().post(
      "/commit?container=" + id +
      "&repo=committed&tag=2&author=me&comment=why&changes=CMD%20%5B%22sh%22%2C%22-c%22%2C%22echo%20%24NEW%22%5D&"
      "changes=ENV%20NEW%3Dx&"
      "changes=LABEL%20a%3Db&changes=EXPOSE%2080&changes=WORKDIR%20%2Ftmp&changes=USER%2010&changes=VOLUME%20%2Fdata");
  ASSERT_EQ(made.status, 201) << made.body;
  const json::value image = client().get("/images/committed:2/json").json();
  EXPECT_EQ(text(at(image, "Author")), "me");
  EXPECT_EQ(text(at(image, "Comment")), "why");
  EXPECT_EQ(text(at(image, "Config.Labels.a")), "b");
  EXPECT_EQ(text(at(image, "Config.WorkingDir")), "/tmp");
  EXPECT_EQ(text(at(image, "Config.User")), "10");
  EXPECT_NE(write_json(at(image, "Config")).find("\"80/tcp\""), std::string::npos);
  EXPECT_NE(write_json(at(image, "Config")).find("OLD=1"), std::string::npos);
  EXPECT_EQ(text(at(image, "Id")), text(at(made.json(), "Id")));
  EXPECT_EQ(text(at(inspect(id), "State.Status")), "running") << "it goes on after the pause";
  EXPECT_EQ(client().post("/commit?container=" + id + "&changes=FROM%20x").status, 400);
  EXPECT_EQ(client().post("/commit?container=nobody").status, 404);
  remove(id);
  EXPECT_EQ(client().remove("/images/committed:2").status, 200);
}

TEST_F(ListTest, UpdateChangesThePolicyAndRefusesConflicts) {
  const std::string id = run({.host = {{"NanoCpus", 500'000'000}}});
  const auto update = [&](const std::string& body) {
    return client().post("/containers/" + id + "/update", parse_json(body));
  };
  EXPECT_EQ(write_json(update(R"({"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":4}})").json()),
            R"({"Warnings":null})");
  EXPECT_EQ(text(at(inspect(id), "HostConfig.RestartPolicy.Name")), "on-failure");
  Response response = update(R"({"CpuQuota":50000})");
  EXPECT_EQ(response.status, 409);
  EXPECT_NE(
      response.message().find("Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set"),
      std::string::npos)
      << response.message();
  EXPECT_EQ(update(R"({"RestartPolicy":{"Name":"zz"}})").status, 400);
  EXPECT_EQ(update(R"({"PidsLimit":77})").status, 200);
  EXPECT_EQ(at(inspect(id), "HostConfig.PidsLimit").to_number<int>(), 77);
  const Outcome seen =
      exec(id, {"sh", "-c", "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max"});
  EXPECT_EQ(seen.out, "77\n");
}

TEST_F(ListTest, AWaiterHearsOfTheRemoval) {
  const std::string id = create();
  HttpStream removed = client().open("POST", "/containers/" + id + "/wait?condition=removed");
  HttpStream next = client().open("POST", "/containers/" + id + "/wait?condition=next-exit");
  EXPECT_EQ(removed.head().status, 200) << "the head comes before the removal";
  EXPECT_EQ(next.head().status, 200);
  remove(id);
  EXPECT_EQ(removed.read_to_end(), "{\"StatusCode\":0}\n");
  EXPECT_EQ(next.read_to_end(), "{\"StatusCode\":0}\n");
  EXPECT_EQ(client().post("/containers/" + id + "/wait").status, 404);
  EXPECT_EQ(client().post("/containers/x/wait?condition=zz").status, 400);
}

TEST_F(ListTest, TopTakesTheColumnsOfPs) {
  const std::string id = run();
  const json::value top = client().get("/containers/" + id + "/top?ps_args=" + url_encode("-o pid,comm")).json();
  EXPECT_EQ(write_json(at(top, "Titles")), R"(["PID","COMMAND"])");
  EXPECT_EQ(text(at(top, "Processes.0.0")), std::to_string(pid_of(id)));
  EXPECT_EQ(text(at(top, "Processes.0.1")), "payload");
}

}  // namespace
}  // namespace mydocker::test
