// A layer that went in comes out with the same digest, whoever wrote it (DESIGN 3.7); and what went in is on disk.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "engine/base/sys.h"
#include "tests/unit/storage/store_fixture.h"
#include "tests/unit/storage/tar_builder.h"

namespace mydocker::storage::test {
namespace {

class RoundTripTest : public StoreFixture {
 protected:
  /// A tree with everything that a tar can hold.
  std::string make_tree() {
    const std::string tree = root.path("tree");
    const std::string long_name(180, 'l');
    run({"sh", "-e", "-c",
         concat(
             "mkdir -p ", tree, "; cd ", tree, "; mkdir -p a/b/", long_name,
             "/deep; echo one > a/one; ln a/one a/two; ln -s ../a/one a/b/link; ln -s ", long_name, long_name,
             " a/b/long; head -c 100000 /dev/urandom > a/random; echo x > a/b/", long_name, "/deep/", long_name,
             "; mkfifo pipe; mknod null c 1 3; mknod disk b 8 0; echo su > su; chmod 4755 su; chown 1000:1000 a/one;",
             "chown 3000000:4000000 a/random; printf 'caf\\303\\251' > 'n\\303\\251e'; printf x > \"$(printf "
             "'bad\\377')\";",
             "touch -d '1969-12-31 23:00:00 UTC' a/old; touch -d '2040-01-01 00:00:00.123456789 UTC' a/new;",
             "truncate -s 10M sparse; printf begin | dd of=sparse conv=notrunc status=none;",
             "printf middle | dd of=sparse bs=1 seek=5000000 conv=notrunc status=none; : > empty")});
    EXPECT_EQ(::lsetxattr((tree + "/a/random").c_str(), "user.mark", "v", 1, 0), 0);
    return tree;
  }

