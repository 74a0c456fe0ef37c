// What two hundred containers leave behind: nothing.

#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class LeakTest : public DaemonTest {};

TEST_F(LeakTest, TwoHundredRunsLeaveNothing) {
  for (int i = 0; i < 200; ++i) {
    const CommandResult result =
        mydocker({"run", "--rm", "--cpus=0.5", "--memory=100m", "payload", "/payload", "exit", "0"});
    ASSERT_EQ(result.code, 0) << i << ": " << result.err;
  }
  EXPECT_EQ(client().get("/containers/json?all=1").body, "[]\n");
  // TearDown compares descriptors, mounts, links, cgroups, rules, sockets, files and processes.
}

TEST_F(LeakTest, FailedStartsLeaveNothing) {
  for (int i = 0; i < 30; ++i) {
    EXPECT_EQ(mydocker({"run", "--rm", "-p", "18070:80", "payload", "/nosuch"}).code, 127);
  }
  EXPECT_EQ(client().get("/containers/json?all=1").body, "[]\n");
}

TEST_F(LeakTest, ExecsLeaveNothing) {
  const std::string id = run();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(exec(id, {"/payload", "exit", "0"}).code, 0);
  remove(id);
}

}  // namespace
}  // namespace mydocker::test
