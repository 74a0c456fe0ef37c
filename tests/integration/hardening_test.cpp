// SECURITY section 4 through the engine's API: who a container's processes are (I1 to I4), what they start with (H2,
// H4, H5), what they may ask of the kernel (H1). The same rules through mydocker-runtime alone:
// runtime_hardening_test.cpp.

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <thread>

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class HardeningTest : public DaemonTest {
 protected:
  /// The payload's image with this passwd and group.
  void load_with_users(const std::string& name, const std::string& passwd, const std::string& group) {
    load({.name = name,
          .layers = {base_layer(), TarBuilder().file("etc/passwd", passwd).file("etc/group", group).finish()},
          .config = {}});
    take_snapshot();
  }
  /// What an exec prints, or the error that its start answers.
  std::string exec_as(const std::string& id, const std::string& user) {
    const Response created =
        client().post("/containers/" + id + "/exec",
                      json::object{{"Cmd", json::array{"/payload", "id"}}, {"User", user}, {"AttachStdout", true}});
    if (created.status != 201) return created.message();
    const std::string exec_id = text(at(created.json(), "Id"));
    const Response started = client().post("/exec/" + exec_id + "/start", json::object{{"Detach", false}});
    return started.status == 200 ? demultiplex(started.body).out : started.message();
  }
};

struct UserRow {
  const char* user;
  const char* answer;  ///< what `id` prints, or words of the error
};

/// I1. The passwd has entries twice, names of digits, ids that wrap, a line with a NUL and one with a CR.
TEST_F(HardeningTest, UsersAreExactOrRefused) {
  constexpr char with_nul[] = "root:x:0:0:root:/root:/bin/sh\n\nbroken\nzero\0:x:0:0::/:/bin/sh\n";
  const std::string passwd = std::string(with_nul, sizeof with_nul - 1) +
                             "user:x:1000:1001::/home:/bin/sh\nuser:x:0:0::/:/bin/sh\n12345:x:7:7::/:/bin/sh\n"
                             "wrap:x:4294967296:0::/:/bin/sh\nminus:x:-1:0::/:/bin/sh\ncrlf:x:1002:1002::/:/bin/sh\r\n"
                             "zero:x:8:8::/:/bin/sh\n" +
                             std::string(70000, '#') + "\nlast:x:9:9::/:/bin/sh\n";
  load_with_users("users:latest", passwd,
                  "root:x:0:\nusers:x:1001:\naudio:x:29:user\nwheel:x:10:root\n777:x:5:\nwrap:x:4294967296:\n");
  const UserRow rows[] = {
      {"", "uid 0 gid 0 groups 0 10\n"},
      {"0", "uid 0 gid 0 groups 0 10\n"},
      {"1", "uid 1 gid 0 groups 0\n"},
      {"01", "uid 1 gid 0 groups 0\n"},
      {"user", "uid 1000 gid 1001 groups 29 1001\n"},
      {"user:", "uid 1000 gid 1001 groups 29 1001\n"},
      {":audio", "uid 0 gid 29 groups 29\n"},
      {"12345", "uid 12345 gid 0 groups 0\n"},
      {"0:777", "uid 0 gid 777 groups 777\n"},
      {"crlf", "uid 1002 gid 1002 groups 1002\n"},
      {"zero", "uid 8 gid 8 groups 8\n"},
      {"last", "uid 9 gid 9 groups 9\n"},
      {"2147483647", "uid 2147483647 gid 0 groups 0\n"},
      {"-1", "range 0-2147483647"},
      {"2147483648", "range 0-2147483647"},
      {"4294967295", "range 0-2147483647"},
      {"4294967296", "range 0-2147483647"},
      {"1:99999999999", "range 0-2147483647"},
      {"wrap", "unable to find user wrap"},
      {"minus", "unable to find user minus"},
      {"0:wrap", "unable to find group wrap"},
      {"user:grp", "unable to find group grp"},
      {":grp", "unable to find group grp"},
  };
  const std::string id = run({.image = "users"});
  for (const UserRow& row : rows) {
    const Outcome outcome =
        run_to_end({.image = "users", .command = {"/payload", "id"}, .extra = {{"User", row.user}}});
    const std::string entered = exec_as(id, row.user);
    if (std::string_view(row.answer).starts_with("uid ")) {
      EXPECT_EQ(outcome.out, row.answer) << row.user << outcome.err;
      EXPECT_EQ(entered, row.answer) << row.user;
    } else {
      EXPECT_NE(outcome.err.find(row.answer), std::string::npos) << row.user << ": " << outcome.out << outcome.err;
      EXPECT_NE(entered.find(row.answer), std::string::npos) << row.user << ": " << entered;
    }
  }
}

