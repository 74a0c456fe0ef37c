// Programs of others that speak the API by their own libraries: Debian's python3-docker and npm's dockerode. Each file
// of python/ and dockerode/ is a suite; it runs as a child against the fixture's engine.

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

struct Suite {
  std::string name;
  std::string file;
};

class SdkTest : public DaemonTest, public testing::WithParamInterface<Suite> {
 protected:
  static std::string directory(const std::string& library) { return build_directory() + "/tests/compat/" + library; }
  /// The suite's own report is the reason when it fails.
  void expect_passes(const std::vector<std::string>& command) {
    CommandOptions options{.environment = client_environment(), .timeout = std::chrono::minutes(3)};
    options.environment.emplace_back("PYTHONDONTWRITEBYTECODE=1");
    const CommandResult result = run_command(command, options);
    EXPECT_EQ(result.code, 0) << result.out << result.err;
    EXPECT_GT(relay().responses(), 10) << "the suite's traffic was not judged";
  }
};

std::string suite_name(const testing::TestParamInfo<Suite>& info) { return info.param.name; }

class PythonDockerTest : public SdkTest {
 protected:
  void SetUp() override {
    if (run_command({"/usr/bin/python3", "-c", "import docker"}).code != 0) {
      GTEST_SKIP() << "needs the Debian package python3-docker";
    }
    DaemonTest::SetUp();
  }
};

TEST_P(PythonDockerTest, Passes) {
  expect_passes(
      {"/usr/bin/python3", "-m", "unittest", "discover", "-v", "-s", directory("python"), "-p", GetParam().file});
}

INSTANTIATE_TEST_SUITE_P(Suites, PythonDockerTest,
                         testing::Values(Suite{"Containers", "test_containers.py"}, Suite{"Streams", "test_streams.py"},
                                         Suite{"Images", "test_images.py"},
                                         Suite{"CopyHealthAndEvents", "test_copy_health_events.py"},
                                         Suite{"VolumesAndSystem", "test_volumes_and_system.py"}),
                         suite_name);

class DockerodeTest : public SdkTest {
 protected:
  void SetUp() override {
    if (!path_exists(directory("dockerode") + "/node_modules/dockerode")) {
      GTEST_SKIP() << "needs the npm package dockerode";
    }
    DaemonTest::SetUp();
  }
};

TEST_P(DockerodeTest, Passes) {
  expect_passes({"node", "--test-concurrency=1", "--test", directory("dockerode") + "/" + GetParam().file});
}

INSTANTIATE_TEST_SUITE_P(Suites, DockerodeTest,
                         testing::Values(Suite{"Containers", "containers.test.js"},
                                         Suite{"CopyHealthAndEvents", "copy_health.test.js"},
                                         Suite{"ImagesAndSystem", "images.test.js"}),
                         suite_name);

}  // namespace
}  // namespace mydocker::test
