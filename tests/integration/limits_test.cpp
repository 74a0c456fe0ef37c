// Limits that the kernel enforces, read and felt from inside the container.

#include <optional>
#include <utility>

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

/// Reads a limit from the container's own view, whichever cgroup version holds the controller.
constexpr const char* read_limits = R"(
c=/sys/fs/cgroup
if [ -e $c/cpu.max ]; then cat $c/cpu.max; else echo $(cat $c/cpu/cpu.cfs_quota_us) $(cat $c/cpu/cpu.cfs_period_us); fi
if [ -e $c/memory.max ]; then cat $c/memory.max; else cat $c/memory/memory.limit_in_bytes; fi
if [ -e $c/pids.max ]; then cat $c/pids.max; else cat $c/pids/pids.max; fi)";

class LimitsTest : public DaemonTest {};

TEST_F(LimitsTest, TheContainerReadsItsLimitsFromItsOwnCgroupView) {
  const Outcome outcome = run_to_end(
      {.command = {"sh", "-c", read_limits},
       .host = {{"NetworkMode", "none"}, {"NanoCpus", 500000000}, {"Memory", 104857600}, {"PidsLimit", 64}}});
  EXPECT_EQ(outcome.out, "50000 100000\n104857600\n64\n") << outcome.err;
}

TEST_F(LimitsTest, AMemoryHogIsKilledAndTheFactIsTold) {
  HttpStream events = client().open("GET", "/events?filters=" + url_encode(R"({"event":["oom","die"]})"));
  const std::string id = run({.command = {"/payload", "memhog", "200"},
                              .host = {{"NetworkMode", "none"}, {"Memory", 33554432}, {"MemorySwap", 33554432}}});
  EXPECT_EQ(wait(id), 137);
  const json::value state = at(inspect(id), "State");
  EXPECT_EQ(at(state, "OOMKilled"), json::value(true)) << write_json(state);
  EXPECT_EQ(at(state, "ExitCode").to_number<int>(), 137);
  const std::optional<std::string> first = events.read_line();
  const std::optional<std::string> second = events.read_line();
  ASSERT_TRUE(first && second);
  EXPECT_EQ(text(at(parse_json(*first), "Action")), "oom");
  EXPECT_EQ(text(at(parse_json(*second), "Action")), "die");
}

TEST_F(LimitsTest, AKillWithoutAnOomIsNotCalledOne) {
  const std::string id = run({.host = {{"NetworkMode", "none"}, {"Memory", 33554432}}});
  EXPECT_EQ(client().post("/containers/" + id + "/kill").status, 204);
  EXPECT_EQ(at(inspect(id), "State.OOMKilled"), json::value(false));
}

TEST_F(LimitsTest, ThePidsLimitStopsForks) {
  const Outcome outcome =
      run_to_end({.command = {"/payload", "forkbomb", "100"}, .host = {{"NetworkMode", "none"}, {"PidsLimit", 20}}});
  EXPECT_EQ(outcome.out, "made 19\n");
}

TEST_F(LimitsTest, CpuSharesAndCpusetAreWritten) {
  const Outcome outcome =
      run_to_end({.command = {"sh", "-c",
                              "c=/sys/fs/cgroup; cat $c/cpu/cpu.shares 2>/dev/null || cat $c/cpu.weight; "
                              "cat $c/cpuset/cpuset.cpus 2>/dev/null || cat $c/cpuset.cpus; nproc"},
                  .host = {{"NetworkMode", "none"}, {"CpuShares", 512}, {"CpusetCpus", "0"}}});
  EXPECT_TRUE(outcome.out == "512\n0\n1\n" || outcome.out == "20\n0\n1\n") << outcome.out << outcome.err;
}

TEST_F(LimitsTest, ReservationAndSwapAreWritten) {
  const Outcome outcome = run_to_end(
      {.command = {"sh", "-c",
                   "c=/sys/fs/cgroup; cat $c/memory/memory.soft_limit_in_bytes 2>/dev/null || cat $c/memory.low"},
       .host = {{"NetworkMode", "none"}, {"Memory", 104857600}, {"MemoryReservation", 52428800}}});
  EXPECT_EQ(outcome.out, "52428800\n") << outcome.err;
}

