#include "storage/container_layers.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <thread>

#include "engine/base/sys.h"
#include "tests/unit/storage/store_fixture.h"
#include "tests/unit/storage/tar_builder.h"

namespace mydocker::storage::test {
namespace {

class ContainerLayersTest : public StoreFixture {
 protected:
  void SetUp() override {
    StoreFixture::SetUp();
    if (IsSkipped()) return;
    containers = std::make_unique<ContainerLayers>(*store, paths, worker_options());
    image = add_layer(TarBytes()
                          .directory("etc")
                          .file("etc/passwd", "root:x:0:0::/:/bin/sh\n")
                          .directory("d")
                          .file("d/one", "1")
                          .file("d/two", "2")
                          .file("top", "t")
                          .finish());
    containers->create(id);
  }

  /// Does something as the container would.
  std::string inside(const std::string& script) { return run_in_stack(containers->mount(id, image.chain_id), script); }

  std::string listing() {
    std::string out;
    for (const Change& change : containers->changes(id, image.chain_id)) {
      out += concat("CAD"[static_cast<int>(change.kind)], " ", change.path, "\n");
    }
    return out;
  }

  template <typename Writer>
  std::string collect(Writer&& writer) {
    Pipe pipe = make_pipe();
    std::string out;
    std::thread reader([&] { out = read_all(pipe.read.get(), std::size_t{1} << 30, "pipe"); });
    writer(pipe.write.get());
    pipe.write.reset();
    reader.join();
    return out;
  }

  /// What GNU tar says is in the archive.
  std::string list(const std::string& tar) {
    root.write("out.tar", tar);
    return run({"tar", "-tf", root.path("out.tar")});
  }

