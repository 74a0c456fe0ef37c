// `cmake --install` puts everything where an engine that was not built here finds it.

#include <sys/stat.h>

#include <cstdlib>

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class InstallTest : public DaemonTest {};

TEST_F(InstallTest, TheInstalledEngineRunsTheBundledImage) {
  REQUIRE_PROGRAM("cmake");
  const std::string prefix = scratch("prefix");
  const CommandResult installed = run_command({"cmake", "--install", build_directory(), "--prefix", prefix});
  ASSERT_EQ(installed.code, 0) << installed.err;
  for (const char* name :
       {"mydockerd", "mydocker", "mydocker-tls", "mydocker-shim", "mydocker-worker", "mydocker-runtime"}) {
    struct ::stat status{};
    ASSERT_EQ(::stat((prefix + "/bin/" + name).c_str(), &status), 0) << name;
    EXPECT_EQ(status.st_mode & 07777, 0755U) << name;
  }
  EXPECT_TRUE(path_exists(prefix + "/lib/systemd/system/mydocker.service"));
  EXPECT_TRUE(path_exists(prefix + "/share/bash-completion/completions/mydocker"));
  engine().stop();
  ::setenv("MYDOCKER_BIN_DIR", (prefix + "/bin").c_str(), 1);
  engine().start();
  const CommandResult result = mydocker({"run", "--rm", "busybox:bundled", "echo", "installed"});
  EXPECT_EQ(result.out, "installed\n") << result.err;
  EXPECT_EQ(mydocker({"rmi", "busybox:bundled"}).code, 0);
  engine().stop();
  ::unsetenv("MYDOCKER_BIN_DIR");
  engine().start();
}

}  // namespace
}  // namespace mydocker::test