TEST_F(LimitsTest, UlimitsAreSetAndADefaultOneNeverFails) {
  const Outcome asked =
      run_to_end({.command = {"/payload", "limits"},
                  .host = {{"NetworkMode", "none"},
                           {"Ulimits", json::array{json::object{{"Name", "nofile"}, {"Soft", 100}, {"Hard", 200}}}}}});
  EXPECT_NE(asked.out.find("7 100 200\n"), std::string::npos) << asked.out << asked.err;
  EXPECT_EQ(run_to_end({.command = {"/payload", "limits"}}).code, 0);
}

TEST_F(LimitsTest, AnUlimitBeyondWhatTheEngineMaySetIsRefused) {
  if (run_command({"sh", "-c", "ulimit -Hn 99999999"}).code == 0) GTEST_SKIP() << "needs a missing CAP_SYS_RESOURCE";
  const std::string id = create(
      {.host = {{"NetworkMode", "none"},
                {"Ulimits", json::array{json::object{{"Name", "nofile"}, {"Soft", 99999999}, {"Hard", 99999999}}}}}});
  const Response response = client().post("/containers/" + id + "/start");
  EXPECT_GE(response.status, 400);
  EXPECT_NE(response.message(), "");
}

/// A whole disk of the machine and its number: {"vda", "254:0"}. Any will do: the files are what is checked.
std::optional<std::pair<std::string, std::string>> find_disk() {
  const CommandResult disk =
      run_command({"sh", "-c", "lsblk -drno NAME,MAJ:MIN | grep -v -E '^(loop|zram|ram)' | head -1"});
  if (disk.out.empty()) return std::nullopt;
  const std::string name = disk.out.substr(0, disk.out.find(' '));
  const std::size_t digits = disk.out.find_first_of("0123456789", disk.out.find(' '));
  return std::pair(name, disk.out.substr(digits, disk.out.find('\n') - digits));
}

TEST_F(LimitsTest, BlockDeviceThrottlesReachTheKernelsFile) {
  const auto disk = find_disk();
  if (!disk) GTEST_SKIP() << "needs a block device";
  const json::array rate{json::object{{"Path", "/dev/" + disk->first}, {"Rate", 1048576}}};
  const Outcome outcome = run_to_end(
      {.command = {"sh", "-c",
                   "c=/sys/fs/cgroup; cat $c/blkio/blkio.throttle.write_bps_device 2>/dev/null || cat $c/io.max"},
       .host = {{"NetworkMode", "none"}, {"BlkioDeviceWriteBps", rate}}});
  EXPECT_NE(outcome.out.find(disk->second), std::string::npos) << outcome.out << outcome.err;
  EXPECT_NE(outcome.out.find("1048576"), std::string::npos) << outcome.out;
}

// On cgroup v1 the kernel's own threads write back what was buffered, in no container's name: the limit is kept in its
// file, and reads and direct writes heed it, but these writes do not (README). So this looks no further than the file.
TEST_F(LimitsTest, BufferedWritesUnderAV1ThrottleFindTheLimitInItsFile) {
  if (!path_exists("/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device")) GTEST_SKIP() << "needs cgroup v1";
  const auto disk = find_disk();
  if (!disk) GTEST_SKIP() << "needs a block device";
  const json::array rate{json::object{{"Path", "/dev/" + disk->first}, {"Rate", 1048576}}};
  const Outcome outcome = run_to_end({.command = {"sh", "-c",
                                                  "head -c 2097152 /dev/zero > /written && wc -c < /written && "
                                                  "cat /sys/fs/cgroup/blkio/blkio.throttle.write_bps_device"},
                                      .host = {{"NetworkMode", "none"}, {"BlkioDeviceWriteBps", rate}}});
  EXPECT_EQ(outcome.out, concat("2097152\n", disk->second, " 1048576\n")) << outcome.err;
}

}  // namespace
}  // namespace mydocker::test
