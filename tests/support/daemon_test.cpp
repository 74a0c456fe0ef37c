#include "tests/support/daemon_test.h"

#include <fcntl.h>

#include <charconv>
#include <cstdlib>
#include <iostream>
#include <regex>
#include <thread>

#include "engine/base/sys.h"
#include "tests/support/patience.h"

namespace mydocker::test {

void DaemonTest::SetUp() {
  REQUIRE_ROOT();
  REQUIRE_NAMESPACES();
  enter_private_namespaces();
  surroundings_ = std::make_unique<Surroundings>();
  make_dirs(root() + "/scratch");
  engine_ = std::make_unique<EngineProcess>(*surroundings_, engine_flags(), engine_environment());
  engine_->start();
  client_ = std::make_unique<HttpClient>(engine_->socket());
  relay_ = std::make_unique<Relay>(root() + "/relay.sock", engine_->socket());
  load(payload_image());
  if (HasFatalFailure()) return;
  // What the engine makes once and keeps (bridge, tables, connections to itself) is there after one container.
  const Outcome warm = run_to_end({.command = {"/payload", "exit", "0"}, .host = {{"NetworkMode", "bridge"}}});
  ASSERT_EQ(warm.code, 0) << warm.err << engine_->log();
  take_snapshot();
}

void DaemonTest::TearDown() {
  // Another engine can be put in the place of ours to check the tests themselves; it need not be as tidy.
  const bool judge_leaks = std::getenv("MYDOCKER_TEST_REFERENCE") == nullptr;
  if (judge_leaks && engine_ && engine_->running() && before_ && !HasFatalFailure()) expect_no_leaks();
  if (engine_ && HasFailure()) std::cerr << "--- the engine's log\n" << engine_->log() << "---\n";
  relay_.reset();
  if (engine_) engine_->stop();
  engine_.reset();
  surroundings_.reset();
}

std::string DaemonTest::scratch(const std::string& name) { return root() + "/scratch/" + name; }

void DaemonTest::take_snapshot() {
  // Teardown after a reply goes on for a moment: the snapshot is taken when two in a row agree and no container's link
  // is left (the kernel takes a veth away some time after its namespace).
  const LeakSnapshot nothing;
  LeakSnapshot last = LeakSnapshot::take(*engine_, *surroundings_);
  eventually([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    LeakSnapshot next = LeakSnapshot::take(*engine_, *surroundings_);
    const bool settled = LeakSnapshot::difference(last, next).empty() &&
                         LeakSnapshot::difference(nothing, next).find("+ veth") == std::string::npos;
    last = std::move(next);
    return settled;
  });
  before_ = std::move(last);
}

void DaemonTest::expect_no_leaks() {
  const Response list = client_->get("/containers/json?all=1");
  ASSERT_EQ(list.status, 200) << list.body;
  const json::value containers = list.json();
  for (const json::value& container : containers.as_array()) remove(text(at(container, "Id")));
  std::string difference;
  eventually([&] {
    difference = LeakSnapshot::difference(*before_, LeakSnapshot::take(*engine_, *surroundings_));
    // A link of the first container that the kernel had not taken away yet when the snapshot was made.
    difference = std::regex_replace(difference, std::regex("links:\n(  - veth[0-9a-f]+\n)+"), "");
    return difference.empty();
  });
  EXPECT_EQ(difference, "") << "left behind (+) or lost (-)";
}

void DaemonTest::load(const ImageSpec& spec) {
  const std::string file = scratch("load.tar");
  write_docker_archive(file, spec);
  const Response loaded = client_->upload("POST", "/images/load?quiet=1", file, "application/x-tar");
  ::unlink(file.c_str());
  ASSERT_EQ(loaded.status, 200) << loaded.body;
  ASSERT_EQ(loaded.body.find("errorDetail"), std::string::npos) << loaded.body;
}

std::string DaemonTest::create(const ContainerOptions& options) {
  json::object body = options.extra;
  body["Image"] = options.image;
  if (!options.command.empty()) {
    json::array words;
    for (const std::string& word : options.command) words.emplace_back(word);
    body["Cmd"] = words;
  }
  json::object host = options.host;
  if (!host.contains("NetworkMode")) host["NetworkMode"] = "none";
  body["HostConfig"] = host;
  const Response response =
      client_->post("/containers/create" + (options.name.empty() ? "" : "?name=" + options.name), body);
  EXPECT_EQ(response.status, 201) << response.body;
  return response.status == 201 ? text(at(response.json(), "Id")) : std::string();
}

void DaemonTest::start(const std::string& id) {
  const Response response = client_->post("/containers/" + id + "/start");
  EXPECT_EQ(response.status, 204) << response.body;
}

std::string DaemonTest::run(const ContainerOptions& options) {
  std::string id = create(options);
  start(id);
  return id;
}

int DaemonTest::wait(const std::string& id) {
  const Response response = client_->post("/containers/" + id + "/wait");
  EXPECT_EQ(response.status, 200) << response.body;
  if (response.status != 200) return -1;
  return static_cast<int>(at(response.json(), "StatusCode").to_number<std::int64_t>());
}

void DaemonTest::remove(const std::string& id) {
  const Response response = client_->remove("/containers/" + id + "?force=1&v=1");
  EXPECT_TRUE(response.status == 204 || response.status == 404) << response.body;
}

json::value DaemonTest::inspect(const std::string& id) {
  const Response response = client_->get("/containers/" + id + "/json");
  EXPECT_EQ(response.status, 200) << response.body;
  return response.json();
}

json::value DaemonTest::at(const json::value& value, std::string_view path) {
  const json::value* current = &value;
  while (!path.empty()) {
    const std::string_view part = path.substr(0, path.find('.'));
    path.remove_prefix(std::min(path.size(), part.size() + 1));
    if (current->is_object() && current->get_object().contains(part)) {
      current = &current->get_object().at(part);
    } else if (std::size_t index = 0;
               current->is_array() &&
               std::from_chars(part.data(), part.data() + part.size(), index).ec == std::errc() &&
               index < current->get_array().size()) {
      current = &current->get_array()[index];
    } else {
      return nullptr;
    }
  }
  return *current;
}

std::string DaemonTest::text(const json::value& value) {
  return value.is_string() ? std::string(value.get_string()) : write_json(value);
}

pid_t DaemonTest::pid_of(const std::string& id) {
  return static_cast<pid_t>(at(inspect(id), "State.Pid").to_number<std::int64_t>());
}

Demultiplexed DaemonTest::logs(const std::string& id, const std::string& query) {
  const Response response = client_->get("/containers/" + id + "/logs?stdout=1&stderr=1" + query);
  EXPECT_EQ(response.status, 200) << response.body;
  return demultiplex(response.body);
}

DaemonTest::Outcome DaemonTest::run_to_end(const ContainerOptions& options) {
  const std::string id = create(options);
  if (id.empty()) return {};
  const Response started = client_->post("/containers/" + id + "/start");
  Outcome outcome;
  if (started.status != 204) {
    outcome.err = started.body;
    remove(id);
    return outcome;
  }
  outcome.code = wait(id);
  const Response stored = client_->get("/containers/" + id + "/logs?stdout=1&stderr=1");
  if (options.extra.contains("Tty")) {
    outcome.out = stored.body;
  } else {
    Demultiplexed streams = demultiplex(stored.body);
    outcome.out = std::move(streams.out);
    outcome.err = std::move(streams.err);
  }
  remove(id);
  return outcome;
}

DaemonTest::Outcome DaemonTest::exec(const std::string& id, const std::vector<std::string>& command,
                                     json::object extra) {
  json::array words;
  for (const std::string& word : command) words.emplace_back(word);
  extra["Cmd"] = words;
  extra["AttachStdout"] = true;
  extra["AttachStderr"] = true;
  const Response created = client_->post("/containers/" + id + "/exec", json::value(extra));
  EXPECT_EQ(created.status, 201) << created.body;
  if (created.status != 201) return {};
  const std::string exec_id = text(at(created.json(), "Id"));
  HttpStream stream = client_->hijack("/exec/" + exec_id + "/start", "{}");
  EXPECT_EQ(stream.head().status, 101);
  const std::string frames = stream.read_to_end();
  Outcome outcome;
  if (extra.contains("Tty")) {
    outcome.out = frames;
  } else {
    Demultiplexed streams = demultiplex(frames);
    outcome.out = std::move(streams.out);
    outcome.err = std::move(streams.err);
  }
  const json::value state = client_->get("/exec/" + exec_id + "/json").json();
  const json::value code = at(state, "ExitCode");
  // Visible at the end of the stream, not a moment later.
  EXPECT_TRUE(code.is_number()) << write_json(state);
  EXPECT_EQ(at(state, "Running"), json::value(false));
  if (code.is_number()) outcome.code = static_cast<int>(code.to_number<std::int64_t>());
  return outcome;
}

void DaemonTest::wait_ready(const std::string& id) {
  HttpStream stream = client_->open("GET", "/containers/" + id + "/logs?stdout=1&follow=1");
  ASSERT_EQ(stream.head().status, 200);
  ASSERT_NO_THROW(stream.read_until("ready"));
}

std::vector<std::string> DaemonTest::client_environment() {
  return {"DOCKER_HOST=" + relay_->host(), "DOCKER_CONFIG=" + scratch("docker-config"), "MYDOCKER_AUTOSTART=0",
          "DOCKER_CLI_HINTS=false", "DOCKER_BUILDKIT=0"};
}

CommandResult DaemonTest::mydocker(std::vector<std::string> arguments, CommandOptions options) {
  arguments.insert(arguments.begin(), program("mydocker"));
  const std::vector<std::string> environment = client_environment();
  options.environment.insert(options.environment.end(), environment.begin(), environment.end());
  return run_command(std::move(arguments), options);
}

CommandResult DaemonTest::docker(std::vector<std::string> arguments, CommandOptions options) {
  arguments.insert(arguments.begin(), "docker");
  const std::vector<std::string> environment = client_environment();
  options.environment.insert(options.environment.end(), environment.begin(), environment.end());
  return run_command(std::move(arguments), options);
}

bool DaemonTest::eventually(const std::function<bool()>& condition, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + patient(timeout);
  for (;;) {
    if (condition()) return true;
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace mydocker::test