/// I2: the rights of a container, of an exec and of a health probe are the same fourteen, with nothing to inherit.
TEST_F(HardeningTest, RightsOfRunExecAndHealthProbesAreTheSame) {
  const std::string script = "grep -E '^(Groups|Cap|NoNewPrivs|Seccomp:)' /proc/self/status";
  const std::string rights =
      "CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\n"
      "CapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\n";
  for (const bool no_new_privileges : {false, true}) {
    const std::string expected =
        concat("Groups:\t0 \n", rights, "NoNewPrivs:\t", no_new_privileges ? 1 : 0, "\nSeccomp:\t2\n");
    json::object host;
    if (no_new_privileges) host["SecurityOpt"] = json::array{"no-new-privileges"};
    const std::string id = run(
        {.command = {"sh", "-c", script + "; /payload pause"},
         .extra = {{"Healthcheck", json::object{{"Test", json::array{"CMD-SHELL", script}}, {"Interval", 50000000}}}},
         .host = host});
    wait_ready(id);
    EXPECT_EQ(logs(id).out, expected + "ready\n");
    EXPECT_EQ(exec(id, {"sh", "-c", script}).out, expected);
    ASSERT_TRUE(eventually([&] { return text(at(inspect(id), "State.Health.Log.0.Output")) != "null"; }));
    EXPECT_EQ(text(at(inspect(id), "State.Health.Log.0.Output")), expected);
    remove(id);
  }
}

/// The most memory that the process has held since the last reset, in kB.
long peak_memory(pid_t pid) {
  const std::string status = read_file(concat("/proc/", pid, "/status"));
  return std::stol(status.substr(status.find("VmHWM:") + 6));
}

/// I3: passwd and group that would hang or exhaust whoever reads them: an error at once, and the engine stays small.
TEST_F(HardeningTest, HostileUserFilesNeitherHangNorExhaust) {
  const char* makers[] = {"mkfifo /etc/F", "mknod /etc/F c 1 5", "ln -s F /etc/F",
                          "dd if=/dev/null of=/etc/F bs=1 seek=21474836480 2>/dev/null", "mkdir /etc/F"};
  for (const char* file : {"passwd", "group"}) {
    for (std::string maker : makers) {
      while (maker.find('F') != std::string::npos) maker.replace(maker.find('F'), 1, file);
      // By numbers the first start needs neither file.
      const std::string id = run({.command = {"sh", "-c", concat("rm /etc/", file, "; ", maker, "; /payload pause")},
                                  .extra = {{"User", "0:0"}}});
      wait_ready(id);
      write_kernel_file(concat("/proc/", engine().pid(), "/clear_refs"), "5");
      const long before = peak_memory(engine().pid());
      std::chrono::steady_clock::duration best = std::chrono::hours(1);
      for (int i = 0; i < 5 && best >= std::chrono::seconds(1); ++i) {  // the machine may be busy for once
        const auto begin = std::chrono::steady_clock::now();
        const std::string answer = exec_as(id, "user:extra");
        best = std::min(best, std::chrono::steady_clock::now() - begin);
        EXPECT_NE(answer.find(concat("/etc/", file)), std::string::npos) << maker << ": " << answer;
      }
      EXPECT_LT(best, std::chrono::seconds(1)) << maker;
      EXPECT_LT(peak_memory(engine().pid()) - before, 8 * 1024) << maker;
      remove(id);
    }
  }
  const std::string id = run();
  EXPECT_EQ(exec_as(id, "user:extra"), "uid 1000 gid 2000 groups 2000\n");
}

