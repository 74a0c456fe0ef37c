// Sizes of containers and volumes: exact at rest, without a walk when somebody asks.

#include <fcntl.h>

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

}  // namespace
}  // namespace mydocker::test
