// `mydocker` without an engine starts one, with all the default paths: in a mount namespace whose /run, /var/lib,
// /var/log and /etc are its own.

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class AutostartTest : public testing::Test {
 protected:
  void SetUp() override {
    REQUIRE_ROOT();
    REQUIRE_NAMESPACES();
    enter_private_namespaces();
    surroundings_.emplace();
  }

  /// Runs a script in which `mydocker` uses the default socket; engines that it starts end with it.
  CommandResult run(const std::string& script, const std::string& more_environment = "UNUSED=1") {
    const std::string set_up = R"(set -e
      mount -t tmpfs none /run; mount -t tmpfs none /var/lib; mount -t tmpfs none /var/log
      mkdir /run/etc /run/etc/upper /run/etc/work
      mount -t overlay -o lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work overlay /etc
      mkdir -p /etc/mydocker
      echo "{\"cgroup-parent\": \"$PARENT\"}" > /etc/mydocker/daemon.json
      set +e
    )";
    const std::string tear_down = R"(
      code=$?
      if [ -e /run/mydocker/mydockerd.pid ]; then
        engine=$(cat /run/mydocker/mydockerd.pid)
        kill $engine; while [ -e /proc/$engine ]; do sleep 0.02; done
      fi
      exit $code
    )";
    return run_command(
        {"unshare", "--mount", "sh", "-c", set_up + script + tear_down},
        {.environment = {"PARENT=" + surroundings_->cgroup_parent(), "MYDOCKER_TEST=" + surroundings_->cgroup_parent(),
                         "MYDOCKER=" + program("mydocker"), "DOCKER_HOST=", more_environment}});
  }

  std::optional<Surroundings> surroundings_;
};

TEST_F(AutostartTest, TheFirstCommandStartsAnEngineAndSaysSo) {
  const CommandResult result = run(R"(
    $MYDOCKER run --rm busybox:bundled echo from the started engine
    echo "second:" >&2
    $MYDOCKER ps -q
  )");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "from the started engine\n") << result.err;
  const std::size_t second = result.err.find("second:");
  ASSERT_NE(second, std::string::npos);
  EXPECT_NE(result.err.substr(0, second).find("no engine answers at unix:///run/mydocker.sock, starting"),
            std::string::npos)
      << result.err;
  EXPECT_EQ(result.err.find("starting", second), std::string::npos) << result.err;
}

TEST_F(AutostartTest, ManyCommandsAtOnceStartOneEngine) {
  const CommandResult result = run(R"(
    for i in 1 2 3 4 5; do $MYDOCKER ps -q & done; wait
    grep -lz "^MYDOCKER_TEST=$PARENT" $(grep -l '^mydockerd$' /proc/[0-9]*/comm 2>/dev/null | sed s/comm/environ/) | wc -l
  )");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "1\n") << result.err;
}

TEST_F(AutostartTest, ItCanBeForbidden) {
  const CommandResult result = run("$MYDOCKER ps", "MYDOCKER_AUTOSTART=0");
  EXPECT_EQ(result.code, 1) << result.out;
  EXPECT_NE(result.err.find("/run/mydocker.sock"), std::string::npos) << result.err;
  EXPECT_EQ(result.err.find("starting"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace mydocker::test
