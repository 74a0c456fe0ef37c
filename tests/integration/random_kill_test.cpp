// kill -9 of the engine at random moments, while clients change things: what was acknowledged holds after every
// restart, what was not is wholly done or wholly not, and nothing is left behind.
//   MYDOCKER_TEST_KILLS=1000   more kills than the 200 of an ordinary run
//   MYDOCKER_TEST_SEED=N       the run that a failure named

#include <cstdlib>
#include <thread>

#include "engine/base/sys.h"
#include "tests/integration/random_kill_client.h"
#include "tests/support/local_registry.h"

namespace mydocker::test {
namespace {

/// The steps of the engine itself at which it is made to die; the others are the shims' and workers'.
constexpr const char* steps[] = {
    "database.commit", "database.commit", "database.commit",  "database.commit", "create.directories",
    "start.network",   "start.spawn",     "start.run",        "network.attach",  "network.veth",
    "network.address", "network.forget",  "network.withdraw", "remove.files",    "container.create_directories",
    "image.add",       "image.retain",    "image.release",    "image.remove",    "container.remove_directories",
    "import.commit",   "load.commit",     "load.spool",       "layer.begin",     "layer.renamed",
    "layer.synced",    "layer.released",  "layer.finish",     "volume.recorded", "volume.forgotten",
    "storage.sync",    "trash.discard",   "start.events",     "exit.events",     "events.append",
    "pull.connect",    "pull.manifest",   "pull.blob",        "pull.unpack",     "pull.add",
    "pull.commit",     "worker.spawn"};

long from_environment(const char* name, long otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? std::atol(value) : otherwise;
}

class RandomKillTest : public DaemonTest, public testing::WithParamInterface<int> {
 protected:
  static constexpr int groups = 4;
  static constexpr int clients_at_once = 3;

  void SetUp() override {
    REQUIRE_PROGRAM("docker-registry");
    DaemonTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    registry_.emplace(scratch("registry"));
    for (int i = 0; i < clients_at_once; ++i) {
      const std::string name = concat("kill", i);
      registry_->publish({.name = "",
                          .layers = {base_layer(), TarBuilder().file("one", name).finish(),
                                     TarBuilder().file("two", name + name).finish()},
                          .config = {{"Cmd", json::array{"/payload", "pause"}}}},
                         name + "/app", "v1");
    }
    take_snapshot();
  }

  /// One life of the engine: clients work, it dies at a random moment, by a failpoint or by the signal.
  void live_and_die(std::vector<Client>& clients, Random& random) {
    const bool at_a_step = below(random, 2) == 0;
    std::vector<std::string> environment;
    if (at_a_step) {
      environment = {
          concat("MYDOCKER_FAILPOINTS=", steps[below(random, std::size(steps))], "=kill@", 1 + below(random, 6))};
    }
    SCOPED_TRACE(at_a_step ? environment[0] : "the signal");
    engine().set_environment(environment);
    const auto moment = std::chrono::milliseconds(10 + below(random, 150));
    try {
      engine().start();
      std::vector<std::jthread> threads;
      for (Client& each : clients) threads.emplace_back([&each] { each.work(200); });
      // Chance is the point here: nothing is waited for.
      wait_readable(engine().pidfd(), static_cast<int>(moment.count()));
      engine().kill();
    } catch (const Error&) {  // it died while it started
    }
    engine().kill();
    engine().set_environment({});
    engine().start();
    for (Client& each : clients) each.check();
  }

 private:
  std::optional<LocalRegistry> registry_;  ///< in the snapshots: it ends with the fixture
};

TEST_P(RandomKillTest, WhatWasAcknowledgedHoldsAndNothingLeaks) {
  const auto seed = static_cast<unsigned>(from_environment("MYDOCKER_TEST_SEED", std::random_device()() % 1'000'000)) +
                    static_cast<unsigned>(GetParam());
  const long kills = from_environment("MYDOCKER_TEST_KILLS", 200) / groups;
  constexpr long between_snapshots = 10;
  Random random(seed);
  SCOPED_TRACE(concat("MYDOCKER_TEST_SEED=", seed - static_cast<unsigned>(GetParam())));
  std::vector<Client> clients;
  for (int i = 0; i < clients_at_once; ++i) clients.emplace_back(client(), i, static_cast<unsigned>(random()));
  for (long kill = 1; kill <= kills; ++kill) {
    SCOPED_TRACE(concat("kill ", kill));
    live_and_die(clients, random);
    if (kill % between_snapshots == 0 || kill == kills) {
      for (Client& each : clients) each.clean();
      expect_no_leaks();
    }
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Groups, RandomKillTest, testing::Range(0, 4));

}  // namespace
}  // namespace mydocker::test
