// Wrong requests get a clear error in Docker's form with the right status, and leave nothing behind.

#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class BadInputTest : public DaemonTest {
 protected:
  Response create_raw(const std::string& body, const std::string& type = "application/json") {
    return client().request("POST", "/containers/create", body, {{"Content-Type", type}});
  }
};

TEST_F(BadInputTest, MalformedJsonIs400) {
  for (const char* body : {"{", "[]", "nul", "{\"Image\":}", "\"x\"", "{\"Image\":\"payload\"", "{} trailing"}) {
    const Response response = create_raw(body);
    EXPECT_EQ(response.status, 400) << body << response.body;
    EXPECT_NE(response.message(), "") << body;
  }
}

TEST_F(BadInputTest, AnEmptyCreateBodyIs400) { EXPECT_EQ(create_raw("").status, 400); }

TEST_F(BadInputTest, WrongTypesAreNamed) {
  const Response response = create_raw(R"({"Image":"payload","HostConfig":{"Memory":"lots"}})");
  EXPECT_EQ(response.status, 400);
  EXPECT_NE(response.message().find("Memory"), std::string::npos) << response.body;
  EXPECT_EQ(create_raw(R"({"Image":5})").status, 400);
  EXPECT_EQ(create_raw(R"({"Image":"payload","Env":"A=1"})").status, 400);
  EXPECT_EQ(create_raw(R"({"Image":"payload","HostConfig":{"Memory":1e400}})").status, 400);
}

TEST_F(BadInputTest, AWrongContentTypeIs400) {
  const Response response = create_raw(R"({"Image":"payload"})", "text/plain");
  EXPECT_EQ(response.status, 400);
  EXPECT_NE(response.message().find("unsupported Content-Type header (text/plain)"), std::string::npos)
      << response.body;
}

TEST_F(BadInputTest, AMissingImageIs404) {
  const Response response = create_raw(R"({"Image":"nope:1"})");
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(response.message(), "No such image: nope:1");
}

TEST_F(BadInputTest, ABadReferenceIs400) {
  EXPECT_EQ(client().post("/images/create?fromImage=UPPER&tag=x").status, 400);
  EXPECT_EQ(client().post("/images/create?fromImage=a%20b&tag=x").status, 400);
  EXPECT_EQ(client().post("/images/payload/tag?repo=Bad&tag=x").status, 400);
}

TEST_F(BadInputTest, LimitsOutOfRangeAre400) {
  const std::pair<const char*, const char*> rows[] = {
      {R"({"Memory":1000000})", "Minimum memory limit allowed is 6MB"},
      {R"({"NanoCpus":1000000000000})", "range of CPUs is from"},
      {R"({"BlkioWeight":5})", "lkio"},
      {R"({"CpusetCpus":"999"})", "not available"},
      {R"({"ShmSize":-1})", "SHM size can not be less than 0"},
      {R"({"Memory":20971520,"MemorySwap":10485760})", "emory"},
      {R"({"CapAdd":["NOPE"]})", "unknown capability"},
      {R"({"Binds":["/a:relative"]})", "relative"},
      {R"({"SecurityOpt":["zzz"]})", "zzz"},
      {R"({"AutoRemove":true,"RestartPolicy":{"Name":"always"}})", "AutoRemove"},
      {R"({"PortBindings":{"abc":[{}]}})", "abc"},
  };
  for (const auto& [host, expected] : rows) {
    const Response response = create_raw(concat(R"({"Image":"payload","HostConfig":)", host, "}"));
    EXPECT_EQ(response.status, 400) << host << response.body;
    EXPECT_NE(response.message().find(expected), std::string::npos) << host << response.body;
  }
}

TEST_F(BadInputTest, ContainerNamesAreChecked) {
  EXPECT_EQ(client().post("/containers/create?name=a%2Fb", json::object{{"Image", "payload"}}).status, 400);
  EXPECT_EQ(client().post("/containers/create?name=x", json::object{{"Image", "payload"}}).status, 400);
  const std::string id = create({.name = "taken"});
  const Response again = client().post("/containers/create?name=taken", json::object{{"Image", "payload"}});
  EXPECT_EQ(again.status, 409);
  EXPECT_EQ(again.message(),
            concat("Conflict. The container name \"/taken\" is already in use by container \"", id,
                   "\". You have to remove (or rename) that container to be able to reuse that name."));
}

TEST_F(BadInputTest, AnUnreachableRegistryIsAnErrorAndLeavesNothing) {
  const Response response = client().post("/images/create?fromImage=127.0.0.1:1%2Fa%2Fb&tag=x");
  EXPECT_TRUE(response.status >= 400 || response.body.find("errorDetail") != std::string::npos) << response.body;
  EXPECT_NE(response.body.find("127.0.0.1:1"), std::string::npos) << response.body;
}

