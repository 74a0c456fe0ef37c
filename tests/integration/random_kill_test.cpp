// kill -9 of the engine at random moments, while clients change things: what was acknowledged holds after every
// restart, what was not is wholly done or wholly not, and nothing is left behind.
//   MYDOCKER_TEST_KILLS=1000   more kills than the 200 of an ordinary run
//   MYDOCKER_TEST_SEED=N       the run that a failure named

#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

using Random = std::mt19937;

std::size_t below(Random& random, std::size_t limit) { return random() % limit; }

/// What is known of one container. An unknown part is learned at the next look.
struct Known {
  std::string id;
  std::string name;
  std::set<std::string> states;  ///< any of them is right: one, but for a verb that was cut off
  std::optional<int> exit_code;
  std::set<std::int64_t> memory;
  std::set<std::string> mark;  ///< content of /mark; "" without one
  std::optional<std::int64_t> pid;
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
  static std::string text(const json::value& value, const char* key) { return std::string(value.at(key).as_string()); }

  void step();
  Known* pick(std::initializer_list<const char*> states);
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
  void add_volume();
  void drop_volume();

  void check_container(Known& one);
  void check_mark(Known& one);
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
  std::string removing_;                 ///< the ID of one that may be gone
};

void Client::step() {
  static constexpr Verb verbs[] = {
      &Client::create, &Client::create,  &Client::start,  &Client::start,      &Client::start,      &Client::stop,
      &Client::kill,   &Client::restart, &Client::pause,  &Client::unpause,    &Client::rename,     &Client::update,
      &Client::exec,   &Client::exec,    &Client::remove, &Client::commit,     &Client::tag,        &Client::untag,
      &Client::load,   &Client::pull,    &Client::untag,  &Client::add_volume, &Client::drop_volume};
  (this->*verbs[below(random_, std::size(verbs))])();
}

/// One of the containers in one of these states; null when there is none.
Known* Client::pick(std::initializer_list<const char*> states) {
  std::vector<Known*> found;
  for (Known& one : containers_) {
    for (const char* state : states) {
      if (one.states == std::set<std::string>{state}) found.push_back(&one);
    }
  }
  return found.empty() ? nullptr : found[below(random_, found.size())];
}

/// POST to the container; until the answer it may be in any of `meanwhile`.
void Client::change(Known& one, const std::string& path, std::set<std::string> meanwhile, const std::string& after) {
  const std::set<std::string> before = one.states;
  one.states.merge(meanwhile);
  one.states.insert(after);
  const Response response = send("POST", "/containers/" + one.id + path);
  if (succeeds(response)) {
    one.states = {after};
  } else {
    one.states = before;
  }
}

void Client::learn_exit_code(Known& one) {
  const Response response = send("GET", "/containers/" + one.id + "/json");
  if (succeeds(response)) one.exit_code = response.json().at("State").at("ExitCode").to_number<int>();
}

void Client::create() {
  if (containers_.size() >= 4) return;
  const std::string name = concat(prefix_, "-", ++made_);
  const json::object body{{"Image", "payload"},
                          {"Cmd", json::array{"/payload", "pause"}},
                          {"HostConfig", json::object{{"NetworkMode", below(random_, 3) == 0 ? "bridge" : "none"},
                                                      {"Memory", 64 << 20},
                                                      {"MemorySwap", 64 << 20}}}};
  doubtful_.insert(name);
  const Response response = send("POST", "/containers/create?name=" + name, write_json(body));
  doubtful_.erase(name);
  if (!succeeds(response)) return;
  containers_.push_back({.id = text(response.json(), "Id"),
                         .name = name,
                         .states = {"created"},
                         .exit_code = {},
                         .memory = {64 << 20},
                         .mark = {""},
                         .pid = {}});
}

void Client::start() {
  Known* one = pick({"created", "exited"});
  if (one == nullptr) return;
  one->pid.reset();
  one->exit_code.reset();
  change(*one, "/start", {"exited"}, "running");
}

void Client::stop() {
  Known* one = pick({"running"});
  if (one == nullptr) return;
  one->exit_code.reset();
  change(*one, "/stop?t=1", {}, "exited");
  learn_exit_code(*one);
}