  const std::string id = std::string(64, 'a');
  std::unique_ptr<ContainerLayers> containers;
  Layer image;
};

TEST_F(ContainerLayersTest, AFreshContainerHasChangedNothing) {
  EXPECT_EQ(listing(), "");
  EXPECT_EQ(containers->size_bytes(id), 0);
}

TEST_F(ContainerLayersTest, MountPointsAreThereWithoutAChange) {
  EXPECT_EQ(inside("ls -d proc sys dev/pts dev/shm etc/hosts etc/resolv.conf etc/hostname etc/passwd .dockerenv"),
            ".dockerenv\ndev/pts\ndev/shm\netc/hostname\netc/hosts\netc/passwd\netc/resolv.conf\nproc\nsys\n");
  EXPECT_EQ(listing(), "");
}

TEST_F(ContainerLayersTest, ChangesAreListedWithTheirParents) {
  inside("echo x >> d/one; rm d/two; mkdir new; echo y > new/file; chmod 600 etc/passwd");
  EXPECT_EQ(listing(), "C /d\nC /d/one\nD /d/two\nC /etc\nC /etc/passwd\nA /new\nA /new/file\n");
}

TEST_F(ContainerLayersTest, AReplacedDirectoryShowsWhatItLost) {
  inside("rm -r d; mkdir d; echo z > d/two; echo n > d/new");
  EXPECT_EQ(listing(), "C /d\nA /d/new\nD /d/one\nC /d/two\n");
}

TEST_F(ContainerLayersTest, ATouchedDirectoryIsAChangeAnUntouchedOneIsNot) {
  inside("chmod 700 d");
  EXPECT_EQ(listing(), "C /d\n");
}

TEST_F(ContainerLayersTest, SizeCountsAFileWithTwoNamesOnce) {
  inside("head -c 1000 /dev/zero > a; ln a b; ln -s a c");
  EXPECT_EQ(containers->size_bytes(id), 1001);
}

TEST_F(ContainerLayersTest, DiffTarUnpacksToTheSameTree) {
  inside(
      "rm d/two; rm -r etc; mkdir etc; echo e > etc/own; echo h > h1; ln h1 h2; mkfifo pipe; ln -s /x link;"
      "setfattr -n user.mark -v yes h1 2>/dev/null || true");
  const std::string tar = collect([&](int out) { containers->diff_tar(id, out); });
  EXPECT_EQ(list(tar), "d/\nd/.wh.two\netc/\netc/.wh..wh..opq\netc/own\nh1\nh2\nlink\npipe\n");

  const Layer committed = add_layer(tar, image.chain_id);
  OverlayMount stack;
  stack.lower = store->lower_dirs(committed.chain_id);
  EXPECT_EQ(run_in_stack(stack, "find . | LC_ALL=C sort; stat -c %h h1"),
            ".\n./d\n./d/one\n./etc\n./etc/own\n./h1\n./h2\n./link\n./pipe\n./top\n2\n");
}

TEST_F(ContainerLayersTest, ExportIsTheMergedView) {
  inside("rm d/two; echo mine > d/mine");
  const std::string tar = collect([&](int out) { containers->export_tar(id, image.chain_id, out); });
  EXPECT_EQ(list(tar),
            ".dockerenv\nd/\nd/mine\nd/one\ndev/\ndev/console\ndev/pts/\ndev/shm/\netc/\netc/hostname\netc/hosts\n"
            "etc/mtab\netc/passwd\netc/resolv.conf\nproc/\nsys/\ntop\n");
}

TEST_F(ContainerLayersTest, ExportWorksWithoutAnImage) {
  const std::string tar = collect([&](int out) { containers->export_tar(id, {}, out); });
  EXPECT_EQ(list(tar).substr(0, 12), ".dockerenv\nd");
}

TEST_F(ContainerLayersTest, LongNamesAndLargeIdsSurviveTheExport) {
  const std::string name(200, 'n');
  inside(concat("echo x > ", name, "; chown 3000000:4000000 ", name));
  const std::string tar = collect([&](int out) { containers->diff_tar(id, out); });
  const Layer layer = add_layer(tar);
  EXPECT_EQ(describe(in_tree(layer, name)), "file 0644 3000000:4000000 2");
}

TEST_F(ContainerLayersTest, SymlinksOfTheContainerLeadNowhere) {
  inside("rm -r etc; ln -s / etc; ln -s ../../../.. up");
  const std::string tar = collect([&](int out) { containers->export_tar(id, image.chain_id, out); });
  const std::string names = list(tar);
  EXPECT_NE(names.find("\netc\n"), std::string::npos);
  EXPECT_EQ(names.find("etc/"), std::string::npos);
}

TEST_F(ContainerLayersTest, ATreeDeeperThanAnyPathIsRefusedAndStillRemoved) {
  UniqueFd current = open_file(paths.upper(id), O_RDONLY | O_DIRECTORY);
  for (int level = 0; level < 1200; ++level) {
    ASSERT_EQ(::mkdirat(current.get(), "deep", 0755), 0);
    current = open_at(current.get(), "deep", O_RDONLY | O_DIRECTORY);
  }
  current.reset();
  EXPECT_THROW_ERROR(containers->changes(id, image.chain_id), ErrorKind::too_large, "path too long");
  containers->remove(id);
  containers.reset();
  store->recover();
  EXPECT_TRUE(leftovers().empty());
}

TEST_F(ContainerLayersTest, RemoveIsQuickAndComplete) {
  inside("mkdir -p a/b/c; echo x > a/b/c/d");
  containers->remove(id);
  EXPECT_FALSE(path_exists(paths.container(id)));
  containers->remove(id);
}

TEST_F(ContainerLayersTest, RecoverRemovesUnknownContainers) {
  const std::string other(64, 'b');
  containers->create(other);
  containers->recover({id});
  EXPECT_TRUE(path_exists(paths.upper(id)));
  EXPECT_FALSE(path_exists(paths.container(other)));
}

TEST_F(ContainerLayersTest, OddIdsNeverBecomePaths) {
  for (const char* bad : {"", "..", "../../etc", "abc", "/etc"}) {
    EXPECT_THROW_ERROR(containers->create(bad), ErrorKind::invalid_argument, "no container ID");
    EXPECT_THROW_ERROR(containers->remove(bad), ErrorKind::invalid_argument, "no container ID");
  }
}

TEST_F(ContainerLayersTest, ImagesOfManyLayersCanBeCompared) {
  Digest top = image.chain_id;
  for (int i = 0; i < 120; ++i) {
    top = add_layer(TarBytes().file(concat("layer", i), "x").finish(), top).chain_id;
  }
  EXPECT_TRUE(containers->changes(id, top).empty());
}

}  // namespace
}  // namespace mydocker::storage::test
