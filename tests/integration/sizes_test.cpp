// Sizes of containers and volumes: exact at rest, without a walk when somebody asks.

#include <fcntl.h>
#include <sys/stat.h>

#include <ctime>
#include <filesystem>
#include <set>

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class SizesTest : public DaemonTest {
 protected:
  std::int64_t size_rw(const std::string& id) {
    const json::value list = client().get("/containers/json?all=1&size=1").json();
    for (const json::value& entry : list.as_array()) {
      if (text(at(entry, "Id")) != id) continue;
      const json::value size = at(entry, "SizeRw");
      return size.is_null() ? 0 : size.to_number<std::int64_t>();
    }
    return -1;
  }
  /// Adds a file to a tree of the engine's behind its back: who looks at the tree sees it, who kept a number does not.
  void plant(const std::string& directory) {
    write_all(open_file(directory + "/planted", O_WRONLY | O_CREAT, 0644).get(), std::string(5000, 'x'));
  }
};

TEST_F(SizesTest, AStoppedContainersSizeIsKeptAndNotWalkedForAgain) {
  const std::string id =
      run({.command = {"sh", "-c", "head -c 3000 /dev/zero > /a; ln /a /b; head -c 7 /dev/zero > /c"}});
  EXPECT_EQ(wait(id), 0);
  EXPECT_EQ(size_rw(id), 3007);
  plant(text(at(inspect(id), "GraphDriver.Data.UpperDir")));
  EXPECT_EQ(size_rw(id), 3007) << "the tree was walked for a number that was known";
  const json::value shown = client().get("/containers/" + id + "/json?size=1").json();
  EXPECT_EQ(at(shown, "SizeRw").to_number<std::int64_t>(), 3007);
  EXPECT_GT(at(shown, "SizeRootFs").to_number<std::int64_t>(), 3007);
  start(id);
  EXPECT_EQ(wait(id), 0);
  EXPECT_EQ(size_rw(id), 8007) << "a run may have written: the number before it holds no more";
}

TEST_F(SizesTest, ARunningContainersSizeFollowsWhatItWrites) {
  const std::string id = run();
  EXPECT_EQ(size_rw(id), 0);
  EXPECT_EQ(exec(id, {"sh", "-c", "head -c 1234 /dev/zero > /made"}).code, 0);
  EXPECT_TRUE(eventually([&] { return size_rw(id) == 1234; })) << size_rw(id);
  EXPECT_EQ(exec(id, {"rm", "/made"}).code, 0);
  EXPECT_TRUE(eventually([&] { return size_rw(id) == 0; })) << size_rw(id);
}

TEST_F(SizesTest, TheNumbersOutliveTheEngine) {
  const std::string id = run({.command = {"sh", "-c", "head -c 100 /dev/zero > /a"}});
  EXPECT_EQ(wait(id), 0);
  EXPECT_EQ(size_rw(id), 100);
  const std::string upper = text(at(inspect(id), "GraphDriver.Data.UpperDir"));
  ASSERT_TRUE(eventually([&] { return !path_exists(engine().exec_root() + "/shims/" + id); }));
  engine().kill();
  plant(upper);
  engine().start();
  EXPECT_EQ(size_rw(id), 100);
}

/// Processor time of the engine, all threads.
double engine_seconds(pid_t pid) {
  clockid_t clock = 0;
  timespec time{};
  if (::clock_getcpuclockid(pid, &clock) != 0 || ::clock_gettime(clock, &time) != 0) return 0;
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

/// As `du` counts apparent sizes, without the directories themselves: each file once, whatever its names.
std::int64_t bytes_of_files(const std::string& directory) {
  std::int64_t sum = 0;
  std::set<ino_t> seen;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    struct stat info{};
    if (::lstat(entry.path().c_str(), &info) == 0 && S_ISREG(info.st_mode) && seen.insert(info.st_ino).second) {
      sum += info.st_size;
    }
  }
  return sum;
}

class DiskUseCostTest : public SizesTest {
 protected:
  /// A container, a volume and an image whose trees have that many files.
  void grow(int files) {
    const std::string script =
        concat("mkdir -p /made; i=0; while [ $i -lt ", files,
               " ]; do echo $i > /made/$i; echo $i > /data/$i; i=$((i+1)); done; ln /made/0 /made/again");
    container_ = run({.command = {"sh", "-c", script}, .host = {{"Binds", json::array{"grown:/data"}}}});
    ASSERT_EQ(wait(container_), 0);
    ASSERT_EQ(client().post("/commit?container=" + container_ + "&repo=grown").status, 201);
  }
  void shrink() {
    remove(container_);
    EXPECT_EQ(client().remove("/volumes/grown").status, 204);
    EXPECT_EQ(client().remove("/images/grown").status, 200);
    // The files themselves go in the background, which takes the time that it takes.
    EXPECT_TRUE(
        eventually([&] { return std::filesystem::is_empty(engine().data_root() + "/tmp"); }, std::chrono::seconds(80)));
  }
  json::value df() { return client().get("/v1.51/system/df").json(); }
  /// The least of several: whatever else the engine does for itself meanwhile is no part of an answer.
  double seconds_of_an_answer() {
    double least = 1e9;
    for (int round = 0; round < 20; ++round) {
      const double before = engine_seconds(engine().pid());
      df();
      least = std::min(least, engine_seconds(engine().pid()) - before);
    }
    return least;
  }
  void expect_exact() {
    const json::value usage = df();
    EXPECT_EQ(at(usage, "Volumes.0.UsageData.Size").to_number<std::int64_t>(),
              bytes_of_files(text(at(usage, "Volumes.0.Mountpoint"))));
    EXPECT_EQ(at(usage, "Containers.0.SizeRw").to_number<std::int64_t>(),
              bytes_of_files(text(at(inspect(container_), "GraphDriver.Data.UpperDir"))));
  }

  std::string container_;
};

TEST_F(DiskUseCostTest, AHundredTimesTheFilesCostNoMoreToAskFor) {
  grow(100);
  expect_exact();
  const double few = seconds_of_an_answer();
  shrink();
  grow(10'000);
  expect_exact();
  const double many = seconds_of_an_answer();
  shrink();
  // A walk over the twenty thousand files takes more than ten milliseconds of a processor's time.
  EXPECT_LT(many, few * 3 + 0.002) << "with few files: " << few;
}

}  // namespace
}  // namespace mydocker::test
