#pragma once

#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "tests/support/daemon_test.h"

/// The clients of random_kill_test.cpp.
namespace mydocker::test {

using Random = std::mt19937;

inline std::size_t below(Random& random, std::size_t limit) { return random() % limit; }

/// What is known of one container. An unknown part is learned at the next look.
struct Known {
  std::string id;
  std::string name;
  std::set<std::string> states = {"created"};  ///< any of them is right: one, but for a verb that was cut off
  std::optional<int> exit_code;
  std::set<std::int64_t> memory = {64 << 20};
  std::set<std::string> mark = {""};  ///< content of /mark; "" without one
  std::optional<std::int64_t> pid;
  std::string copied;    ///< a file that an acknowledged upload made; its content is its name
  std::string volume;    ///< of its own, without a name; "" = none, or not known yet
  bool healthy = false;  ///< its probe was seen to be so since its start
};

/// The engine died: nobody knows whether the last request was carried out.
struct CutOff {};

/// One client with objects of its own: it does one thing after the other until the engine dies.
class Client {
 public:
  Client(const HttpClient& http, int number, unsigned seed)
      : http_(http), prefix_(concat("kill", number)), random_(seed) {}

  /// Until the engine is gone or `steps` are done.
  void work(int steps) {
    working_ = true;
    try {
      for (int i = 0; i < steps; ++i) step();
    } catch (const CutOff&) {  // as it should be
    }
    working_ = false;
  }
  /// Compares all that it knows with what the engine says.
  void check();
  /// Its images and volumes; the containers go with the fixture's.
  void clean();

 private:
  using Verb = void (Client::*)();

  Response send(const std::string& method, const std::string& path, const std::string& body = {},
                const std::string& type = "application/json") {
    try {
      Headers headers;
      if (!body.empty()) headers.emplace_back("Content-Type", type);
      doing_ = concat(method, " ", path);
      return http_.request(method, path, body, headers, std::chrono::seconds(30));
    } catch (const Error& error) {
      // Only a client at work may lose its engine.
      if (!working_) throw Error(error.kind(), concat(doing_, ": ", error.message()));
      throw CutOff();
    }
  }
  /// A request that must succeed; its failure is a finding, not an end.
  bool succeeds(const Response& response) {
    if (response.status < 400) return true;
    ADD_FAILURE() << prefix_ << ": " << doing_ << ": " << response.status << " " << response.body;
    return false;
  }
  /// The same for a prune, of which the engine does one at a time.
  bool pruned(const Response& response) { return response.status != 409 && succeeds(response); }
  static std::string text(const json::value& value, const char* key) { return std::string(value.at(key).as_string()); }

  void step();
  Known* pick(std::initializer_list<const char*> states);
  std::string label_filter(const char* more = "") const;
  void forget_volume(const Known& one);
  void change(Known& one, const std::string& path, std::set<std::string> meanwhile, const std::string& after);
  void learn_exit_code(Known& one);

  void create();
  void start();
  void stop();
  void kill();
  void restart();
  void pause();
  void unpause();
  void rename();
  void update();
  void exec();
  void remove();
  void commit();
  void tag();
  void untag();
  void load();
  void pull();
  void pull_from_registry();
  void prune_images();
  void add_volume();
  void drop_volume();
  void prune_volumes();
  void copy();
  void see_health();
  void prune();

  void check_container(Known& one);
  void check_mark(Known& one);
  void check_copied(const Known& one);
  void check_listed();
  void check_names(const std::set<std::string>& there, std::map<std::string, bool>& known, const char* kind);

  const HttpClient& http_;
  std::string prefix_;
  Random random_;
  std::string doing_;
  bool working_ = false;
  int made_ = 0;
  std::vector<Known> containers_;
  std::map<std::string, bool> images_;   ///< tag -> surely there; else: nobody knows
  std::map<std::string, bool> volumes_;  ///< likewise
  std::set<std::string> doubtful_;       ///< names of containers that may be there
  std::set<std::string> removing_;       ///< the IDs of those that may be gone
  std::set<std::string> gone_;           ///< volumes that were removed
};

}  // namespace mydocker::test