  void expect_round_trip(const std::string& tar, const std::string& tree = {}) {
    const Layer layer = add_layer(tar);
    EXPECT_EQ(read_tar(layer.chain_id) == tar, true);
    if (tree.empty()) return;
    // tar's own comparison: content, owners, modes, times, links, devices.
    root.write("in.tar", tar);
    EXPECT_EQ(run({"sh", "-c",
                   concat("tar --compare -f ", root.path("in.tar"), " -C ", paths.layer_tree(layer.chain_id),
                          " 2>/dev/null || echo differs")}),
              "");
  }
};

TEST_F(RoundTripTest, GnuTarInItsOwnFormat) {
  const std::string tree = make_tree();
  expect_round_trip(run({"tar", "--format=gnu", "-cf", "-", "-C", tree, "."}), tree);
}

TEST_F(RoundTripTest, GnuTarInPaxFormatWithXattrs) {
  const std::string tree = make_tree();
  const std::string tar = run({"tar", "--format=pax", "--xattrs", "-cf", "-", "-C", tree, "."});
  expect_round_trip(tar, tree);
  EXPECT_EQ(xattr_of(in_tree(store->list().front(), "a/random"), "user.mark"), "v");
}

TEST_F(RoundTripTest, GnuTarWithOldSparseFiles) {
  const std::string tree = make_tree();
  expect_round_trip(run({"tar", "--format=gnu", "-S", "-cf", "-", "-C", tree, "."}), tree);
  struct stat status{};
  ASSERT_EQ(::lstat(in_tree(store->list().front(), "sparse").c_str(), &status), 0);
  EXPECT_EQ(status.st_size, 10 << 20);
  EXPECT_LT(status.st_blocks * 512, 1 << 20);
}

TEST_F(RoundTripTest, GnuTarWithEachPaxSparseVersion) {
  const std::string tree = make_tree();
  for (const char* version : {"0.0", "0.1", "1.0"}) {
    SCOPED_TRACE(version);
    expect_round_trip(
        run({"tar", "--format=pax", "-S", concat("--sparse-version=", version), "-cf", "-", "-C", tree, "."}), tree);
  }
}

TEST_F(RoundTripTest, UstarAndV7) {
  const std::string tree = root.path("small");
  run({"sh", "-c", concat("mkdir -p ", tree, "/d; echo x > ", tree, "/d/f; ln -s f ", tree, "/d/l")});
  for (const char* format : {"ustar", "v7", "oldgnu"}) {
    SCOPED_TRACE(format);
    expect_round_trip(run({"tar", concat("--format=", format), "-cf", "-", "-C", tree, "d"}), tree);
  }
}

TEST_F(RoundTripTest, UnusualBlockingAndConcatenation) {
  const std::string tree = make_tree();
  expect_round_trip(run({"tar", "-b", "2048", "-cf", "-", "-C", tree, "a"}));
  const std::string tar = TarBytes().file("x", "x").finish();
  expect_round_trip(tar + tar);
}

TEST_F(RoundTripTest, PythonsTarfile) {
  REQUIRE_PROGRAM("python3");
  const std::string tree = make_tree();
  for (const char* format : {"PAX_FORMAT", "GNU_FORMAT"}) {
    SCOPED_TRACE(format);
    expect_round_trip(
        run({"python3", "-c",
             concat("import tarfile,sys\nt=tarfile.open(fileobj=sys.stdout.buffer,mode='w|',format=tarfile.", format,
                    ")\nt.add('", tree, "','.')\nt.close()")}),
        tree);
  }
}

TEST_F(RoundTripTest, MembersThatReplaceOthers) {
  expect_round_trip(TarBytes()
                        .directory("d")
                        .file("d/x", "first content")
                        .file("d/y", "below a directory that goes")
                        .file("d/x", "second content")
                        .symlink("l", "d")
                        .file("l/z", "through a link")
                        .file("d", "a file now")
                        .directory("d")
                        .file("d/x", "third content")
                        .file("l", "no link any more")
                        .finish());
}

TEST_F(RoundTripTest, AbsurdPaddingAndContentOfNobody) {
  TarBytes members;
  RawHeader whiteout;
  whiteout.name = "d/.wh.x";
  whiteout.size = 1000;
  members.raw(whiteout, std::string(1000, 'w')).file("f", "content");
  expect_round_trip(members.finish() + std::string(1 << 20, '\xA5'));
}

TEST_F(RoundTripTest, BenignTwinsOfHostileArchivesAreAccepted) {
  const Layer layer = add_layer(TarBytes()
                                    .directory("./")
                                    .directory("./usr/")
                                    .directory("usr/lib")
                                    .symlink("lib", "usr/lib")
                                    .file("lib/libc.so", "c")  // through a link to a directory
                                    .hard_link("./usr/lib/libm.so", "/usr/lib/libc.so")  // absolute target
                                    .hard_link("usr/lib/libn.so", "lib/libc.so")         // target through the link
                                    .hard_link("usr/lib/libc.so", "usr/lib/libc.so")     // to itself
                                    .file("missing/parents/file", "p")
                                    .file("./twice", "1")
                                    .file("twice", "2")
                                    .symlink("etc/mtab", "/proc/mounts")
                                    .symlink("up", "../../outside")
                                    .pax({{"comment", "git archive"}}, 'g')
                                    .file("..hidden", "h")
                                    .file("a..b", "h")
                                    .finish());
  EXPECT_EQ(content_of(in_tree(layer, "usr/lib/libc.so")), "c");
  EXPECT_EQ(content_of(in_tree(layer, "usr/lib/libm.so")), "c");
  EXPECT_EQ(content_of(in_tree(layer, "usr/lib/libn.so")), "c");
  EXPECT_EQ(content_of(in_tree(layer, "missing/parents/file")), "p");
  EXPECT_EQ(content_of(in_tree(layer, "twice")), "2");
  EXPECT_EQ(describe(in_tree(layer, "up")), "symlink 0777 0:0 ../../outside");
  EXPECT_EQ(content_of(in_tree(layer, "..hidden")), "h");
  EXPECT_EQ(content_of(in_tree(layer, "a..b")), "h");
}

TEST_F(RoundTripTest, ADebianRootFileSystemOfTheHost) {
  expect_round_trip(run({"tar", "-cf", "-", "-C", "/", "etc", "usr/lib/x86_64-linux-gnu/perl-base"}));
}

}  // namespace
}  // namespace mydocker::storage::test
