#include "storage/layer_store.h"

#include <sys/stat.h>

#include "engine/base/sys.h"
#include "tests/unit/storage/store_fixture.h"
#include "tests/unit/storage/tar_builder.h"

namespace mydocker::storage::test {
namespace {

using LayerStoreTest = StoreFixture;

std::string small_tar(std::string_view content) {
  return TarBytes().directory("etc/").file("etc/hostname", content).finish();
}

TEST(ChainId, OfABottomLayerIsItsDiffId) {
  const Digest diff = sha256_of("a");
  EXPECT_EQ(chain_id({}, diff), diff);
}

TEST(ChainId, HashesParentAndDiffId) {
  const Digest a = sha256_of("a");
  const Digest b = sha256_of("b");
  EXPECT_EQ(chain_id(a, b), sha256_of(a.text() + " " + b.text()));
}

TEST_F(LayerStoreTest, UnpacksFilesWithOwnerModeAndTime) {
  RawHeader header;
  header.name = "bin/su";
  header.mode = 04755;
  header.uid = 1000;
  header.gid = 3'000'000;  // base-256
  header.size = 5;
  const Layer layer = add_layer(TarBytes().directory("bin", 0711).raw(header, "hello").finish());

  EXPECT_EQ(describe(in_tree(layer, "bin/su")), "file 4755 1000:3000000 5");
  EXPECT_EQ(describe(in_tree(layer, "bin")), "directory 0711 0:0");
  EXPECT_EQ(content_of(in_tree(layer, "bin/su")), "hello");
  struct stat status{};
  ASSERT_EQ(::lstat(in_tree(layer, "bin").c_str(), &status), 0);
  EXPECT_EQ(status.st_mtime, 1'700'000'000);
  EXPECT_EQ(layer.size_bytes, 5);
  EXPECT_EQ(layer.diff_id, sha256_of(TarBytes().directory("bin", 0711).raw(header, "hello").finish()));
}

TEST_F(LayerStoreTest, RebuildsTheTarBitForBit) {
  const std::string tar = small_tar("one\n") + std::string(7 * 512, '\0') + "trailing garbage";
  const Layer layer = add_layer(tar);
  EXPECT_EQ(read_tar(layer.chain_id), tar);
}

TEST_F(LayerStoreTest, AWrongDiffIdIsRefusedAndNothingStays) {
  {
    const auto writer = store->begin();
    writer->write(small_tar("x"));
    EXPECT_THROW_ERROR(writer->commit({}, sha256_of("other")), ErrorKind::invalid_argument, "wrong content");
  }
  EXPECT_TRUE(store->list().empty());
  EXPECT_TRUE(leftovers().empty());
  EXPECT_TRUE(names_in(paths.layers()).empty());
}

TEST_F(LayerStoreTest, AnAbandonedWriterLeavesNothing) {
  {
    store->begin()->write(small_tar("x").substr(0, 700));
  }
  EXPECT_TRUE(leftovers().empty());
}

TEST_F(LayerStoreTest, ATruncatedTarIsRefused) {
  const auto writer = store->begin();
  writer->write(small_tar("x").substr(0, 1100));
  EXPECT_THROW_ERROR(writer->commit({}), ErrorKind::invalid_argument, "unexpected end");
}

TEST_F(LayerStoreTest, AnEmptyStreamIsAnEmptyLayer) {
  const Layer layer = add_layer("");
  EXPECT_EQ(names_in(paths.layer_tree(layer.chain_id)), std::vector<std::string>{});
  EXPECT_EQ(read_tar(layer.chain_id), "");
}

TEST_F(LayerStoreTest, TheSameLayerTwiceIsOneLayerWithTwoOwners) {
  const Layer first = add_layer(small_tar("x"), {}, "image:a");
  const Layer second = add_layer(small_tar("x"), {}, "image:b");
  EXPECT_EQ(first.chain_id, second.chain_id);
  EXPECT_TRUE(leftovers().empty());

  EXPECT_TRUE(store->release(first.chain_id, "image:a").empty());
  EXPECT_TRUE(path_exists(paths.layer_tree(first.chain_id)));
  EXPECT_EQ(store->release(first.chain_id, "image:b").size(), 1U);
  EXPECT_FALSE(path_exists(paths.layer(first.chain_id)));
  EXPECT_TRUE(leftovers().empty());
}

TEST_F(LayerStoreTest, AParentLivesAsLongAsItsChild) {
  const Layer bottom = add_layer(small_tar("1"), {}, "image:a");
  const Layer top = add_layer(small_tar("2"), bottom.chain_id, "image:a");
  EXPECT_EQ(store->lower_dirs(top.chain_id),
            (std::vector<std::string>{paths.layer_tree(top.chain_id), paths.layer_tree(bottom.chain_id)}));

  EXPECT_TRUE(store->release(bottom.chain_id, "image:a").empty());
  EXPECT_TRUE(store->find(bottom.chain_id));
  EXPECT_EQ(store->release(top.chain_id, "image:a").size(), 2U);
  EXPECT_FALSE(store->find(bottom.chain_id));
}

TEST_F(LayerStoreTest, ReleasingAnOwnerReleasesAllItsLayers) {
  const Layer a = add_layer(small_tar("1"), {}, "image:a");
  const Layer b = add_layer(small_tar("2"), {}, "image:a");
  EXPECT_EQ(store->release_owner("image:a").size(), 2U);
  EXPECT_TRUE(store->list().empty());
  EXPECT_TRUE(leftovers().empty());
}

TEST_F(LayerStoreTest, RetainingAMissingLayerIsNotFound) {
  EXPECT_THROW_ERROR(store->retain(sha256_of("x"), "image:a"), ErrorKind::not_found, "layer does not exist");
}

TEST_F(LayerStoreTest, ALayerUponAMissingParentIsRefusedAndNothingStays) {
  const auto writer = store->begin();
  writer->write(small_tar("x"));
  EXPECT_THROW_ERROR(writer->commit(sha256_of("x")), ErrorKind::not_found, "layer does not exist");
  EXPECT_TRUE(leftovers().empty());
  EXPECT_TRUE(names_in(paths.layers()).empty());
}

TEST_F(LayerStoreTest, CommitsTheLayersOfAnImageTogether) {
  const auto one = store->begin();
  const auto two = store->begin();
  two->write(small_tar("2"));
  one->write(small_tar("1"));
  const std::vector<LayerWriter*> writers{one.get(), two.get()};
  const std::vector<Layer> layers = store->commit_all(writers, {}, "image:a");
  ASSERT_EQ(layers.size(), 2U);
  EXPECT_EQ(layers[1].parent, layers[0].chain_id);
  EXPECT_EQ(store->stack(layers[1].chain_id).size(), 2U);
}

TEST_F(LayerStoreTest, RecoverDropsTemporaryOwnersAndTreesWithoutRow) {
  const Layer kept = add_layer(small_tar("1"), {}, "image:a");
  const Layer pulled = add_layer(small_tar("2"), kept.chain_id, "pull:x");
  const Layer unowned = add_layer(small_tar("3"), kept.chain_id, "");
  make_dirs(paths.layer_tree(sha256_of("crashed before its row")));
  make_dirs(paths.tmp() + "/layer-half/tree");

  store->recover();

  EXPECT_TRUE(store->find(kept.chain_id));
  EXPECT_FALSE(store->find(pulled.chain_id));
  EXPECT_FALSE(store->find(unowned.chain_id));
  EXPECT_TRUE(leftovers().empty());
  EXPECT_EQ(names_in(paths.layers()), std::vector<std::string>{kept.chain_id.hex()});
}

TEST_F(LayerStoreTest, RecoverNamesLayersWhoseFilesAreGone) {
  const Layer layer = add_layer(small_tar("1"));
  EXPECT_TRUE(store->recover().empty());
  run({"rm", "-r", paths.layer(layer.chain_id)});
  EXPECT_EQ(store->recover(), std::vector<Digest>{layer.chain_id});
}

TEST_F(LayerStoreTest, AChangedTreeIsNotSentAsTheLayer) {
  const Layer layer = add_layer(small_tar("original"));
  run({"sh", "-c", "echo -n tampered > " + in_tree(layer, "etc/hostname")});
  EXPECT_THROW_ERROR(read_tar(layer.chain_id), ErrorKind::internal, "damaged");
}

TEST_F(LayerStoreTest, DirectoriesAreClosedToOtherUsers) {
  EXPECT_EQ(describe(paths.data_root()).substr(0, 14), "directory 0710");
  EXPECT_EQ(describe(paths.layers()).substr(0, 14), "directory 0700");
  const Layer layer = add_layer(small_tar("x"));
  EXPECT_EQ(describe(paths.layer(layer.chain_id)).substr(0, 14), "directory 0700");
}

}  // namespace
}  // namespace mydocker::storage::test
