#include "engine/base/path.h"

#include <gtest/gtest.h>

namespace mydocker {
namespace {

TEST(CleanPath, DotsAndDoubleSlashesVanishAndTheRootIsTheTop) {
  EXPECT_EQ(clean_path(""), "/");
  EXPECT_EQ(clean_path("/"), "/");
  EXPECT_EQ(clean_path("a//b/./c/"), "/a/b/c");
  EXPECT_EQ(clean_path("/a/../../../etc/passwd"), "/etc/passwd");
  EXPECT_EQ(clean_path("..."), "/...");
}

}  // namespace
}  // namespace mydocker