TEST_F(BadInputTest, MissingProgramsHaveDockersWords) {
  struct Row {
    std::vector<std::string> command;
    const char* text;
    int code;
  };
  const Row rows[] = {
      {{"nosuch"}, "exec: \"nosuch\": executable file not found in $PATH", 127},
      {{"/nosuch"}, "exec: \"/nosuch\": stat /nosuch: no such file or directory", 127},
      {{"/etc/passwd"}, "exec: \"/etc/passwd\": permission denied", 126},
      {{"/etc"}, "exec: \"/etc\": is a directory", 126},
  };
  for (const Row& row : rows) {
    const std::string id = create({.command = row.command});
    const Response response = client().post("/containers/" + id + "/start");
    EXPECT_EQ(response.status, 400) << row.text << response.body;
    EXPECT_NE(response.message().find(row.text), std::string::npos) << response.body;
    const json::value state = at(inspect(id), "State");
    EXPECT_EQ(text(at(state, "Status")), "created");
    EXPECT_EQ(at(state, "ExitCode").to_number<int>(), row.code);
    EXPECT_NE(text(at(state, "Error")).find(row.text), std::string::npos);
  }
}

TEST_F(BadInputTest, AFailedStartLeavesNothingBehind) {
  const std::string id = create({.command = {"/nosuch"}, .host = {{"NetworkMode", "bridge"}}});
  const std::string before = list_cgroups(surroundings().cgroup_parent()) + list_processes(root());
  for (int i = 0; i < 5; ++i) {
    const Response response = client().post("/containers/" + id + "/start");
    EXPECT_EQ(response.status, 400) << response.body;
  }
  EXPECT_TRUE(eventually([&] {
    return list_cgroups(surroundings().cgroup_parent()) + list_processes(root()) == before;
  })) << list_cgroups(surroundings().cgroup_parent());
}

TEST_F(BadInputTest, AMissingNetworkIs404AtStart) {
  const std::string id = create({.host = {{"NetworkMode", "nonet"}}});
  const Response response = client().post("/containers/" + id + "/start");
  EXPECT_EQ(response.status, 404) << response.body;
  EXPECT_NE(response.message().find("network nonet not found"), std::string::npos) << response.body;
}

TEST_F(BadInputTest, AMissingBindSourceOfAMountIs400) {
  const Response response = create_raw(
      R"({"Image":"payload","HostConfig":{"Mounts":[{"Type":"bind","Source":"/nonexistent/x","Target":"/x"}]}})");
  EXPECT_EQ(response.status, 400) << response.body;
  EXPECT_NE(response.message().find("bind source path does not exist: /nonexistent/x"), std::string::npos);
}

TEST_F(BadInputTest, AnUnknownUserFailsTheStart) {
  const std::string id = create({.extra = {{"User", "nobody-here"}}});
  const Response response = client().post("/containers/" + id + "/start");
  EXPECT_GE(response.status, 400);
  EXPECT_NE(response.message().find("unable to find user nobody-here"), std::string::npos) << response.body;
}

TEST_F(BadInputTest, AWorkingDirectoryThatIsAFileAndAnUnknownSysctlAreNamed) {
  const std::string file = create({.extra = {{"WorkingDir", "/payload"}}});
  const Response cwd = client().post("/containers/" + file + "/start");
  EXPECT_NE(cwd.message().find("Cannot mkdir: /payload is not a directory"), std::string::npos) << cwd.body;
  const std::string id = create({.host = {{"Sysctls", json::object{{"net.nosuch", "1"}}}}});
  const Response sysctl = client().post("/containers/" + id + "/start");
  EXPECT_NE(sysctl.message().find("open /proc/sys/net/nosuch: no such file or directory"), std::string::npos)
      << sysctl.body;
}

TEST_F(BadInputTest, BrokenFiltersAre400) {
  EXPECT_EQ(client().get("/containers/json?filters=%7B").status, 400);
  EXPECT_EQ(client().get("/containers/json?filters=%7B%22bogus%22%3A%5B%22x%22%5D%7D").status, 400);
}

TEST_F(BadInputTest, ABrokenArchiveIsRefused) {
  const std::string file = scratch("broken.tar");
  std::string bytes = "this is not a tar archive at all";
  run_command({"sh", "-c", "printf '%s' \"$0\" > \"$1\"", bytes, file});
  const Response response = client().upload("POST", "/images/load", file, "application/x-tar");
  EXPECT_TRUE(response.status >= 400 || response.body.find("errorDetail") != std::string::npos) << response.body;
}

}  // namespace
}  // namespace mydocker::test
