#include <signal.h>
#include <unistd.h>

#include <cstdio>

#include "engine/base/sys.h"
#include "tests/support/requirements.h"
#include "tests/unit/shim/shim_fixture.h"

/// Probes under a real shim, without an engine.
namespace mydocker::test {
namespace {

class HealthCheckTest : public ShimTest {
 protected:
  static constexpr std::int64_t millisecond = 1'000'000;

  void set_probe(const std::string& script, std::int64_t interval_ms = 20) {
    runtime::HealthOptions health;
    health.process = make_exec("probe", script).process;
    health.interval_ns = interval_ms * millisecond;
    health.timeout_ns = 60'000 * millisecond;
    health.start_interval_ns = 5'000 * millisecond;
    health.retries = 2;
    config.health = health;
  }
  runtime::ShimEvent wait_probe() {
    runtime::ShimEvent event = wait_event("probe");
    EXPECT_TRUE(event.health && !event.health->log.empty());
    return event;
  }
};

TEST_F(HealthCheckTest, EachProbeIsToldAndJudged) {
  set_script("sleep 1000");
  set_probe("test -e /ok || { echo no; exit 3; }");
  run();
  EXPECT_EQ(shim.snapshot().health->status, "starting");
  runtime::ShimEvent event = wait_probe();
  EXPECT_EQ(event.exit_code, 3);
  EXPECT_EQ(event.exec_id.size(), 64U);
  EXPECT_EQ(event.health->status, "starting");
  EXPECT_EQ(event.health->log.at(0).output, "no\n");
  event = wait_probe();
  EXPECT_EQ(event.health->status, "unhealthy");
  EXPECT_EQ(event.health->failing_streak, 2);
  exec(make_exec("fix", "touch /ok"));
  do {
    event = wait_probe();
  } while (event.exit_code != 0);
  EXPECT_EQ(event.health->status, "healthy");
  EXPECT_EQ(event.health->failing_streak, 0);
  const runtime::ShimSnapshot snapshot = shim.snapshot();
  EXPECT_EQ(snapshot.health->status, "healthy");
  EXPECT_LE(snapshot.health->log.size(), 5U);
  EXPECT_TRUE(snapshot.execs.empty());  // the user has none
  shim.kill(SIGKILL);
  wait_exit();
}

TEST_F(HealthCheckTest, ATimeoutKillsTheWholeProbe) {
  set_script("sleep 1000");
  set_probe("echo begun; sleep 555 & wait");
  config.health->timeout_ns = 200 * millisecond;
  run();
  const runtime::ShimEvent event = wait_probe();
  EXPECT_EQ(event.exit_code, 137);
  EXPECT_EQ(event.health->log.at(0).exit_code, -1);
  EXPECT_EQ(event.health->log.at(0).output, "Health check exceeded timeout (200ms): begun\n");
  shim.kill(SIGKILL);
  wait_exit();
}

TEST_F(HealthCheckTest, WhenUnhealthyItIsKilledWithoutAnEngine) {
  set_script("sleep 1000");
  set_probe("exit 1");
  config.health->kill_when_unhealthy = true;
  run();
  const runtime::ExitRecord exit = wait_exit();
  EXPECT_EQ(exit.exit_code, 137);
  EXPECT_EQ(exit.signal_source, "health");
}

TEST_F(HealthCheckTest, APauseStopsTheProbes) {
  set_script("sleep 1000");
  set_probe("true");
  run();
  wait_probe();
  shim.pause();
  EXPECT_EQ(shim.snapshot().health->status, "unhealthy");
  const auto last = shim.snapshot().health->log.back().start_ns;
  EXPECT_EQ(shim.snapshot().health->log.back().start_ns, last);
  shim.unpause();
  while (shim.snapshot().health->status != "healthy") wait_probe();
  shim.kill(SIGKILL);
  wait_exit();
}

/// What a probe costs the shim and its child up to the program's own work: printed for people, judged by
/// `contrib/bench/run --health`.
TEST_F(HealthCheckTest, ItsPriceIsPrinted) {
  set_script("sleep 1000");
  set_probe("", 5);
  runtime::ExecRequest probe = make_exec("probe", "");
  probe.process.as_object()["args"] = json::array{"/bin/true"};
  config.health->process = probe.process;
  run();
  for (int i = 0; i < 20; ++i) wait_probe();
  const auto cpu_ticks = [&] {
    const std::string stat = read_file(concat("/proc/", shim.snapshot().shim_pid, "/stat"));
    long values[4] = {};
    std::sscanf(stat.c_str() + stat.rfind(')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld %ld %ld",
                &values[0], &values[1], &values[2], &values[3]);
    return values[0] + values[1] + values[2] + values[3];
  };
  const long before = cpu_ticks();
  constexpr int probes = 300;
  for (int i = 0; i < probes; ++i) wait_probe();
  const double ms =
      static_cast<double>(cpu_ticks() - before) * 1000 / static_cast<double>(::sysconf(_SC_CLK_TCK)) / probes;
  std::printf("a health probe: %.2f ms of CPU in shim and probe\n", ms);
  RecordProperty("microseconds", static_cast<int>(ms * 1000));
  EXPECT_LT(ms, 20);
  shim.kill(SIGKILL);
  wait_exit();
}

}  // namespace
}  // namespace mydocker::test