void Client::kill() {
  Known* one = pick({"running"});
  if (one == nullptr) return;
  one->exit_code.reset();
  change(*one, "/kill", {}, "exited");
  one->exit_code = 137;
}

void Client::restart() {
  Known* one = pick({"running", "exited"});
  if (one == nullptr) return;
  one->pid.reset();
  one->exit_code.reset();
  change(*one, "/restart?t=1", {"exited"}, "running");
}

void Client::pause() {
  if (Known* one = pick({"running"})) change(*one, "/pause", {}, "paused");
}

void Client::unpause() {
  if (Known* one = pick({"paused"})) change(*one, "/unpause", {}, "running");
}

void Client::rename() {
  Known* one = pick({"created", "running", "exited", "paused"});
  if (one == nullptr) return;
  const std::string name = concat(prefix_, "-", ++made_);
  const std::string before = std::exchange(one->name, "");
  if (succeeds(send("POST", "/containers/" + one->id + "/rename?name=" + name))) {
    one->name = name;
  } else {
    one->name = before;
  }
}

void Client::update() {
  Known* one = pick({"created", "running", "exited", "paused"});
  if (one == nullptr) return;
  const std::int64_t memory = static_cast<std::int64_t>(64 + below(random_, 64)) << 20;
  const json::object body{{"Memory", memory}, {"MemorySwap", memory}};
  const std::set<std::int64_t> before = one->memory;
  one->memory.insert(memory);
  const bool done = succeeds(send("POST", "/containers/" + one->id + "/update", write_json(body)));
  one->memory = done ? std::set{memory} : before;
}

/// Writes a file; the exit code 0 of the exec acknowledges it.
void Client::exec() {
  Known* one = pick({"running"});
  if (one == nullptr) return;
  const std::string mark = concat(++made_);
  const json::object body{{"Cmd", json::array{"sh", "-c", "echo -n " + mark + " > /mark.new && mv /mark.new /mark"}},
                          {"AttachStdout", true}};
  one->mark.insert(mark);
  const Response made = send("POST", "/containers/" + one->id + "/exec", write_json(body));
  if (!succeeds(made)) return;
  const std::string exec_id = text(made.json(), "Id");
  if (!succeeds(send("POST", "/exec/" + exec_id + "/start", "{}"))) return;
  const Response state = send("GET", "/exec/" + exec_id + "/json");
  if (!succeeds(state)) return;
  const json::value code = state.json().at("ExitCode");
  // A stream that the engine's death cut off ends as one that is complete; the code alone acknowledges.
  if (code.is_number() && code.to_number<int>() == 0) one->mark = {mark};
}

void Client::remove() {
  if (containers_.size() < 3) return;
  const std::size_t index = below(random_, containers_.size());
  removing_ = containers_[index].id;
  if (succeeds(send("DELETE", "/containers/" + removing_ + "?force=1"))) {
    containers_.erase(containers_.begin() + static_cast<std::ptrdiff_t>(index));
  }
  removing_.clear();
}

void Client::commit() {
  Known* one = pick({"created", "running", "exited"});
  if (one == nullptr || images_.size() >= 4) return;
  const std::string tag = concat(prefix_, ":commit", ++made_);
  images_[tag] = false;
  // The container is frozen meanwhile: an engine that dies must not leave it so.
  const Response response =
      send("POST", concat("/commit?container=", one->id, "&repo=", prefix_, "&tag=commit", made_));
  if (succeeds(response)) images_[tag] = true;
}

void Client::tag() {
  if (images_.size() >= 4) return;
  const std::string name = concat(prefix_, ":tag", ++made_);
  images_[name] = false;
  if (succeeds(send("POST", concat("/images/payload/tag?repo=", prefix_, "&tag=tag", made_)))) images_[name] = true;
}

void Client::untag() {
  for (auto& [name, sure] : images_) {
    if (!sure || below(random_, 2) == 0) continue;
    sure = false;
    const std::string gone = name;
    if (succeeds(send("DELETE", "/images/" + gone))) images_.erase(gone);
    return;
  }
}

