// mydocker-runtime in the place of runc: under Podman, under containerd's own shim, under Docker's engine.

#include <sys/mount.h>

#include <filesystem>
#include <regex>
#include <thread>

#include "engine/base/sys.h"
#include "tests/support/command.h"
#include "tests/support/image_builder.h"
#include "tests/support/programs.h"
#include "tests/support/requirements.h"
#include "tests/support/surroundings.h"

namespace mydocker::test {
namespace {

using Words = std::vector<std::string>;

/// Another engine with roots of its own whose containers run by our runtime. The last assertion is that neither cgroups
/// nor processes nor the runtime's state are left.
class DropInTest : public ::testing::Test {
 protected:
  void SetUp() override {
    REQUIRE_ROOT();
    REQUIRE_NAMESPACES();
    enter_private_namespaces();
    // Other engines keep locks there by fixed names.
    ASSERT_EQ(::mount("tmpfs", "/dev/shm", "tmpfs", 0, nullptr), 0);
    surroundings_ = std::make_unique<Surroundings>();
    // What they write into /etc (keys) goes with the test.
    make_dirs(path("etc"));
    make_dirs(path("etc.work"));
    const std::string layers = concat("lowerdir=/etc,upperdir=", path("etc"), ",workdir=", path("etc.work"));
    ASSERT_EQ(::mount("overlay", "/etc", "overlay", 0, layers.c_str()), 0);
    write_all(open_file(path("base.tar"), O_WRONLY | O_CREAT, 0644).get(), base_layer());
  }
  void TearDown() override {
    if (!surroundings_) return;
    if (daemon_) {
      daemon_->kill(SIGTERM);
      daemon_->wait();
    }
    for (int round = 0; round < 200 && !leftovers().empty(); ++round) {
      std::this_thread::sleep_for(std::chrono::milliseconds(25));
    }
    EXPECT_EQ(leftovers(), "");
    unmount_all();
    ::umount2("/etc", MNT_DETACH);
    ::umount2("/dev/shm", MNT_DETACH);
    surroundings_.reset();
  }

  std::string path(const std::string& name) const { return surroundings_->root() + "/" + name; }
  const std::string& cgroup_parent() const { return surroundings_->cgroup_parent(); }
  std::string runtime() const { return program("mydocker-runtime"); }
  CommandOptions options() const {
    return {.environment = {"MYDOCKER_TEST=" + cgroup_parent(), "DOCKER_HOST=unix://" + path("engine.sock"),
                            "HOME=" + path("")}};
  }
  CommandResult call(Words words, const std::string& input = "") {
    CommandOptions with = options();
    with.input = input;
    return run_command(std::move(words), with);
  }
  /// Cgroups of containers; Podman keeps one of its own for its monitors.
  std::string leftovers() {
    return std::regex_replace(list_cgroups(cgroup_parent()), std::regex("[^\n]*/conmon\n"), "");
  }
  /// The one file of that name below our parent in the hierarchy, Podman's monitor apart.
  std::string cgroup_value(const std::string& hierarchy, const std::string& file) {
    std::error_code ignored;
    for (const std::string& top : {"/sys/fs/cgroup/" + hierarchy, std::string("/sys/fs/cgroup")}) {
      for (const auto& entry : std::filesystem::recursive_directory_iterator(top + cgroup_parent(), ignored)) {
        if (entry.path().filename() == file && entry.path().parent_path().filename() != "conmon") {
          std::string value = read_file(entry.path().string());
          if (entry.path().parent_path() != top + cgroup_parent()) return value.substr(0, value.find('\n'));
        }
      }
    }
    return "";
  }
  bool on_v1() const { return std::filesystem::exists("/sys/fs/cgroup/memory/memory.limit_in_bytes"); }
  std::string memory_limit() {
    return on_v1() ? cgroup_value("memory", "memory.limit_in_bytes") : cgroup_value("", "memory.max");
  }
  /// Starts the daemon, whose output goes to a file, and waits until it answers on engine.sock.
  void start_engine(const Words& words) {
    Words all{"sh", "-c", "exec \"$@\" >" + path("engine.log") + " 2>&1", "sh"};
    all.insert(all.end(), words.begin(), words.end());
    daemon_ = std::make_unique<RunningCommand>(std::move(all), options());
    for (int attempt = 0; attempt < 1200; ++attempt) {
      try {
        connect_unix(path("engine.sock"), SOCK_STREAM);
        return;
      } catch (const Error&) {
        std::this_thread::sleep_for(std::chrono::milliseconds(25));
      }
    }
    FAIL() << "the daemon does not answer: " << read_file(path("engine.log"));
  }

