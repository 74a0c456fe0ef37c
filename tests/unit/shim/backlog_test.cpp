#include "runtime/shim/backlog.h"

#include <gtest/gtest.h>

#include "tests/support/temp_tree.h"

namespace mydocker::shim {
namespace {

std::string make_pattern(std::size_t size, unsigned seed) {
  std::string out(size, '\0');
  for (char& byte : out) {
    seed = seed * 1664525 + 1013904223;
    byte = static_cast<char>(seed >> 24);
  }
  return out;
}

TEST(Backlog, BytesComeOutInOrderThroughMemoryAndFile) {
  const test::TempTree tree;
  Backlog backlog(tree.path());
  std::string expected;
  std::string got;
  for (unsigned round = 0; round < 200; ++round) {
    const std::string piece = make_pattern(1 + round * 311 % 50000, round);
    expected += piece;
    backlog.append(piece);
    for (std::size_t take = round * 977 % 40000; take > 0 && !backlog.empty();) {
      const std::string_view front = backlog.front().substr(0, take);
      ASSERT_FALSE(front.empty());
      got += front;
      take -= front.size();
      backlog.consume(front.size());
    }
  }
  while (!backlog.empty()) {
    got += backlog.front();
    backlog.consume(backlog.front().size());
  }
  EXPECT_EQ(got.size(), expected.size());
  EXPECT_TRUE(got == expected);
}

TEST(Backlog, TheFileHasNoName) {
  const test::TempTree tree;
  Backlog backlog(tree.path());
  backlog.append(std::string(1 << 20, 'x'));
  EXPECT_EQ(backlog.size_bytes(), 1U << 20);
  EXPECT_EQ(tree.listing(), test::TempTree{}.listing());
}

TEST(Backlog, WithoutADirectoryItStaysInMemory) {
  Backlog backlog("");
  backlog.append(std::string(300000, 'a'));
  backlog.append("b");
  EXPECT_EQ(backlog.size_bytes(), 300001U);
  EXPECT_EQ(backlog.front().back(), 'b');
}

}  // namespace
}  // namespace mydocker::shim
