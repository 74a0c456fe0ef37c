#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/command.h"
#include "tests/support/engine_process.h"
#include "tests/support/http_client.h"
#include "tests/support/image_builder.h"
#include "tests/support/programs.h"
#include "tests/support/relay.h"
#include "tests/support/requirements.h"
#include "tests/support/surroundings.h"

namespace mydocker::test {

/// What a test asks of a container; `extra` and `host` are merged into the create body as they are.
struct ContainerOptions {
  std::string image = "payload";
  std::vector<std::string> command = {"/payload", "pause"};
  std::string name = {};
  json::object extra = {};  ///< top level: Env, Tty, OpenStdin, User ...
  json::object host = {};   ///< HostConfig; NetworkMode is "none" unless it says otherwise
};

/// The fixture of every integration test: a real engine in namespaces of its own with the payload image loaded. Its
/// last assertion is that nothing of what the test did is left: see expect_no_leaks().
class DaemonTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  /// Flags and environment of the engine; overridden by suites that want others.
  virtual std::vector<std::string> engine_flags() { return {}; }
  virtual std::vector<std::string> engine_environment() { return {}; }

  EngineProcess& engine() { return *engine_; }
  const HttpClient& client() { return *client_; }
  /// Between the engine and the clients that are programs.
  Relay& relay() { return *relay_; }
  const std::string& root() { return surroundings_->root(); }
  const Surroundings& surroundings() { return *surroundings_; }
  /// A path for the test's own files; it goes with the test and is no leak.
  std::string scratch(const std::string& name);

  /// Loads an image through the API.
  void load(const ImageSpec& spec);
  /// POST /containers/create; fails the test unless 201.
  std::string create(const ContainerOptions& options = {});
  void start(const std::string& id);
  /// create and start.
  std::string run(const ContainerOptions& options = {});
  /// Waits for its end; gives the exit code.
  int wait(const std::string& id);
  void remove(const std::string& id);
  json::value inspect(const std::string& id);
  /// A value inside a JSON document by a path such as "State.Pid" or "Mounts.0.Source"; null when there is none.
  static json::value at(const json::value& value, std::string_view path);
  static std::string text(const json::value& value);
  pid_t pid_of(const std::string& id);
  /// Both streams of the stored log.
  Demultiplexed logs(const std::string& id, const std::string& query = "");
  /// Runs to the end and gives what it printed.
  struct Outcome {
    int code = -1;
    std::string out;
    std::string err;
  };
  Outcome run_to_end(const ContainerOptions& options);
  Outcome exec(const std::string& id, const std::vector<std::string>& command, json::object extra = {});
  /// Until the container's stdout holds "ready\n".
  void wait_ready(const std::string& id);

  /// `mydocker ARGUMENTS...` and `docker ARGUMENTS...` against this engine.
  CommandResult mydocker(std::vector<std::string> arguments, CommandOptions options = {});
  CommandResult docker(std::vector<std::string> arguments, CommandOptions options = {});
  /// The environment in which either client finds this engine: through the relay, which judges what it answers.
  std::vector<std::string> client_environment();

  /// Waits at most `timeout` until the condition holds; for facts that no event tells.
  static bool eventually(const std::function<bool()>& condition,
                         std::chrono::milliseconds timeout = std::chrono::seconds(10));
  /// Containers are removed, then all that the engine holds must be what it held before the test.
  void expect_no_leaks();
  /// The images of the test become part of "before".
  void take_snapshot();

 private:
  std::unique_ptr<Surroundings> surroundings_;
  std::unique_ptr<EngineProcess> engine_;
  std::unique_ptr<HttpClient> client_;
  std::unique_ptr<Relay> relay_;
  std::optional<LeakSnapshot> before_;
};

}  // namespace mydocker::test
