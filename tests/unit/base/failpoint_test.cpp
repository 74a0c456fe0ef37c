#include "engine/base/failpoint.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>

#include "tests/support/requirements.h"

namespace mydocker {
namespace {

// The table is read once for each process: death tests give every case a process of its own.
int pass(const char* setting, const char* name, int passes = 1) {
  ::setenv("MYDOCKER_FAILPOINTS", setting, 1);
  try {
    for (int i = 0; i < passes; ++i) failpoint(name);
  } catch (const Error& error) {
    return error.errno_value() == ENOSPC ? 28 : 1;
  }
  return 0;
}

class FailpointDeathTest : public testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(FailpointDeathTest, WithoutTheVariableNothingHappens) {
  EXPECT_EXIT(::_exit(pass("", "a")), testing::ExitedWithCode(0), "");
}
TEST_F(FailpointDeathTest, AnotherNameIsNotTouched) {
  EXPECT_EXIT(::_exit(pass("b=error", "a")), testing::ExitedWithCode(0), "");
}
TEST_F(FailpointDeathTest, ErrorThrows) {
  EXPECT_EXIT(::_exit(pass("b=kill,a=error", "a")), testing::ExitedWithCode(1), "");
}
TEST_F(FailpointDeathTest, NospaceIsADiskFull) {
  EXPECT_EXIT(::_exit(pass("a=nospace", "a")), testing::ExitedWithCode(28), "");
}
TEST_F(FailpointDeathTest, KillIsSigkill) {
  EXPECT_EXIT(::_exit(pass("a=kill", "a")), testing::KilledBySignal(SIGKILL), "");
}
TEST_F(FailpointDeathTest, ANumberNamesThePass) {
  EXPECT_EXIT(::_exit(pass("a=error@3", "a", 2)), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(::_exit(pass("a=error@3", "a", 3)), testing::ExitedWithCode(1), "");
}
TEST_F(FailpointDeathTest, DelayWaits) {
  EXPECT_EXIT(
      {
        const auto begin = std::chrono::steady_clock::now();
        pass("a=delay:30", "a");
        ::_exit(std::chrono::steady_clock::now() - begin >= std::chrono::milliseconds(30) ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace mydocker