 private:
  void unmount_all() {
    const std::string mounts = read_file("/proc/self/mounts");
    const std::regex line("\\S+ (" + surroundings_->root() + "\\S*) .*");
    for (std::sregex_iterator i(mounts.begin(), mounts.end(), line); i != std::sregex_iterator(); ++i) {
      ::umount2((*i)[1].str().c_str(), MNT_DETACH);
    }
  }

  std::unique_ptr<Surroundings> surroundings_;
  std::unique_ptr<RunningCommand> daemon_;
};

// --- Podman --------------------------------------------------------------------------------------------------------

class PodmanTest : public DropInTest {
 protected:
  void SetUp() override {
    REQUIRE_PROGRAM("podman");
    DropInTest::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    make_dirs(path("tmp"));
    ASSERT_EQ(podman({"import", "-q", path("base.tar"), "base"}).code, 0);
  }
  CommandResult podman(Words words, const std::string& input = "") {
    Words all{"podman",           "--root", path("storage"),    "--runroot", path("run"), "--tmpdir", path("tmp"),
              "--events-backend", "none",   "--cgroup-manager", "cgroupfs",  "--runtime", runtime()};
    all.insert(all.end(), words.begin(), words.end());
    return call(std::move(all), input);
  }
  /// Limits given, so that no default asks for more than this process may set.
  CommandResult podman_run(Words flags, const Words& command, const std::string& input = "") {
    Words all{"run",      "--network",        "none",     "--cgroup-parent", cgroup_parent(),
              "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"};
    all.insert(all.end(), flags.begin(), flags.end());
    all.emplace_back("base");
    all.insert(all.end(), command.begin(), command.end());
    return podman(std::move(all), input);
  }
};

TEST_F(PodmanTest, AContainerRunsToItsEnd) {
  const CommandResult result = podman_run({"--rm", "-i"}, {"sh", "-c", "cat; echo err >&2; exit 3"}, "input\n");
  EXPECT_EQ(result.code, 3);
  EXPECT_EQ(result.out, "input\n");
  EXPECT_EQ(result.err, "err\n");
  const CommandResult missing = podman_run({"--rm"}, {"nosuch"});
  EXPECT_EQ(missing.code, 127) << missing.err;
}

TEST_F(PodmanTest, ATerminalComesThroughTheConsoleSocket) {
  const CommandResult result = podman_run({"--rm", "-t"}, {"sh", "-c", "tty; exit 7"});
  EXPECT_EQ(result.code, 7);
  EXPECT_EQ(result.out, "/dev/pts/0\r\n");
}

TEST_F(PodmanTest, ARunningContainerIsExecutedPausedUpdatedMeasuredAndStopped) {
  ASSERT_EQ(podman_run({"-d", "--name", "one", "--memory", "50m", "--cpus", "0.5"}, {"sleep", "1000"}).code, 0);
  EXPECT_EQ(memory_limit(), "52428800");
  EXPECT_EQ(podman({"exec", "one", "sh", "-c", "echo inside; exit 4"}).code, 4);
  EXPECT_EQ(podman({"pause", "one"}).code, 0);
  EXPECT_EQ(podman({"inspect", "-f", "{{.State.Status}}", "one"}).out, "paused\n");
  EXPECT_EQ(podman({"unpause", "one"}).code, 0);
  const CommandResult stats = podman({"stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", "one"});
  EXPECT_NE(stats.out.find("/ 52.43MB 1"), std::string::npos) << stats.out << stats.err;
  EXPECT_EQ(podman({"stop", "-t", "0", "one"}).code, 0);
  EXPECT_EQ(podman({"inspect", "-f", "{{.State.ExitCode}}", "one"}).out, "137\n");
  EXPECT_EQ(podman({"rm", "one"}).code, 0);
}

// --- containerd ----------------------------------------------------------------------------------------------------

class ContainerdTest : public DropInTest {
 protected:
  void SetUp() override {
    REQUIRE_PROGRAM("containerd");
    REQUIRE_PROGRAM("ctr");
    DropInTest::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    make_dirs(path("rootfs"));
    ASSERT_EQ(call({"tar", "-xf", path("base.tar"), "-C", path("rootfs")}).code, 0);
    const std::string config = concat("version = 2\nroot = \"", path("containerd"), "\"\nstate = \"", path("state"),
                                      "\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", "
                                      "\"io.containerd.internal.v1.opt\"]\n[grpc]\naddress = \"",
                                      path("engine.sock"), "\"\n[ttrpc]\naddress = \"", path("ttrpc.sock"), "\"\n");
    write_all(open_file(path("config.toml"), O_WRONLY | O_CREAT, 0644).get(), config);
    start_engine({"containerd", "-c", path("config.toml")});
  }
  CommandResult ctr(const Words& words) {
    Words all{"ctr", "-a", path("engine.sock")};
    all.insert(all.end(), words.begin(), words.end());
    return call(std::move(all));
  }
  CommandResult ctr_run(const Words& flags, const std::string& id, const Words& command) {
    Words all{"run", "--rootfs", "--runc-binary", runtime(), "--cgroup", cgroup_parent() + "/" + id};
    all.insert(all.end(), flags.begin(), flags.end());
    all.insert(all.end(), {path("rootfs"), id});
    all.insert(all.end(), command.begin(), command.end());
    return ctr(all);
  }
};

TEST_F(ContainerdTest, AContainerRunsToItsEnd) {
  const CommandResult result = ctr_run({"--rm"}, "one", {"sh", "-c", "echo out; exit 3"});
  EXPECT_EQ(result.code, 3) << result.err;
  EXPECT_EQ(result.out, "out\n");
}

TEST_F(ContainerdTest, ATaskIsExecutedPausedMeasuredAndKilled) {
  const CommandResult started = ctr_run({"-d", "--memory-limit", "52428800"}, "two", {"sleep", "1000"});
  ASSERT_EQ(started.code, 0) << started.err;
  EXPECT_EQ(memory_limit(), "52428800");
  const CommandResult inside = ctr({"task", "exec", "--exec-id", "e1", "two", "sh", "-c", "echo inside; exit 4"});
  EXPECT_EQ(inside.code, 4) << inside.err;
  EXPECT_EQ(inside.out, "inside\n");
  EXPECT_EQ(ctr({"task", "pause", "two"}).code, 0);
  EXPECT_NE(ctr({"task", "ls"}).out.find("PAUSED"), std::string::npos);
  EXPECT_EQ(ctr({"task", "resume", "two"}).code, 0);
  EXPECT_NE(ctr({"task", "metrics", "two"}).out.find("memory"), std::string::npos);
  EXPECT_EQ(ctr({"task", "kill", "-s", "SIGKILL", "two"}).code, 0);
  CommandResult list;
  for (int attempt = 0; attempt < 400; ++attempt) {
    list = ctr({"task", "ls"});
    if (list.out.find("STOPPED") != std::string::npos) break;
  }
  EXPECT_NE(list.out.find("STOPPED"), std::string::npos) << list.out;
  EXPECT_EQ(ctr({"task", "rm", "two"}).code, 0);
  EXPECT_EQ(ctr({"container", "rm", "two"}).code, 0);
}

// --- dockerd -------------------------------------------------------------------------------------------------------

class DockerdTest : public DropInTest {
 protected:
  void SetUp() override {
    REQUIRE_PROGRAM("dockerd");
    REQUIRE_PROGRAM("docker");
    DropInTest::SetUp();
    if (HasFatalFailure() || IsSkipped()) return;
    start_engine({"dockerd", "-H", "unix://" + path("engine.sock"), "--data-root", path("data"), "--exec-root",
                  path("exec"), "--pidfile", path("pid"), "--iptables=false", "--bridge=none", "--cgroup-parent",
                  cgroup_parent(), "--add-runtime", "other=" + runtime(), "--default-runtime", "other"});
    if (HasFatalFailure()) return;
    const CommandResult imported = docker({"import", path("base.tar"), "base"});
    ASSERT_EQ(imported.code, 0) << imported.err;
  }
  CommandResult docker(Words words, const std::string& input = "") {
    words.insert(words.begin(), "docker");
    return call(std::move(words), input);
  }
  CommandResult docker_run(Words flags, const Words& command, const std::string& input = "") {
    Words all{"run", "--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"};
    all.insert(all.end(), flags.begin(), flags.end());
    all.emplace_back("base");
    all.insert(all.end(), command.begin(), command.end());
    return docker(std::move(all), input);
  }
};

TEST_F(DockerdTest, AContainerRunsToItsEnd) {
  const CommandResult result = docker_run({"--rm", "-i"}, {"sh", "-c", "cat; echo err >&2; exit 3"}, "input\n");
  EXPECT_EQ(result.code, 3);
  EXPECT_EQ(result.out, "input\n");
  EXPECT_EQ(result.err, "err\n");
  const CommandResult missing = docker_run({"--rm"}, {"nosuch"});
  EXPECT_EQ(missing.code, 127) << missing.err;
  EXPECT_NE(missing.err.find("executable file not found in $PATH"), std::string::npos) << missing.err;
}

TEST_F(DockerdTest, ATerminalComesThroughTheConsoleSocket) {
  RunningCommand terminal(Words{"docker", "run", "--rm", "-it", "--network", "none", "--ulimit", "nofile=1024:1024",
                                "--ulimit", "nproc=1024:1024", "base", "sh", "-c", "tty; exit 7"},
                          {.environment = options().environment, .terminal = true});
  const CommandResult result = terminal.wait();
  EXPECT_EQ(result.code, 7);
  EXPECT_NE(result.out.find("/dev/pts/0"), std::string::npos) << result.out;
}

TEST_F(DockerdTest, ARunningContainerIsExecutedPausedUpdatedMeasuredAndStopped) {
  ASSERT_EQ(docker_run({"-d", "--name", "one", "--memory", "50m"}, {"sleep", "1000"}).code, 0);
  EXPECT_EQ(docker({"inspect", "-f", "{{.HostConfig.Runtime}}", "one"}).out, "other\n");
  EXPECT_EQ(memory_limit(), "52428800");
  const CommandResult inside = docker({"exec", "one", "sh", "-c", "echo inside; exit 4"});
  EXPECT_EQ(inside.code, 4);
  EXPECT_EQ(inside.out, "inside\n");
  EXPECT_EQ(docker({"pause", "one"}).code, 0);
  EXPECT_EQ(docker({"inspect", "-f", "{{.State.Status}}", "one"}).out, "paused\n");
  EXPECT_EQ(docker({"unpause", "one"}).code, 0);
  const CommandResult updated = docker({"update", "--memory", "60m", "--memory-swap", "120m", "one"});
  EXPECT_EQ(updated.code, 0) << updated.err;
  EXPECT_EQ(memory_limit(), "62914560");
  EXPECT_NE(docker({"stats", "--no-stream", "--format", "{{.MemUsage}}", "one"}).out.find("/ 60MiB"),
            std::string::npos);
  EXPECT_NE(docker({"top", "one"}).out.find("sleep 1000"), std::string::npos);
  EXPECT_EQ(docker({"stop", "-t", "0", "one"}).code, 0);
  EXPECT_EQ(docker({"inspect", "-f", "{{.State.ExitCode}}", "one"}).out, "137\n");
  EXPECT_EQ(docker({"rm", "one"}).code, 0);
}

TEST_F(DockerdTest, AnOomKillIsTold) {
  // PID 1 outlives the victim: dockerd hears of the kill on a way of its own, which an end at once may overtake.
  ASSERT_EQ(docker_run({"-d", "--name", "hog", "--memory", "20m", "--memory-swap", "20m"},
                       {"sh", "-c", "/payload memhog 100; exec /payload pause"})
                .code,
            0);
  bool told = false;
  for (int attempt = 0; attempt < 400 && !told; ++attempt) {
    told = docker({"events", "--since", "1h", "--until", "0s", "--filter", "event=oom"}).out.find("oom") !=
           std::string::npos;
  }
  EXPECT_TRUE(told);
  EXPECT_EQ(docker({"kill", "hog"}).code, 0);
  EXPECT_EQ(docker({"inspect", "-f", "{{.State.ExitCode}} {{.State.OOMKilled}}", "hog"}).out, "137 true\n");
  EXPECT_EQ(docker({"rm", "hog"}).code, 0);
}

}  // namespace
}  // namespace mydocker::test
