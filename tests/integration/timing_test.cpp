// What has to do with time: throttling, phase timers.

#include <regex>

#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class TimingTest : public DaemonTest {};

TEST_F(TimingTest, ABusyLoopIsThrottledToHalfACpu) {
  const Outcome outcome = run_to_end(
      {.command = {"sh", "-c",
                   "/payload spin 2000; cat /sys/fs/cgroup/cpu/cpu.stat 2>/dev/null || cat /sys/fs/cgroup/cpu.stat"},
       .host = {{"NetworkMode", "none"}, {"NanoCpus", 500000000}}});
  const long cpu_ms = std::stol(outcome.out.substr(outcome.out.find(' ')));
  const long throttled = std::stol(outcome.out.substr(outcome.out.find("nr_throttled ") + 13));
  EXPECT_LE(cpu_ms, 1200) << "of 2000 ms by the clock";
  // A machine too busy to give it half a CPU has nothing to throttle.
  EXPECT_TRUE(throttled > 0 || cpu_ms < 900) << outcome.out;
}

TEST_F(TimingTest, EveryPhaseOfAStartIsTimed) {
  const std::string id = create({.host = {{"NetworkMode", "bridge"}}});
  const Response response = client().request("POST", "/containers/" + id + "/start", "", {{"X-Mydocker-Trace", "1"}});
  ASSERT_EQ(response.status, 204);
  const std::string timing = response.header("server-timing");
  EXPECT_TRUE(std::regex_search(timing, std::regex("[a-z_.]+;dur=[0-9]"))) << timing;
}

TEST_F(TimingTest, StopDoesNotWaitLongerThanItMust) {
  const std::string id = run();
  wait_ready(id);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(client().post("/containers/" + id + "/stop?t=10").status, 204);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(3));
}

TEST_F(TimingTest, AStuckContainerDoesNotHoldUpOthers) {
  const std::string deaf = run({.command = {"/payload", "ignore-term"}});
  wait_ready(deaf);
  HttpStream stopping = client().open("POST", "/containers/" + deaf + "/wait");
  RunningCommand stop({program("mydocker"), "stop", "-t", "30", deaf}, {.environment = client_environment()});
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(run_to_end({.command = {"/payload", "exit", "0"}}).code, 0);
  EXPECT_EQ(client().get("/containers/json").status, 200);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  EXPECT_EQ(client().post("/containers/" + deaf + "/kill").status, 204);
  EXPECT_EQ(stop.wait().code, 0);
}

}  // namespace
}  // namespace mydocker::test