/// I4: a thousand containers made at once by eight clients, each with its own words: none has another one's.
TEST_F(HardeningTest, NothingOfOneCreateAppearsInAnother) {
  constexpr int clients = 8;
  constexpr int each = 125;
  std::vector<std::vector<std::string>> ids(clients);
  std::vector<std::thread> threads;
  for (int who = 0; who < clients; ++who) {
    threads.emplace_back([&, who] {
      const HttpClient own(engine().socket());
      for (int i = 0; i < each; ++i) {
        const std::string mark = concat("mark-", who, "-", i, ".");
        const Response made = own.post(
            "/containers/create",
            json::object{
                {"Image", "payload"},
                {"Cmd", json::array{"/payload", "echo", mark}},
                {"Env", json::array{"MARK=" + mark, "ONLY_" + std::to_string(who) + "=" + mark}},
                {"Labels", json::object{{"mark", mark}, {"only" + mark, mark}}},
                {"HostConfig", json::object{{"NetworkMode", "none"}, {"Tmpfs", json::object{{"/" + mark, ""}}}}}});
        ids[static_cast<std::size_t>(who)].push_back(made.status == 201 ? text(at(made.json(), "Id")) : made.body);
      }
    });
  }
  for (std::thread& one : threads) one.join();
  std::set<std::string> seen;
  for (int who = 0; who < clients; ++who) {
    for (int i = 0; i < each; ++i) {
      const std::string& id = ids[static_cast<std::size_t>(who)][static_cast<std::size_t>(i)];
      ASSERT_TRUE(seen.insert(id).second) << id;
      const Response found = client().get("/containers/" + id + "/json");
      ASSERT_EQ(found.status, 200) << found.body;
      const std::string mark = concat("mark-", who, "-", i, ".");
      std::size_t own = 0;
      std::size_t all = 0;
      for (std::size_t at = 0; (at = found.body.find("mark-", at)) != std::string::npos; ++at) {
        ++all;
        if (found.body.compare(at, mark.size(), mark) == 0) ++own;
      }
      EXPECT_GE(own, 6U) << found.body;
      EXPECT_EQ(own, all) << found.body;
    }
  }
  for (const auto& list : ids) {
    for (const std::string& id : list) remove(id);
  }
}

/// H1 in a container of the engine's.
TEST_F(HardeningTest, SystemCallsAreJudgedByTheirArguments) {
  const std::string out = run_to_end({.command = {"/payload", "arguments"}}).out;
  for (const char* line : {"socket 26: errno 1\n", "socket 28: errno 1\n", "clone 10000000: errno 1\n",
                           "clone 20000: errno 1\n", "clone3 0: errno 38\n", "personality 40000: errno 1\n"}) {
    EXPECT_NE(out.find(line), std::string::npos) << line << out;
  }
  for (const char* line : {"socket 1: ok\n", "socket 2: ok\n", "clone 0: ok\n", "personality 8: ok\n"}) {
    EXPECT_NE(out.find(line), std::string::npos) << line << out;
  }
  // E7: the way to release_agent begins with one of them.
  EXPECT_EQ(run_to_end({.command = {"/payload", "cgroup-mount", "memory"}}).out, "unshare: errno 1\nmount: errno 1\n");
}

/// What a process sees of its own confinement (H2, H4, H5): a fact a line.
constexpr const char* inside =
    "/payload id; /payload caps; umask; pwd; echo oom $(cat /proc/self/oom_score_adj); /payload fds | wc -l; "
    "hides=yes; for p in /proc/acpi /proc/interrupts /proc/keys /proc/timer_list /proc/scsi /sys/firmware; do "
    "[ -n \"$( (ls -A $p/ || head -c 1 $p) 2>/dev/null)\" ] && hides=no; done; echo hides $hides; "
    "/payload writable /proc/sysrq-trigger /proc/sys/net /proc/irq /sys/fs/cgroup /sys/kernel | cut -d' ' -f1 | sort "
    "-u; "
    "(: > /made) 2>/dev/null && echo root; (: > /dev/shm/made) && echo shm; "
    "cut -d' ' -f5,6 /proc/self/mountinfo | grep -E '^/(proc|proc/sys|dev|dev/pts|dev/shm|dev/mqueue|sys)? '; "
    "echo $(cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range); "
    "[ -e /dev/kmsg ] && echo kmsg; /payload links; /payload mknod /dev/node 1 11";

struct Golden {
  std::string ids = "uid 0 gid 0 groups 0\n";
  std::string permitted = "00000000a80425fb";
  std::string bounding = "00000000a80425fb";
  std::string seccomp = "2";
  std::string confined = "hides yes\n";
  std::string root = "root\n";
  std::string root_mount = "/ rw,relatime\n";
  std::string kernel_mounts =  // in the order of their making
      "/sys ro,nosuid,nodev,noexec,relatime\n/proc/sys ro,nosuid,nodev,noexec,relatime\n";
  std::string devices;
  std::string node = "open: Operation not permitted\n";

