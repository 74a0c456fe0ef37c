#include <fcntl.h>
#include <linux/audit.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <map>
#include <ostream>
#include <thread>

#include "engine/base/sys.h"
#include "runtime/seccomp.h"
#include "tests/integration/runtime_fixture.h"
#include "tests/support/patience.h"
#include "tests/support/temp_tree.h"

/// SECURITY section 4, E1 to E3 and H1, against mydocker-runtime; E4 to E8 are in runtime_escape_test.cpp, the others
/// in runtime_identity_test.cpp and runtime_hardening_test.cpp.
namespace mydocker::test {
namespace {

/// Exchanges two directory entries for as long as it lives.
class Swapper {
 public:
  Swapper(std::string a, std::string b)
      : thread_([this, a, b] {
          while (!stop_) {
            ::syscall(SYS_renameat2, AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE);
            ++rounds;
          }
        }) {}
  Swapper(const Swapper&) = delete;
  Swapper& operator=(const Swapper&) = delete;
  ~Swapper() {
    stop_ = true;
    thread_.join();
  }
  std::atomic<long> rounds = 0;

 private:
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

/// E1: below a directory that another program swaps against a link to a canary outside, mounts, devices, the working
/// directory, masked and read-only paths are made, in five times a hundred starts; whatever comes of them, the canary
/// and the mounts of the host do not change. (With open_in_root() replaced by a plain open the canary gets entries.)
struct Race {
  const char* name;
  void (*aim)(json::value& config, const std::string& source);
  friend void PrintTo(const Race& race, std::ostream* out) { *out << race.name; }
};

constexpr Race races[] = {
    {"mounts",
     [](json::value& config, const std::string& source) {
       add_mount(config, "/vol/dir/inner/deep/mnt", "tmpfs", "tmpfs", {});
       add_mount(config, "/vol/dir/file", "bind", source, {"bind"});
       add_mount(config, "/vol/dir/inner", "tmpfs", "tmpfs", {"tmpcopyup"});
     }},
    {"devices",
     [](json::value& config, const std::string&) {
       edit(config, "linux")["devices"] =
           json::array{json::object{{"path", "/vol/dir/dev/null"}, {"type", "c"}, {"major", 1}, {"minor", 3}},
                       json::object{{"path", "/vol/dir/pipe"}, {"type", "p"}, {"uid", 7}, {"gid", 7}}};
     }},
    {"workdir",
     [](json::value& config, const std::string&) {
       edit(config, "process")["cwd"] = "/vol/dir/work/below";
       edit(config, "process")["user"] = json::object{{"uid", 1000}, {"gid", 1001}};
     }},
    {"paths",
     [](json::value& config, const std::string&) {
       edit(config, "linux")["maskedPaths"] = json::array{"/vol/dir/inner", "/vol/dir/inner/file"};
       edit(config, "linux")["readonlyPaths"] = json::array{"/vol/dir", "/vol/dir/inner/deep"};
     }},
};

class RuntimeRaceTest : public RuntimeTest, public ::testing::WithParamInterface<Race> {
 protected:
  void run_races(int all_rounds, const std::vector<Race>& aims) {
    const int rounds = patient_rounds(all_rounds);
    const TempTree canary{{"inner/file", "canary\n"}, {"inner/deep/", ""}};
    make_dirs(rootfs() + "/vol/dir/inner");
    ASSERT_EQ(::symlink(canary.path().c_str(), (rootfs() + "/vol/link").c_str()), 0);
    const std::string before = list_tree(canary.path());
    json::value config = make_config("echo ran");
    const std::string source = write_file("source", "s");
    for (const Race& race : aims) race.aim(config, source);
    {
      const Swapper swapper(rootfs() + "/vol/dir", rootfs() + "/vol/link");
      for (int i = 0; i < rounds; ++i) EXPECT_NE(run(config).code, -1);  // -1: it hangs
      EXPECT_GT(swapper.rounds, rounds);
      EXPECT_EQ(list_tree(canary.path()), before);
    }
    // The benign twin: the same without the race.
    const std::string directory = rootfs() + "/vol/dir";
    const std::string link = rootfs() + "/vol/link";
    if (::unlink(link.c_str()) != 0) {  // the directory bears the link's name
      ASSERT_EQ(::unlink(directory.c_str()), 0);
      ASSERT_EQ(::rename(link.c_str(), directory.c_str()), 0);
    }
    const CommandResult twin = run(config);
    EXPECT_EQ(twin.out, "ran\n") << twin.err;
  }
};

TEST_P(RuntimeRaceTest, SwappedDirectoriesNeverLeadToTheHost) { run_races(100, {GetParam()}); }

INSTANTIATE_TEST_SUITE_P(Aims, RuntimeRaceTest, ::testing::ValuesIn(races),
                         [](const auto& race) { return std::string(race.param.name); });

TEST_F(RuntimeRaceTest, AllOfItAtOnceNeverLeadsToTheHost) { run_races(100, {std::begin(races), std::end(races)}); }

/// E1: special directories of the image that are links.
TEST_F(RuntimeTest, LinkedDirectoriesOfAnImageLeadNowhere) {
  const TempTree canary{{"inner/file", "canary\n"}};
  const std::string before = list_tree(canary.path());
  for (const char* name : {"dev", "proc", "sys", "etc", "tmp"}) {
    const std::string path = concat(rootfs(), "/", name);
    remove_tree(path);
    ASSERT_EQ(::symlink(canary.path().c_str(), path.c_str()), 0);
    json::value config = make_config("echo ran");
    edit(config, "process")["cwd"] = "/tmp/work";
    add_mount(config, "/etc/below", "tmpfs", "tmpfs", {});
    const CommandResult result = run(config);
    EXPECT_TRUE(result.code == 0 || result.code == 1) << name << result.err;
    EXPECT_EQ(list_tree(canary.path()), before) << name;
    ASSERT_EQ(::unlink(path.c_str()), 0);
    make_dirs(path);
  }
  EXPECT_EQ(run("echo ran").out, "ran\n");
}

/// E2: an entry point that is the runtime's own program, and a payload that opens every program for writing.
TEST_F(RuntimeTest, TheRuntimesProgramCannotBeOverwritten) {
  const std::string before = read_file(program("mydocker-runtime"));
  write_file("bundle/rootfs/self", "#!/proc/self/exe\n", 0755);
  const CommandResult self = run(make_config_for({"/self"}));
  EXPECT_NE(self.code, 0);
  json::value config = make_config_for({"/payload", "snoop"});
  for (const char* set : {"bounding", "effective", "permitted"}) {
    edit(config, "process", "capabilities")[set] = json::array{"CAP_DAC_OVERRIDE"};
  }
  start(config);
  for (int i = 0; i < 20; ++i) {
    const CommandResult attack = runtime({"exec", "--cap", "CAP_SYS_ADMIN", "one", "/payload", "overwrite"});
    EXPECT_EQ(attack.out, "") << attack.err;
  }
  write_file("bundle/rootfs/stop", "");
  EXPECT_TRUE(eventually([&] { return output().ends_with("end 1\n"); })) << output();
  delete_forced();
  EXPECT_EQ(read_file(program("mydocker-runtime")), before);
  EXPECT_EQ(runtime({"list"}).code, 0);
}

/// E2, the worst case: the runtime's program is executed inside, stays there as long as the attacker likes (its log is
/// a FIFO), and the attacker may look into any process. It gets hold of the program, keeps it when the process is gone,
/// and still cannot write to it. (Without run_from_sealed_copy() it can.)
TEST_F(RuntimeTest, AHeldRuntimeProgramCannotBeWrittenTo) {
  json::value config = make_config_for({"/payload", "usurp"});
  for (const char* set : {"bounding", "effective", "permitted"}) {
    edit(config, "process", "capabilities")[set] = json::array{"CAP_DAC_OVERRIDE", "CAP_SYS_PTRACE"};
  }
  ASSERT_EQ(::mkfifo((rootfs() + "/fifo").c_str(), 0600), 0);
  write_file("bundle/rootfs/own", "#!/proc/self/exe --log=/fifo\n", 0755);
  start(config);
  ASSERT_TRUE(eventually([&] { return output().starts_with("ready\n"); }));
  RunningCommand own(runtime_words({"exec", "one", "/proc/self/exe", "--log", "/fifo", "frobnicate"}));
  RunningCommand interpreter(runtime_words({"exec", "one", "/own"}));
  EXPECT_TRUE(eventually([&] { return output().find("held\nheld\n") != std::string::npos; })) << output();
  {
    const UniqueFd reader(::open((rootfs() + "/fifo").c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
    for (RunningCommand* one : {&own, &interpreter}) {
      const CommandResult result = one->wait();
      EXPECT_NE(result.err.find("mydocker-runtime: unknown command"), std::string::npos) << result.err;
    }
  }
  write_file("bundle/rootfs/stop", "");
  ASSERT_TRUE(eventually([&] { return output().find("end held") != std::string::npos; }));
  EXPECT_NE(output().find(" wrote 0\n"), std::string::npos) << output();
  delete_forced();
}

/// E3: a hostile init that looks into each of 500 processes which enter sees nothing of them, and can trace none,
/// before their own program runs. (Without make_undumpable() it does.)
TEST_F(RuntimeTest, AnEnteringProcessCannotBeLookedInto) {
  start(make_config_for({"/payload", "snoop"}));
  ASSERT_TRUE(eventually([&] { return output() == "ready\n"; }));
  for (int i = 0; i < patient_rounds(250); ++i) EXPECT_EQ(exec("true").code, 0);
  write_file("bundle/rootfs/stop", "");
  ASSERT_TRUE(eventually([&] { return output().find("end ") != std::string::npos; }));
  EXPECT_EQ(output(), "ready\nend 1\n");  // it has looked, and seen nothing
  delete_forced();
}

TEST_F(RuntimeTest, AnEnteringProcessCannotBeTraced) {
  start(make_config_for({"/payload", "tracer"}));
  ASSERT_TRUE(eventually([&] { return output() == "ready\n"; }));
  for (int i = 0; i < patient_rounds(250); ++i) EXPECT_EQ(exec("true").code, 0);
  write_file("bundle/rootfs/stop", "");
  ASSERT_TRUE(eventually([&] { return output().find("end ") != std::string::npos; }));
  EXPECT_EQ(output(), "ready\nend 1\n");
  delete_forced();
}

/// H1: the calls that the table refuses are really refused in a container.
TEST_F(RuntimeTest, RefusedSystemCallsAreRefusedInside) {
  const runtime::CapabilityMask usual = runtime::capability_mask(runtime::make_default_capabilities());
  const runtime::Seccomp profile = runtime::make_default_seccomp(usual);
  const runtime::FilterProgram program = runtime::compile_seccomp(profile);
  const std::uint64_t arguments[6] = {};
  std::map<std::string, int> expected;
  json::value config = make_config_for({"/payload", "errnos"});
  json::array& words = config.at("process").at("args").as_array();
  for (std::uint32_t number = 0; number < 1024; ++number) {
    const std::uint32_t action = runtime::run_filter(program, AUDIT_ARCH_X86_64, number, arguments);
    if ((action & SECCOMP_RET_ACTION_FULL) != SECCOMP_RET_ERRNO) continue;
    if (number == 335 || number == 336) continue;  // uretprobe, uprobe: the kernel lets them by every filter
    words.push_back(json::string(std::to_string(number)));
    expected[std::to_string(number)] = static_cast<int>(action & SECCOMP_RET_DATA);
  }
  ASSERT_GT(expected.size(), 500U);
  edit(config, "linux")["seccomp"] = to_json(profile);
  const CommandResult result = run(config);
  ASSERT_EQ(result.code, 0) << result.err;
  std::map<std::string, int> seen;
  for (std::string text = result.out; !text.empty(); text.erase(0, text.find('\n') + 1)) {
    seen[text.substr(0, text.find(' '))] = std::stoi(text.substr(text.find(' ')));
  }
  EXPECT_EQ(seen, expected) << result.err;
}

}  // namespace
}  // namespace mydocker::test
