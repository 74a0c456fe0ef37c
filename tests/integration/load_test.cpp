// Many containers at once.

#include <atomic>
#include <set>
#include <thread>

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class LoadTest : public DaemonTest {
 protected:
  static long proportional_kib(pid_t pid) {
    const std::string rollup = read_file(concat("/proc/", pid, "/smaps_rollup"));
    return std::stol(rollup.substr(rollup.find("\nPss:") + 5));
  }
  static long resident_kib(pid_t pid) {
    const std::string status = read_file(concat("/proc/", pid, "/status"));
    return std::stol(status.substr(status.find("VmRSS:") + 6));
  }
};

TEST_F(LoadTest, AHundredContainersShareOneLowerLayer) {
  std::vector<std::string> ids;
  for (int i = 0; i < 100; ++i) ids.push_back(run({.host = {{"NetworkMode", "bridge"}}}));
  EXPECT_EQ(client().get("/containers/json").json().as_array().size(), 100U);
  std::set<std::string> lowers;
  std::set<std::string> addresses;
  long shims_kib = 0;
  for (const std::string& id : ids) {
    const json::value container = inspect(id);
    lowers.insert(text(at(container, "GraphDriver.Data.LowerDir")));
    addresses.insert(text(at(container, "NetworkSettings.IPAddress")));
    const std::string status = read_file(concat("/proc/", pid_of(id), "/status"));
    shims_kib += proportional_kib(std::stoi(status.substr(status.find("PPid:\t") + 6)));
  }
  EXPECT_EQ(lowers.size(), 1U) << *lowers.begin();
  EXPECT_EQ(addresses.size(), 100U);
  // One unpacked copy on disk, however many containers use it.
  const CommandResult trees = run_command({"sh", "-c", "ls -d " + engine().data_root() + "/layers/*/tree | wc -l"});
  EXPECT_EQ(trees.out, "1\n");
  EXPECT_LT(shims_kib / 100, 1024) << "KiB of each shim (proportional set size)";
  EXPECT_LT(resident_kib(engine().pid()), 40 * 1024) << "KiB resident in the engine with 100 containers";
}

TEST_F(LoadTest, AnIdleEngineIsSmall) {
  engine().restart();
  EXPECT_EQ(client().get("/info").status, 200);
  EXPECT_LT(resident_kib(engine().pid()), 20 * 1024);
}

TEST_F(LoadTest, EightThreadsOfRunsAllGetTheirOwnAnswer) {
  std::vector<std::jthread> threads;
  std::atomic<int> right = 0;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 5; ++i) {
        const std::string word = concat("answer-", t, "-", i);
        const CommandResult result = mydocker({"run", "--rm", "payload", "/payload", "echo", word});
        if (result.code == 0 && result.out == word + "\n") ++right;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(right.load(), 40);
}

}  // namespace
}  // namespace mydocker::test
