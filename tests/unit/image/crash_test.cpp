#include <csignal>

#include "engine/base/process.h"
#include "tests/unit/image/fake_registry.h"
#include "tests/unit/image/image_fixture.h"

/// DESIGN 3.2: a SIGKILL at any step, then a start, leaves whole images and nothing else.
namespace mydocker::image {
namespace {

class CrashTest : public test::StoreFixture, public ::testing::WithParamInterface<const char*> {
 protected:
  /// Ends with how the helper ended.
  ExitStatus run_helper(const std::string& reference, const std::string& failpoints) {
    images.reset();
    layers.reset();
    database.reset();
    SpawnOptions options;
    options.program = MYDOCKER_CRASH_HELPER;
    options.arguments = {"pull_and_remove", paths.data_root(), reference};
    options.environment = {"MYDOCKER_FAILPOINTS=" + failpoints};
    options.fds = {{2, 2}};
    return Process::spawn(options).wait();
  }
};

TEST_P(CrashTest, LeavesWholeImagesOrNothing) {
#ifndef MYDOCKER_FAILPOINTS
  GTEST_SKIP() << "needs failpoints compiled in";
#endif
  test::FakeRegistry registry;
  const test::TestImage image = test::three_layer_image();
  registry.put_image("app", "1", image, [](std::string_view data) { return test::gzip(data); });
  const std::string reference = registry.reference("app:1");
  EXPECT_EQ(run_helper(reference, std::string(GetParam()) + "=kill").signal, SIGKILL);
  restart();
  // The worker outlives the killed engine for a moment and may still write: what it leaves goes at the next start.
  for (int start = 0; start < 20 && !leftovers().empty(); ++start) restart();
  for (const Image& one : images->list()) {
    EXPECT_EQ(one.id, image.id());
    EXPECT_TRUE(read_layer(one.chain_id) == image.layers.back());
    images->remove(one.id.text(), {.force = true}, {});
  }
  EXPECT_EQ(leftovers(), "");
  EXPECT_TRUE(run_helper(reference, "").success());
  restart();
  EXPECT_EQ(leftovers(), "");
}

INSTANTIATE_TEST_SUITE_P(Steps, CrashTest,
                         ::testing::Values("pull.manifest", "pull.blob", "layer.begin", "layer.write", "pull.unpack",
                                           "layer.finish", "pull.commit", "layer.renamed", "layer.synced", "pull.add",
                                           "image.retain", "image.add", "image.remove", "image.release",
                                           "layer.released"),
                         [](const auto& one) {
                           std::string name = one.param;
                           name[name.find('.')] = '_';
                           return name;
                         });

}  // namespace
}  // namespace mydocker::image
