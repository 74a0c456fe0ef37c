#include "runtime/user.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "engine/base/sys.h"
#include "tests/support/requirements.h"
#include "tests/support/temp_tree.h"

/// SECURITY I1 and I3: the table of users against uid, gid and groups or an error.
namespace mydocker::runtime {
namespace {

constexpr std::string_view passwd =
    "root:x:0:0:root:/root:/bin/sh\n"
    "\n"
    "broken line\n"
    "bad:x:notanumber:5::/:/bin/sh\n"
    "user:x:1000:1001::/home/user:/bin/sh\n"
    "user:x:0:0::/second:/bin/sh\n"
    "12345:x:7:7::/digits:/bin/sh\n"
    "crlf:x:1002:1002::/crlf:/bin/sh\r\n"
    "wrap:x:4294967296:0::/wrap:/bin/sh\n";
constexpr std::string_view group =
    "root:x:0:\n"
    "users:x:1001:\n"
    "audio:x:29:other,user\n"
    "video:x:44:user\n"
    "777:x:5:\n"
    "huge:x:99999999999:user\n";

Identity resolve(const std::string& user, const std::vector<std::string>& add = {}) {
  return resolve_identity_in(passwd, group, user, add);
}

struct GoodUser {
  const char* user;
  std::uint32_t uid;
  std::uint32_t gid;
  std::vector<std::uint32_t> groups;
};

TEST(User, TheTableOfValidUsers) {
  const GoodUser table[] = {
      {"", 0, 0, {0}},
      {"0", 0, 0, {0}},
      {"1", 1, 0, {0}},
      {"01", 1, 0, {0}},
      {"root", 0, 0, {0}},
      {"1000", 1000, 1001, {1001, 29, 44}},
      {"user", 1000, 1001, {1001, 29, 44}},
      {"user:", 1000, 1001, {1001, 29, 44}},
      {"user:root", 1000, 0, {0}},
      {"user:44", 1000, 44, {44}},
      {":audio", 0, 29, {29}},
      {"12345", 12345, 0, {0}},  // digits are never a name
      {"0:777", 0, 777, {777}},
      {"crlf", 1002, 1002, {1002}},
      {"2147483647", 2147483647, 0, {0}},
  };
  for (const GoodUser& row : table) {
    const Identity identity = resolve(row.user);
    EXPECT_EQ(identity.uid, row.uid) << row.user;
    EXPECT_EQ(identity.gid, row.gid) << row.user;
    EXPECT_EQ(identity.groups, row.groups) << row.user;
  }
}

TEST(User, TheTableOfRefusedUsers) {
  for (const char* user : {"-1", "+1", "2147483648", "4294967295", "4294967296", "18446744073709551616",
                           "1:99999999999", "1:-1", "nobody", "user:nogroup", "wrap", "bad"}) {
    EXPECT_THROW_ERROR(resolve(user), ErrorKind::invalid_argument, "");
  }
  EXPECT_THROW_ERROR(resolve("nobody"), ErrorKind::invalid_argument,
                     "unable to find user nobody: no matching entries in passwd file");
  EXPECT_THROW_ERROR(resolve("0:nogroup"), ErrorKind::invalid_argument,
                     "unable to find group nogroup: no matching entries in group file");
}

TEST(User, AddedGroupsComeByNameOrNumberAndOnce) {
  EXPECT_EQ(resolve("0", {"audio", "29", "5000"}).groups, (std::vector<std::uint32_t>{0, 29, 5000}));
  EXPECT_THROW_ERROR(resolve("0", {"nogroup"}), ErrorKind::invalid_argument, "nogroup");
  EXPECT_THROW_ERROR(resolve("0", {"2147483648"}), ErrorKind::invalid_argument, "range");
}

TEST(User, ALineWithANulIsNoEntry) {
  using namespace std::string_literals;
  const std::string file = "evil\0:x:0:0::/:/bin/sh\nevil:x:5:5::/:/bin/sh\n"s;
  EXPECT_EQ(resolve_identity_in(file, "", "evil", {}).uid, 5U);
}

TEST(User, HomeComesFromPasswd) {
  EXPECT_EQ(resolve("user").home, "/home/user");
  EXPECT_EQ(resolve("4711").home, "");
}

TEST(User, FilesMustBeRegularAndSmall) {
  const test::TempTree tree{{"a/etc/group", ""}, {"b/etc/group", ""}, {"c/etc/group", ""}, {"d/", ""}};
  ASSERT_EQ(::mkfifo(tree.path("a/etc/passwd").c_str(), 0644), 0);
  ASSERT_EQ(::symlink("passwd", tree.path("b/etc/passwd").c_str()), 0);
  const UniqueFd sparse = open_file(tree.path("c/etc/passwd"), O_CREAT | O_WRONLY, 0644);
  ASSERT_EQ(::ftruncate(sparse.get(), off_t{20} << 30), 0);
  for (const char* root : {"a", "b", "c"}) {
    const UniqueFd fd = open_file(tree.path(root), O_PATH | O_DIRECTORY);
    EXPECT_THROW_ERROR(resolve_identity(fd.get(), "root", {}), ErrorKind::invalid_argument, "");
  }
  const UniqueFd empty = open_file(tree.path("d"), O_PATH | O_DIRECTORY);
  EXPECT_EQ(resolve_identity(empty.get(), "5:6", {}).gid, 6U);  // without the files numbers still work
}

TEST(User, LinksStayInsideTheRoot) {
  const test::TempTree tree{{"root/etc/x", ""}, {"passwd", "victim:x:0:0::/:/bin/sh\n"}};
  ASSERT_EQ(::symlink("../../passwd", tree.path("root/etc/passwd").c_str()), 0);
  const UniqueFd fd = open_file(tree.path("root"), O_PATH | O_DIRECTORY);
  EXPECT_THROW_ERROR(resolve_identity(fd.get(), "victim", {}), ErrorKind::invalid_argument, "unable to find user");
}

}  // namespace
}  // namespace mydocker::runtime
