// Volumes, live updates, stats, commit and prune: through the API and the official client.

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class VolumeTest : public DaemonTest {};
class ManageTest : public DaemonTest {};

TEST_F(VolumeTest, ANamedVolumeKeepsItsFilesBetweenContainers) {
  const json::object host{{"Binds", json::array{"data:/data"}}};
  EXPECT_EQ(run_to_end({.command = {"sh", "-c", "echo kept > /data/file"}, .host = host}).code, 0);
  EXPECT_EQ(run_to_end({.command = {"cat", "/data/file"}, .host = host}).out, "kept\n");
  EXPECT_EQ(client().remove("/volumes/data").status, 204);
  EXPECT_EQ(client().get("/volumes/data").status, 404);
}

TEST_F(VolumeTest, AnEmptyVolumeGetsTheImagesFilesUnlessNocopy) {
  const Outcome copied = run_to_end({.command = {"cat", "/etc/passwd"}, .host = {{"Binds", json::array{"etc:/etc"}}}});
  EXPECT_EQ(copied.code, 0) << copied.err;
  EXPECT_NE(copied.out.find("root"), std::string::npos);
  const Outcome bare = run_to_end(
      {.command = {"sh", "-c", "test -e /etc/passwd"}, .host = {{"Binds", json::array{"bare:/etc:nocopy"}}}});
  EXPECT_NE(bare.code, 0);
  EXPECT_EQ(client().remove("/volumes/etc").status, 204);
  EXPECT_EQ(client().remove("/volumes/bare").status, 204);
}

TEST_F(VolumeTest, AVolumeInUseIsAConflictThatNamesItsContainer) {
  const std::string id = create({.host = {{"Binds", json::array{"used:/data"}}}});
  const Response response = client().remove("/volumes/used");
  EXPECT_EQ(response.status, 409);
  EXPECT_NE(response.message().find(id), std::string::npos) << response.message();
  EXPECT_EQ(text(at(inspect(id), "Mounts.0.Name")), "used");
  remove(id);
  EXPECT_EQ(client().remove("/volumes/used").status, 204);
}

TEST_F(VolumeTest, AnAnonymousVolumeGoesWithItsContainerWhenAsked) {
  const std::string id = create({.extra = {{"Volumes", json::object{{"/data", json::object{}}}}}});
  const std::string name = text(at(inspect(id), "Mounts.0.Name"));
  EXPECT_EQ(name.size(), 64U);
  EXPECT_EQ(client().get("/volumes/" + name).status, 200);
  EXPECT_EQ(client().remove("/containers/" + id + "?v=1").status, 204);
  EXPECT_EQ(client().get("/volumes/" + name).status, 404);
}

TEST_F(VolumeTest, TheOfficialClientCreatesListsAndPrunes) {
  REQUIRE_PROGRAM("docker");
  EXPECT_EQ(docker({"volume", "create", "--label", "k=v", "mine"}).out, "mine\n");
  EXPECT_EQ(docker({"volume", "ls", "-q", "--filter", "label=k=v"}).out, "mine\n");
  EXPECT_EQ(docker({"volume", "inspect", "-f", "{{.Driver}}", "mine"}).out, "local\n");
  // Older clients know no --all; what they ask for in their own dialect means the same.
  if (docker({"volume", "prune", "-f", "-a"}).code != 0) EXPECT_EQ(docker({"volume", "prune", "-f"}).code, 0);
  EXPECT_EQ(docker({"volume", "ls", "-q"}).out, std::string());
}

TEST_F(VolumeTest, BadNamesAndDriversAreRefused) {
  EXPECT_EQ(client().post("/volumes/create", parse_json(R"({"Name":"../x"})")).status, 400);
  EXPECT_EQ(client().post("/volumes/create", parse_json(R"({"Name":"xx","Driver":"nope"})")).status, 404);
}

TEST_F(ManageTest, AnUpdateReachesTheRunningContainersCgroup) {
  const std::string id = run();
  EXPECT_EQ(
      client().post("/containers/" + id + "/update", parse_json(R"({"Memory":67108864,"MemorySwap":67108864})")).status,
      200);
  const Outcome seen =
      exec(id, {"sh", "-c", "c=/sys/fs/cgroup; cat $c/memory/memory.limit_in_bytes 2>/dev/null || cat $c/memory.max"});
  EXPECT_EQ(seen.out, "67108864\n") << seen.err;
  EXPECT_EQ(at(inspect(id), "HostConfig.Memory").to_number<int>(), 67108864);
  EXPECT_EQ(client().post("/containers/" + id + "/update", parse_json(R"({"Memory":1})")).status, 400);
}

TEST_F(ManageTest, AnUpdatesOwnMistakesComeBeforeItsConflicts) {
  const std::string url = "/containers/" + run() + "/update";
  const Response low = client().post(url, parse_json(R"({"Memory":5})"));
  EXPECT_EQ(low.status, 400);
  EXPECT_EQ(low.message(), "Minimum memory limit allowed is 6MB");
  const Response conflict = client().post(url, parse_json(R"({"Memory":52428800})"));
  EXPECT_EQ(conflict.status, 409);
  EXPECT_NE(conflict.message().find("smaller than already set memoryswap limit"), std::string::npos);
}

TEST_F(ManageTest, StatsCountTheContainersProcesses) {
  const std::string id = run();
  const Response once = client().get("/containers/" + id + "/stats?stream=0&one-shot=1");
  ASSERT_EQ(once.status, 200);
  const json::value sample = once.json();
  EXPECT_EQ(at(sample, "pids_stats.current").to_number<int>(), 1);
  EXPECT_GT(at(sample, "memory_stats.limit").to_number<std::int64_t>(), 0);
  EXPECT_GT(at(sample, "cpu_stats.system_cpu_usage").to_number<std::int64_t>(), 0);
  EXPECT_EQ(client().get("/containers/" + id + "/stats?stream=1&one-shot=1").status, 400);
}

TEST_F(ManageTest, ACommittedImageHasTheContainersFilesAndChanges) {
  const std::string id = create({.command = {"sh", "-c", "echo made > /made"}});
  start(id);
  EXPECT_EQ(wait(id), 0);
  const Response made = client().post("/commit?container=" + id + "&repo=made&tag=1&changes=ENV%20A=b");
  ASSERT_EQ(made.status, 201) << made.body;
  const Outcome seen = run_to_end({.image = "made:1", .command = {"sh", "-c", "cat /made; echo $A"}});
  EXPECT_EQ(seen.out, "made\nb\n") << seen.err;
  remove(id);
  EXPECT_EQ(client().remove("/images/made:1").status, 200);
}

TEST_F(ManageTest, PruneRemovesWhatDoesNotRun) {
  const std::string stopped = create();
  const std::string running = run();
  const Response report = client().post("/containers/prune");
  ASSERT_EQ(report.status, 200);
  EXPECT_EQ(text(at(report.json(), "ContainersDeleted.0")), stopped);
  EXPECT_EQ(client().get("/containers/" + running + "/json").status, 200);
  EXPECT_EQ(client().get("/containers/" + stopped + "/json").status, 404);
  EXPECT_EQ(client().post("/containers/prune?filters=%7B%22zz%22%3A%5B%22x%22%5D%7D").status, 400);
}

}  // namespace
}  // namespace mydocker::test
