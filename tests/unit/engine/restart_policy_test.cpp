#include "engine/restart_policy.h"

#include <gtest/gtest.h>

#include "engine/base/error.h"

namespace mydocker::engine {
namespace {

using namespace std::chrono_literals;

ExitFacts facts(std::string policy, int exit_code) {
  return ExitFacts{.policy = std::move(policy),
                   .maximum_retries = 0,
                   .exit_code = exit_code,
                   .restart_count = 0,
                   .stopped_by_user = false};
}

TEST(RestartPolicy, OnFailureRestartsFailuresOnly) {
  EXPECT_TRUE(should_restart_after_exit(facts("on-failure", 1)));
  EXPECT_FALSE(should_restart_after_exit(facts("on-failure", 0)));
  EXPECT_TRUE(should_restart_after_exit(facts("always", 0)));
  EXPECT_FALSE(should_restart_after_exit(facts("no", 1)));
  EXPECT_FALSE(should_restart_after_exit(facts("", 1)));
}

TEST(RestartPolicy, RetriesRunOut) {
  ExitFacts last = facts("on-failure", 1);
  last.maximum_retries = 3;
  last.restart_count = 3;
  EXPECT_FALSE(should_restart_after_exit(last));
  last.restart_count = 2;
  EXPECT_TRUE(should_restart_after_exit(last));
}

TEST(RestartPolicy, AStopByTheUserEndsEveryPolicy) {
  for (const char* policy : {"always", "unless-stopped", "on-failure"}) {
    ExitFacts stopped = facts(policy, 1);
    stopped.stopped_by_user = true;
    EXPECT_FALSE(should_restart_after_exit(stopped)) << policy;
  }
}

TEST(RestartPolicy, AnEngineStartBringsBackWhatThePolicyWants) {
  ExitFacts stopped = facts("always", 0);
  stopped.stopped_by_user = true;
  EXPECT_TRUE(should_restart_at_engine_start(stopped, false));
  stopped.policy = "unless-stopped";
  EXPECT_FALSE(should_restart_at_engine_start(stopped, false));
  EXPECT_TRUE(should_restart_at_engine_start(facts("unless-stopped", 0), false));
  EXPECT_FALSE(should_restart_at_engine_start(facts("on-failure", 1), false));
  EXPECT_TRUE(should_restart_at_engine_start(facts("on-failure", 137), true));
}

TEST(RestartPolicy, BackOffDoublesToAMinuteAndForgetsAfterAStableRun) {
  EXPECT_EQ(next_backoff(0ms, 1s), 100ms);
  EXPECT_EQ(next_backoff(100ms, 1s), 200ms);
  EXPECT_EQ(next_backoff(51200ms, 1s), 60000ms);
  EXPECT_EQ(next_backoff(60000ms, 10s), 100ms);
}

TEST(RestartPolicy, ImpossiblePoliciesAreRefused) {
  EXPECT_THROW(check_restart_policy("sometimes", 0), Error);
  EXPECT_THROW(check_restart_policy("always", 3), Error);
  EXPECT_THROW(check_restart_policy("on-failure", -1), Error);
  EXPECT_NO_THROW(check_restart_policy("on-failure", 3));
}

}  // namespace
}  // namespace mydocker::engine
