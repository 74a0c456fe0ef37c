#pragma once

#include <algorithm>
#include <cctype>
#include <string>
#include <vector>

#include "tests/support/daemon_test.h"

/// The official docker client, unchanged, against our socket: the newest one on PATH and Debian's, where both exist.
namespace mydocker::test {

/// Every different docker client of this machine; "docker" when there is none, so that the tests can say so.
inline std::vector<std::string> find_docker_clients() {
  std::vector<std::string> out;
  for (const std::string& path : {find_program("docker"), std::string("/usr/bin/docker")}) {
    if (!find_program(path).empty() && (out.empty() || out[0] != path)) out.push_back(path);
  }
  if (out.empty()) out.emplace_back("docker");
  return out;
}

/// "Dockerversion2824" of the client's own words.
inline std::string docker_client_name(const testing::TestParamInfo<std::string>& info) {
  const CommandResult version =
      find_program(info.param).empty() ? CommandResult() : run_command({info.param, "--version"});
  std::string name = "None";
  for (const char c : version.out.substr(0, version.out.find(','))) {
    if (name == "None") name.clear();
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) name += c;
  }
  return name;
}

/// One case for each client: instantiate with ValuesIn(find_docker_clients()), docker_client_name.
class DockerClientTest : public DaemonTest, public testing::WithParamInterface<std::string> {
 protected:
  void SetUp() override {
    REQUIRE_PROGRAM(GetParam());
    DaemonTest::SetUp();
  }
  void TearDown() override {
    if (!IsSkipped() && !HasFailure()) EXPECT_GT(relay().responses(), 0) << "the client's traffic was not judged";
    DaemonTest::TearDown();
  }
  CommandResult docker(std::vector<std::string> arguments, CommandOptions options = {}) {
    arguments.insert(arguments.begin(), GetParam());
    options.environment = client_environment();
    return run_command(std::move(arguments), options);
  }
  RunningCommand docker_terminal(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), GetParam());
    return RunningCommand(std::move(arguments), {.environment = client_environment(), .terminal = true});
  }
};

}  // namespace mydocker::test
