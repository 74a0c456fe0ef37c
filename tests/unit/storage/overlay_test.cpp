// Whiteouts, opaque directories and attributes as a real overlay shows them.

#include "tests/unit/storage/store_fixture.h"
#include "tests/unit/storage/tar_builder.h"

namespace mydocker::storage::test {
namespace {

class OverlayTest : public StoreFixture {
 protected:
  /// Mounts the layers read-only and runs the script.
  std::string look(const Layer& top, const std::string& script) {
    OverlayMount stack;
    stack.lower = store->lower_dirs(top.chain_id);
    if (stack.lower.size() == 1) stack.lower.push_back(root.path("empty"));  // overlayfs wants two
    return run_in_stack(stack, script);
  }
  void SetUp() override {
    StoreFixture::SetUp();
    if (IsSkipped()) return;
    run({"mkdir", root.path("empty")});
    bottom = add_layer(TarBytes()
                           .directory("d")
                           .file("d/one", "1")
                           .file("d/two", "2")
                           .directory("d/sub")
                           .file("d/sub/three", "3")
                           .file("top", "t")
                           .finish());
  }
  Layer bottom;
};

TEST_F(OverlayTest, AWhiteoutHidesAFile) {
  const Layer top = add_layer(TarBytes().file("d/.wh.one", "").finish(), bottom.chain_id);
  EXPECT_EQ(look(top, "ls d"), "sub\ntwo\n");
}

TEST_F(OverlayTest, AWhiteoutHidesADirectory) {
  const Layer top = add_layer(TarBytes().file(".wh.d", "").finish(), bottom.chain_id);
  EXPECT_EQ(look(top, "ls"), "top\n");
}

TEST_F(OverlayTest, AnOpaqueDirectoryShowsOnlyItsOwn) {
  const Layer top =
      add_layer(TarBytes().directory("d").file("d/.wh..wh..opq", "").file("d/new", "n").finish(), bottom.chain_id);
  EXPECT_EQ(look(top, "ls d"), "new\n");
}

TEST_F(OverlayTest, AnOpaqueMarkAfterTheFilesKeepsThem) {
  const Layer top = add_layer(TarBytes().file("d/new", "n").file("d/.wh..wh..opq", "").finish(), bottom.chain_id);
  EXPECT_EQ(look(top, "ls d"), "new\n");
}

TEST_F(OverlayTest, AnOpaqueRootHidesAllLayersBelow) {
  const Layer top = add_layer(TarBytes().file(".wh..wh..opq", "").file("only", "o").finish(), bottom.chain_id);
  EXPECT_EQ(look(top, "ls"), "only\n");
  const Layer above = add_layer(TarBytes().file("more", "m").finish(), top.chain_id);
  EXPECT_EQ(look(above, "ls"), "more\nonly\n");
}

TEST_F(OverlayTest, ADirectoryThatReplacesALowerOneIsNotMergedWithIt) {
  for (const TarBytes& members : {TarBytes().file(".wh.d", "").directory("d").file("d/new", "n"),
                                  TarBytes().directory("d").file("d/new", "n").file(".wh.d", ""),
                                  TarBytes().file(".wh.d", "").file("d/new", "n")}) {
    const Layer top = add_layer(members.finish(), bottom.chain_id);
    EXPECT_EQ(look(top, "ls d"), "new\n");
  }
}

TEST_F(OverlayTest, AFileOfTheSameTarSurvivesItsWhiteout) {
  for (const TarBytes& members :
       {TarBytes().file(".wh.top", "").file("top", "new"), TarBytes().file("top", "new").file(".wh.top", "")}) {
    const Layer top = add_layer(members.finish(), bottom.chain_id);
    EXPECT_EQ(look(top, "cat top"), "new");
  }
}

TEST_F(OverlayTest, AFileReplacesADirectoryOfALowerLayer) {
  const Layer top = add_layer(TarBytes().file("d", "file").finish(), bottom.chain_id);
  EXPECT_EQ(look(top, "cat d"), "file");
}

TEST_F(OverlayTest, HardLinksAndDevicesShowThrough) {
  const Layer top =
      add_layer(TarBytes().file("a", "same").hard_link("b", "a").node("null", '3', 1, 3).node("pipe", '6').finish(),
                bottom.chain_id);
  EXPECT_EQ(look(top, "stat -c '%h %F' a null pipe; test a -ef b && echo same"),
            "2 regular file\n1 character special file\n1 fifo\nsame\n");
}

TEST_F(OverlayTest, CapabilitiesOfFilesShowThrough) {
  // cap_net_raw+ep, as `setcap` writes it (VFS_CAP_REVISION_2).
  const std::string capability("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 20);
  const Layer top =
      add_layer(TarBytes().pax({{"SCHILY.xattr.security.capability", capability}}).file("ping", "x", 0755).finish(),
                bottom.chain_id);
  EXPECT_EQ(xattr_of(in_tree(top, "ping"), "security.capability"), capability);
}

}  // namespace
}  // namespace mydocker::storage::test