void Client::load() {
  if (images_.size() >= 4) return;
  const std::string name = concat(prefix_, ":load", ++made_);
  const std::string layer = TarBuilder().file("loaded", name).finish();
  const BuiltImage built = build_image({.name = name, .layers = {layer}, .config = {}});
  const std::string archive =
      TarBuilder()
          .file("config.json", built.config)
          .file("layer.tar", layer)
          .file("manifest.json",
                write_json(json::array{json::object{
                    {"Config", "config.json"}, {"RepoTags", json::array{name}}, {"Layers", json::array{"layer.tar"}}}}))
          .finish();
  images_[name] = false;
  const Response response = send("POST", "/images/load?quiet=1", archive, "application/x-tar");
  if (succeeds(response) && response.body.find("Loaded image") != std::string::npos) images_[name] = true;
}

/// Of the bundled image: all of a pull but the network.
void Client::pull() {
  if (!prefix_.ends_with('0')) return;
  if (images_.contains("busybox:bundled")) return;
  images_["busybox:bundled"] = false;
  const Response response = send("POST", "/images/create?fromImage=busybox&tag=bundled");
  if (succeeds(response) && response.body.find("Status: ") != std::string::npos) images_["busybox:bundled"] = true;
}

void Client::add_volume() {
  if (volumes_.size() >= 4) return;
  const std::string name = concat(prefix_, "-volume", ++made_);
  volumes_[name] = false;
  if (succeeds(send("POST", "/volumes/create", write_json(json::object{{"Name", name}})))) volumes_[name] = true;
}

void Client::drop_volume() {
  if (volumes_.empty() || !volumes_.begin()->second) return;
  const std::string name = volumes_.begin()->first;
  volumes_[name] = false;
  if (succeeds(send("DELETE", "/volumes/" + name))) volumes_.erase(name);
}

void Client::check_container(Known& one) {
  const Response response = send("GET", "/containers/" + one.id + "/json");
  ASSERT_EQ(response.status, 200) << "lost: " << one.name << " " << one.id << ": " << response.body;
  const json::value container = response.json();
  const json::object& state = container.at("State").as_object();
  const std::string status(state.at("Status").as_string());
  const std::string name = text(container, "Name").substr(1);
  if (one.name.empty()) one.name = name;  // a rename was cut off
  EXPECT_EQ(name, one.name) << one.id;
  EXPECT_TRUE(one.states.contains(status)) << one.name << " is " << status << ": " << write_json(state);
  const std::int64_t memory = container.at("HostConfig").at("Memory").to_number<std::int64_t>();
  EXPECT_TRUE(one.memory.contains(memory)) << one.name << " has the limit " << memory;
  if (status == "exited" && one.exit_code) EXPECT_EQ(state.at("ExitCode").to_number<int>(), *one.exit_code) << one.name;
  const std::int64_t pid = state.at("Pid").to_number<std::int64_t>();
  if (status == "running" || status == "paused") {
    if (one.pid) EXPECT_EQ(pid, *one.pid) << one.name << " is another process";
    EXPECT_EQ(::kill(static_cast<pid_t>(pid), 0), 0) << one.name;
    one.pid = pid;
  } else {
    one.pid.reset();
  }
  one.states = {status};
  one.memory = {memory};
}

/// The file that the last acknowledged exec wrote.
void Client::check_mark(Known& one) {
  if (one.states != std::set<std::string>{"running"} || one.mark == std::set<std::string>{""}) return;
  const json::object body{{"Cmd", json::array{"cat", "/mark"}}, {"AttachStdout", true}};
  const Response made = send("POST", "/containers/" + one.id + "/exec", write_json(body));
  ASSERT_EQ(made.status, 201) << made.body;
  const Response out = send("POST", "/exec/" + text(made.json(), "Id") + "/start", "{}");
  const std::string mark = demultiplex(out.body).out;
  EXPECT_TRUE(one.mark.contains(mark)) << one.name << " has the mark \"" << mark << "\"";
  one.mark = {mark};
}

/// `known` against the names `there`; what was in doubt is known afterwards.
void Client::check_names(const std::set<std::string>& there, std::map<std::string, bool>& known, const char* kind) {
  for (auto i = known.begin(); i != known.end();) {
    const bool exists = there.contains(i->first);
    EXPECT_TRUE(exists || !i->second) << "lost " << kind << ": " << i->first;
    i->second = true;
    i = exists ? std::next(i) : known.erase(i);
  }
  for (const std::string& name : there) {
    if (name.starts_with(prefix_ + ":") || name.starts_with(prefix_ + "-")) {
      EXPECT_TRUE(known.contains(name)) << "nobody made, or somebody removed " << kind << ": " << name;
    }
  }
}