  std::string text() const {
    return concat(ids, "CapInh:\t0000000000000000\nCapPrm:\t", permitted, "\nCapEff:\t", permitted, "\nCapBnd:\t",
                  bounding, "\nCapAmb:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t", seccomp, "\n0022\n/\noom 0\n3\n",
                  confined, root, "shm\n", root_mount,
                  "/proc rw,nosuid,nodev,noexec,relatime\n/dev rw,nosuid\n/dev/pts rw,nosuid,noexec,relatime\n"
                  "/dev/shm rw,nosuid,nodev,noexec,relatime\n/dev/mqueue rw,nosuid,nodev,noexec,relatime\n",
                  kernel_mounts, "0 0 2147483647\n", devices, "lo 127.0.0.1/8\n", node);
  }
};

class InsideTest : public HardeningTest {
 protected:
  void expect_inside(const Golden& golden, json::object host, json::object extra = {}) {
    const Outcome outcome =
        run_to_end({.command = {"sh", "-c", inside}, .extra = std::move(extra), .host = std::move(host)});
    EXPECT_EQ(outcome.out, golden.text()) << outcome.err;
  }
};

TEST_F(InsideTest, ADefaultContainer) { expect_inside({}, {}); }

TEST_F(InsideTest, APrivilegedContainer) {
  const std::string own = read_file("/proc/self/status");
  const std::string all = own.substr(own.find("CapBnd:\t") + 8, 16);
  expect_inside({.permitted = all,
                 .bounding = all,
                 .seccomp = "0",
                 .confined = "hides no\ndirectory\nfile\n",
                 .kernel_mounts = "/sys rw,nosuid,nodev,noexec,relatime\n",
                 .devices = "kmsg\n",
                 .node = "opened\n"},
                {{"Privileged", true}});
}

TEST_F(InsideTest, AContainerWithoutCapabilities) {
  const std::string none(16, '0');
  expect_inside({.permitted = none, .bounding = none, .node = "mknod: Operation not permitted\n"},
                {{"CapDrop", json::array{"ALL"}}});
}

TEST_F(InsideTest, AContainerOfAnOrdinaryUser) {
  expect_inside({.ids = "uid 1000 gid 1000 groups 1000 2000\n",
                 .permitted = std::string(16, '0'),
                 .root = "",
                 .node = "mknod: Permission denied\n"},
                {}, {{"User", "user"}});
}

TEST_F(InsideTest, AContainerWithAReadOnlyRoot) {
  expect_inside({.root = "", .root_mount = "/ ro,relatime\n"}, {{"ReadonlyRootfs", true}});
}

/// H4: the limits of SECURITY 6.3 and not those of whoever started the engine, whose own bound them where it lacks the
/// right to raise any.
TEST_F(HardeningTest, LimitsAreTheDocumentedOnes) {
  const std::map<int, std::pair<long, long>> expected = {{RLIMIT_NOFILE, {1024, 524288}},
                                                         {RLIMIT_NPROC, {-1, -1}},
                                                         {RLIMIT_CORE, {0, -1}},
                                                         {RLIMIT_MEMLOCK, {8 << 20, 8 << 20}},
                                                         {RLIMIT_STACK, {8 << 20, -1}}};
  const auto lower = [](long value, rlim_t bound) {
    if (bound == RLIM_INFINITY) return value;
    return value < 0 ? static_cast<long>(bound) : std::min(value, static_cast<long>(bound));
  };
  for (const auto& [resource, limits] : expected) {
    rlimit own{};
    ASSERT_EQ(::getrlimit(static_cast<__rlimit_resource>(resource), &own), 0);
    const std::string raised = concat(resource, " ", limits.first, " ", limits.second, "\n");
    const std::string bounded =
        concat(resource, " ", lower(limits.first, own.rlim_max), " ", lower(limits.second, own.rlim_max), "\n");
    const std::string out = run_to_end({.command = {"/payload", "limits"}}).out;
    EXPECT_TRUE(out.find(raised) != std::string::npos || out.find(bounded) != std::string::npos) << bounded << out;
  }
}

}  // namespace
}  // namespace mydocker::test
