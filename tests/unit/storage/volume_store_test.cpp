#include "storage/volume_store.h"

#include "engine/base/sys.h"
#include "tests/unit/storage/store_fixture.h"
#include "tests/unit/storage/tar_builder.h"

namespace mydocker::storage::test {
namespace {

class VolumeStoreTest : public StoreFixture {
 protected:
  void SetUp() override {
    StoreFixture::SetUp();
    if (IsSkipped()) return;
    volumes = std::make_unique<VolumeStore>(*database, paths, worker_options());
  }
  Volume make(const std::string& name) {
    VolumeRequest request;
    request.name = name;
    return volumes->create(request);
  }
  /// An image with something to copy up.
  OverlayMount image() {
    const Layer layer = add_layer(TarBytes()
                                      .directory("data", 01777)
                                      .file("data/config", "c", 0640)
                                      .file("data/bin/su", "s", 04755)
                                      .symlink("data/link", "/etc/passwd")
                                      .hard_link("data/config2", "data/config")
                                      .node("data/null", '3', 1, 3)
                                      .symlink("alias", "data")
                                      .finish());
    OverlayMount stack;
    stack.lower = store->lower_dirs(layer.chain_id);
    return stack;
  }
  std::unique_ptr<VolumeStore> volumes;
};

TEST_F(VolumeStoreTest, CreatesFindsListsAndRemoves) {
  VolumeRequest request;
  request.name = "db";
  request.labels = std::map<std::string, std::string>{{"a.b", "c"}, {"empty", ""}};
  const Volume made = volumes->create(request);
  EXPECT_EQ(describe(made.mountpoint), "directory 0755 0:0");
  EXPECT_EQ(volumes->get("db").labels, *request.labels);
  EXPECT_FALSE(volumes->get("db").has_options);
  ASSERT_EQ(volumes->list().size(), 1U);
  volumes->remove("db");
  EXPECT_FALSE(volumes->find("db"));
  EXPECT_FALSE(path_exists(paths.volume("db")));
}

TEST_F(VolumeStoreTest, CreatingItAgainChangesNothing) {
  make("db");
  VolumeRequest again;
  again.name = "db";
  again.labels = std::map<std::string, std::string>{{"other", "label"}};
  EXPECT_TRUE(volumes->create(again).labels.empty());
}

TEST_F(VolumeStoreTest, AnonymousVolumesHaveHexNames) {
  const Volume volume = volumes->create({});
  EXPECT_EQ(volume.name.size(), 64U);
  EXPECT_TRUE(volume.anonymous);
}

TEST_F(VolumeStoreTest, BadRequestsAreRefusedInDockersWords) {
  EXPECT_THROW_ERROR(make("a"), ErrorKind::invalid_argument, "create a: volume name is too short");
  for (const char* name : {"../x", "x/y", ".hidden", "a b", "-x"}) {
    EXPECT_THROW_ERROR(make(name), ErrorKind::invalid_argument, "includes invalid characters for a local volume name");
  }
  VolumeRequest request;
  request.name = "ok";
  request.driver = "nope";
  EXPECT_THROW_ERROR(volumes->create(request), ErrorKind::not_found,
                     "error looking up volume plugin nope: plugin \"nope\" not found");
  EXPECT_THROW_ERROR(volumes->get("x"), ErrorKind::not_found, "get x: no such volume");
  EXPECT_TRUE(volumes->list().empty());
}

TEST_F(VolumeStoreTest, CopyUpTakesContentOwnersAndModes) {
  make("db");
  EXPECT_TRUE(volumes->copy_up("db", image(), "/alias"));
  const std::string data = paths.volume_data("db");
  EXPECT_EQ(describe(data), "directory 1777 0:0");
  EXPECT_EQ(describe(data + "/config"), "file 0640 0:0 1");
  EXPECT_EQ(describe(data + "/bin/su"), "file 4755 0:0 1");
  EXPECT_EQ(describe(data + "/link"), "symlink 0777 0:0 /etc/passwd");
  EXPECT_EQ(describe(data + "/null"), "character 0644 0:0");
  EXPECT_EQ(run({"sh", "-c", "test " + data + "/config -ef " + data + "/config2 && echo same"}), "same\n");
  EXPECT_EQ(volumes->size_bytes("db"), 1 + 1 + 11);
}

TEST_F(VolumeStoreTest, CopyUpLeavesAVolumeWithContentAlone) {
  make("db");
  run({"touch", paths.volume_data("db") + "/mine"});
  EXPECT_FALSE(volumes->copy_up("db", image(), "/data"));
  EXPECT_EQ(names_in(paths.volume_data("db")), std::vector<std::string>{"mine"});
}

TEST_F(VolumeStoreTest, CopyUpOfAMissingDirectoryOrAFileCopiesNothing) {
  make("db");
  EXPECT_FALSE(volumes->copy_up("db", image(), "/nowhere"));
  EXPECT_FALSE(volumes->copy_up("db", image(), "/data/config"));
  EXPECT_TRUE(names_in(paths.volume_data("db")).empty());
}

TEST_F(VolumeStoreTest, CopyUpThroughSymlinksStaysInTheImage) {
  run({"mkdir", root.path("outside")});
  root.write("outside/secret", "s");
  const Layer layer =
      add_layer(TarBytes().symlink("v", root.path("outside")).symlink("w", "../../../../../../etc").finish());
  OverlayMount stack;
  stack.lower = store->lower_dirs(layer.chain_id);
  make("db");
  EXPECT_FALSE(volumes->copy_up("db", stack, "/v"));
  EXPECT_FALSE(volumes->copy_up("db", stack, "/w"));
  EXPECT_TRUE(names_in(paths.volume_data("db")).empty());
}

TEST_F(VolumeStoreTest, AProvisionalVolumeStaysOnlyWhenClaimed) {
  VolumeRequest request;
  request.provisional = true;
  const Volume claimed = volumes->create(request);
  const Volume left = volumes->create(request);
  EXPECT_TRUE(left.anonymous);
  volumes->claim(claimed.name);
  volumes->recover();
  EXPECT_TRUE(volumes->get(claimed.name).anonymous);
  EXPECT_FALSE(volumes->find(left.name));
  EXPECT_FALSE(path_exists(left.mountpoint));
}

TEST_F(VolumeStoreTest, RecoverCompletesAndSweeps) {
  make("half");
  run({"rm", "-r", paths.volume("half")});
  run({"mkdir", "-p", paths.volumes() + "/unknown/_data"});
  volumes->recover();
  EXPECT_EQ(names_in(paths.volumes()), std::vector<std::string>{"half"});
  EXPECT_TRUE(path_exists(paths.volume_data("half")));
}

}  // namespace
}  // namespace mydocker::storage::test