void Client::check() {
  SCOPED_TRACE(concat("cut off: ", doing_));
  const json::value listed = send("GET", "/containers/json?all=1").json();
  std::map<std::string, std::string> ids;
  for (const json::value& each : listed.as_array()) {
    const std::string name = std::string(each.at("Names").as_array().at(0).as_string()).substr(1);
    if (name.starts_with(prefix_ + "-")) ids[text(each, "Id")] = name;
  }
  if (!removing_.empty() && !ids.contains(removing_)) {
    std::erase_if(containers_, [&](const Known& one) { return one.id == removing_; });
  }
  for (Known& one : containers_) {
    // A removal that was cut off may have ended the process already.
    if (one.id == removing_) {
      one.states.insert("exited");
      one.exit_code.reset();
    }
    check_container(one);
    check_mark(one);
    ids.erase(one.id);
  }
  removing_.clear();
  for (const auto& [id, name] : ids) {
    EXPECT_TRUE(doubtful_.contains(name)) << "nobody made, or somebody removed " << name;
    containers_.push_back({.id = id,
                           .name = name,
                           .states = {"created"},
                           .exit_code = {},
                           .memory = {64 << 20},
                           .mark = {""},
                           .pid = {}});
    check_container(containers_.back());
  }
  doubtful_.clear();

  std::set<std::string> tags;
  const json::value images = send("GET", "/images/json").json();
  for (const json::value& image : images.as_array()) {
    const json::array& names = image.at("RepoTags").as_array();
    EXPECT_FALSE(names.empty()) << "an image without a name: " << write_json(image);
    for (const json::value& tag : names) tags.insert(std::string(tag.as_string()));
  }
  check_names(tags, images_, "image");
  std::set<std::string> volumes;
  const json::value stored = send("GET", "/volumes").json();
  if (stored.at("Volumes").is_array()) {
    for (const json::value& volume : stored.at("Volumes").as_array()) volumes.insert(text(volume, "Name"));
  }
  check_names(volumes, volumes_, "volume");
}

void Client::clean() {
  for (const Known& one : containers_) succeeds(send("DELETE", "/containers/" + one.id + "?force=1&v=1"));
  containers_.clear();
  for (const auto& [name, sure] : images_) succeeds(send("DELETE", "/images/" + name + "?force=1"));
  images_.clear();
  for (const auto& [name, sure] : volumes_) succeeds(send("DELETE", "/volumes/" + name));
  volumes_.clear();
}

/// The steps of the engine itself at which it is made to die; the others are the shims' and workers'.
constexpr const char* steps[] = {
    "database.commit", "database.commit", "database.commit",  "database.commit", "create.directories",
    "start.network",   "start.spawn",     "start.run",        "network.attach",  "network.veth",
    "network.address", "network.forget",  "network.withdraw", "remove.files",    "container.create_directories",
    "image.add",       "image.retain",    "image.release",    "image.remove",    "container.remove_directories",
    "import.commit",   "load.commit",     "load.spool",       "layer.begin",     "layer.renamed",
    "layer.synced",    "layer.released",  "layer.finish",     "volume.recorded", "volume.forgotten",
    "storage.sync",    "trash.discard"};

long from_environment(const char* name, long otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0' ? std::atol(value) : otherwise;
}

class RandomKillTest : public DaemonTest, public testing::WithParamInterface<int> {
 protected:
  static constexpr int groups = 4;

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
};

TEST_P(RandomKillTest, WhatWasAcknowledgedHoldsAndNothingLeaks) {
  const auto seed = static_cast<unsigned>(from_environment("MYDOCKER_TEST_SEED", std::random_device()() % 1'000'000)) +
                    static_cast<unsigned>(GetParam());
  const long kills = from_environment("MYDOCKER_TEST_KILLS", 200) / groups;
  constexpr long between_snapshots = 10;
  Random random(seed);
  SCOPED_TRACE(concat("MYDOCKER_TEST_SEED=", seed - static_cast<unsigned>(GetParam())));
  std::vector<Client> clients;
  for (int i = 0; i < 3; ++i) clients.emplace_back(client(), i, static_cast<unsigned>(random()));
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
