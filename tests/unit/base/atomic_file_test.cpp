#include "engine/base/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/requirements.h"
#include "tests/support/temp_tree.h"

namespace mydocker {
namespace {

using test::TempTree;

TEST(AtomicFile, TheNewContentReplacesTheOldWithItsMode) {
  const TempTree tree{{"file", "a much longer old content"}};
  write_file_atomically(tree.path("file"), "new", 0640);
  EXPECT_EQ(tree.read("file"), "new");
  struct ::stat status{};
  ASSERT_EQ(::stat(tree.path("file").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640U);
}

TEST(AtomicFile, AFailureLeavesTheOldFileAndNothingElse) {
  const TempTree tree{{"file/not-a-file", "x"}};  // a directory cannot be replaced by a file
  const std::string before = tree.listing();
  EXPECT_THROW_ERROR(write_file_atomically(tree.path("file"), "new"), ErrorKind::internal, "write ");
  EXPECT_EQ(tree.listing(), before);
}

TEST(AtomicFile, AMissingDirectoryIsAnError) {
  const TempTree tree;
  EXPECT_THROW_ERROR(write_file_atomically(tree.path("no/file"), "x"), ErrorKind::internal, "No such file");
}

}  // namespace
}  // namespace mydocker
