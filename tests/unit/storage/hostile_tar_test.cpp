// SECURITY A1: a corpus of hostile archives, alone and in all orders of two. Nothing outside of the tree changes, and
// what happens is what the rule beside each archive says.

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdlib>

#include "engine/base/process.h"
#include "engine/base/sys.h"
#include "storage/tar_recipe.h"
#include "storage/worker_process.h"
#include "tests/unit/storage/hostile_tars.h"
#include "tests/unit/storage/store_fixture.h"

namespace mydocker::storage::test {
namespace {

class HostileTarTest : public StoreFixture {
 protected:
  void SetUp() override {
    StoreFixture::SetUp();
    if (IsSkipped()) return;
    make_dirs(canary);
    root.write("canary/secret", "nobody may touch this");
  }

  /// Everything outside of the layers: the canary and the data-root's own directories.
  std::string surroundings() {
    return mydocker::test::list_tree(canary) + concat("/", names_in(root.path()).size()) +
           concat("/", names_in(paths.data_root()).size());
  }

  const std::string canary = root.path() + "/canary";
};

TEST_F(HostileTarTest, TheCorpusHasAtLeastSixtyArchives) { EXPECT_GE(hostile_tars(canary).size(), 60U); }

TEST_F(HostileTarTest, EachArchiveAloneFollowsItsRule) {
  const std::string before = surroundings();
  for (const HostileTar& hostile : hostile_tars(canary)) {
    SCOPED_TRACE(hostile.name + ": " + hostile.rule);
    const std::string tar = hostile.members.finish();
    if (!hostile.refused_with.empty()) {
      const auto writer = store->begin();
      try {
        writer->write(tar);
        writer->finish();
        ADD_FAILURE() << "was accepted";
      } catch (const Error& error) {
        EXPECT_NE(error.message().find(hostile.refused_with), std::string::npos) << error.what();
        EXPECT_TRUE(error.kind() == ErrorKind::invalid_argument || error.kind() == ErrorKind::too_large)
            << error.what();
      }
    } else {
      try {
        const Layer layer = add_layer(tar);
        for (const auto& [path, what] : hostile.expected) {
          EXPECT_EQ(describe(in_tree(layer, path)).substr(0, what.size()), what) << path;
        }
        EXPECT_EQ(read_tar(layer.chain_id) == tar, true) << "the tar cannot be rebuilt";
        store->release(layer.chain_id, "image:test");
      } catch (const Error& error) {
        ADD_FAILURE() << "was refused: " << error.what();
      }
    }
    EXPECT_EQ(surroundings(), before);
  }
  EXPECT_TRUE(names_in(paths.layers()).empty());
  EXPECT_TRUE(leftovers().empty());
}

TEST_F(HostileTarTest, XattrsOutsideTheListAreNotSet) {
  const Layer layer = add_layer(TarBytes()
                                    .pax({{"SCHILY.xattr.trusted.overlay.opaque", "y"},
                                          {"SCHILY.xattr.trusted.overlay.redirect", "/etc"},
                                          {"SCHILY.xattr.user.overlay.opaque", "y"},
                                          {"SCHILY.xattr.user.mine", std::string("a\0b", 3)}})
                                    .directory("d")
                                    .finish());
  EXPECT_EQ(xattr_of(in_tree(layer, "d"), "trusted.overlay.opaque"), "absent");
  EXPECT_EQ(xattr_of(in_tree(layer, "d"), "trusted.overlay.redirect"), "absent");
  EXPECT_EQ(xattr_of(in_tree(layer, "d"), "user.overlay.opaque"), "absent");
  EXPECT_EQ(xattr_of(in_tree(layer, "d"), "user.mine"), std::string("a\0b", 3));
}

/// One worker for each pair, without the store: what counts is the tree, the surroundings and the rebuilt tar.
class PairTest : public HostileTarTest {
 protected:
  /// Empty: accepted.
  std::string unpack(const std::string& directory, const std::string& tar) {
    make_dirs(directory);
    const UniqueFd fd = open_file(directory, O_RDONLY | O_DIRECTORY);
    WorkerRequest request;
    request.job = "unpack";
    try {
      WorkerProcess worker(worker_options(), request, fd.get(), WorkerPipe::input);
      worker.write(tar);
      worker.finish();
      return {};
    } catch (const Error& error) {
      EXPECT_TRUE(error.kind() == ErrorKind::invalid_argument || error.kind() == ErrorKind::too_large) << error.what();
      return error.message();
    }
  }

  std::string rebuild(const std::string& directory) {
    std::string out;
    rebuild_tar(open_file(directory, O_RDONLY | O_DIRECTORY).get(), [&](std::string_view bytes) { out += bytes; });
    return out;
  }
};

TEST_F(PairTest, AllOrdersOfTwoStayInsideAndRebuildExactly) {
  const std::vector<HostileTar> all = hostile_tars(canary);
  // The full square takes a minute or two; a stride through it is enough for every day (MYDOCKER_LONG_TESTS=1: all).
  const std::size_t stride = std::getenv("MYDOCKER_LONG_TESTS") != nullptr ? 1 : 37;
  const std::string before = surroundings();
  std::size_t number = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t j = (i * 3) % stride; j < all.size(); j += stride) {
      if (all[i].members.unfinished().size() + all[j].members.unfinished().size() > (1 << 20)) continue;
      SCOPED_TRACE(all[i].name + ", then " + all[j].name);
      const std::string tar = TarBytes().add(all[i].members).add(all[j].members).finish();
      const std::string directory = concat(paths.tmp(), "/pair-", number++);
      const std::string refusal = unpack(directory, tar);
      if (!all[i].refused_with.empty()) EXPECT_NE(refusal, "") << "the first alone is refused";
      if (refusal.empty()) EXPECT_EQ(rebuild(directory) == tar, true) << "the tar cannot be rebuilt";
      remove_tree(directory);
      if (number % 64 == 0) ASSERT_EQ(surroundings(), before);
    }
  }
  EXPECT_EQ(surroundings(), before);
}

}  // namespace
}  // namespace mydocker::storage::test
