#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/tar_stream.h"
#include "engine/base/error.h"
#include "tests/support/requirements.h"
#include "tests/support/temp_tree.h"

namespace mydocker::cli {
namespace {

using test::TempTree;

std::string pack(const std::string& path, const std::string& name) {
  TarSource source(path, name, false);
  std::string out;
  for (std::string_view piece = source.next(); !piece.empty(); piece = source.next()) out += piece;
  return out;
}

void unpack(const std::string& tar, TarTarget target, std::size_t step) {
  for (std::size_t at = 0; at < tar.size(); at += step) target.feed(std::string_view(tar).substr(at, step));
  target.finish();
}

/// One header block, as a hostile archive would have it.
std::string entry(std::string name, char type, std::string link = "", std::string content = "") {
  std::string block(512, '\0');
  block.replace(0, name.size(), name);
  block.replace(100, 8, std::string("0000644\0", 8));
  char size[13];
  std::snprintf(size, sizeof size, "%011zo", content.size());
  block.replace(124, 12, std::string(size, 12));
  block[156] = type;
  block.replace(157, link.size(), link);
  block.replace(257, 6, std::string("ustar\0", 6));
  content.append((512 - content.size() % 512) % 512, '\0');
  return block + content;
}

TEST(Tar, WhatIsPackedComesOutAgain) {
  const std::string long_name(150, 'n');
  const TempTree from{{"d/a", "hello"}, {"d/sub/b", std::string(3000, 'x')}, {"d/empty/", ""}};
  from.write("d/" + long_name, "long");
  ::chmod(from.path("d/a").c_str(), 0750);
  ASSERT_EQ(::symlink("/etc/passwd", from.path("d/link").c_str()), 0);
  const std::string tar = pack(from.path("d"), "top");
  EXPECT_EQ(tar.size() % 512, 0U);
  for (const std::size_t step : {std::size_t{1}, std::size_t{511}, std::size_t{4096}}) {
    const TempTree to;
    unpack(tar, TarTarget(to.path(), "top", "new", Ownership::caller), step);
    EXPECT_EQ(to.read("new/a"), "hello");
    EXPECT_EQ(to.read("new/sub/b").size(), 3000U);
    EXPECT_EQ(to.read("new/" + long_name), "long");
    struct stat file{};
    ASSERT_EQ(::stat(to.path("new/a").c_str(), &file), 0);
    EXPECT_EQ(file.st_mode & 07777, 0750U);
    ASSERT_EQ(::lstat(to.path("new/link").c_str(), &file), 0);
    EXPECT_TRUE(S_ISLNK(file.st_mode));
    ASSERT_EQ(::stat(to.path("new/empty").c_str(), &file), 0);
    EXPECT_TRUE(S_ISDIR(file.st_mode));
  }
}

TEST(Tar, NothingIsWrittenOutside) {
  const TempTree outside{{"victim", "safe"}};
  const std::string victim = outside.path("victim");
  const auto attempt = [&](const std::string& tar) {
    const TempTree to{{"x/", ""}};
    try {
      unpack(tar, TarTarget(to.path("x"), "", "", Ownership::caller), 512);
    } catch (const Error&) {
      return;  // refused is as good as confined
    }
  };
  attempt(entry("../victim", '0', "", "evil"));
  attempt(entry("a/../../victim", '0', "", "evil"));
  attempt(entry(victim, '0', "", "evil"));
  attempt(entry("link", '2', outside.path()) + entry("link/victim", '0', "", "evil"));
  attempt(entry("link", '2', victim) + entry("link", '0', "", "evil"));
  attempt(entry("d", '5') + entry("d/l", '2', "..") + entry("d/l/../victim", '0', "", "evil"));
  attempt(entry("hard", '1', "../victim") + entry("hard", '0', "", "evil"));
  attempt(entry("hard", '1', victim) + entry("hard", '0', "", "evil"));
  EXPECT_EQ(outside.read("victim"), "safe");
  EXPECT_EQ(outside.listing(), TempTree({{"victim", "safe"}}).listing());
}

TEST(Tar, BrokenArchivesAreErrors) {
  const TempTree to;
  const auto feed = [&](const std::string& tar) { unpack(tar, TarTarget(to.path(), "", "", Ownership::caller), 100); };
  EXPECT_THROW_ERROR(feed(entry("a", '0', "", "content").substr(0, 520)), ErrorKind::invalid_argument,
                     "unexpected end");
  EXPECT_THROW_ERROR(feed(entry("PaxHeaders", 'x', "", "99 path=x\n") + entry("a", '0')), ErrorKind::invalid_argument,
                     "pax");
  std::string huge = entry("PaxHeaders", 'x');
  huge.replace(124, 12, std::string("77777777777\0", 12));
  EXPECT_THROW_ERROR(feed(huge), ErrorKind::invalid_argument, "too long");
}

TEST(Tar, AnotherTopNameIsRefused) {
  const TempTree to;
  EXPECT_THROW(unpack(entry("other", '0', "", "x"), TarTarget(to.path(), "top", "new", Ownership::caller), 512), Error);
}

}  // namespace
}  // namespace mydocker::cli
