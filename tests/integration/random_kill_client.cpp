#include "tests/integration/random_kill_client.h"

#include <algorithm>

#include "engine/base/sys.h"
#include "tests/support/local_registry.h"

/// What the clients do. What they know afterwards is compared in random_kill_check.cpp.
namespace mydocker::test {

void Client::step() {
  static constexpr Verb verbs[] = {&Client::create,
                                   &Client::create,
                                   &Client::start,
                                   &Client::start,
                                   &Client::start,
                                   &Client::stop,
                                   &Client::kill,
                                   &Client::restart,
                                   &Client::pause,
                                   &Client::unpause,
                                   &Client::rename,
                                   &Client::update,
                                   &Client::exec,
                                   &Client::exec,
                                   &Client::remove,
                                   &Client::commit,
                                   &Client::tag,
                                   &Client::untag,
                                   &Client::load,
                                   &Client::pull,
                                   &Client::untag,
                                   &Client::add_volume,
                                   &Client::drop_volume,
                                   &Client::copy,
                                   &Client::copy,
                                   &Client::see_health,
                                   &Client::prune,
                                   &Client::prune_volumes,
                                   &Client::prune_images,
                                   &Client::pull_from_registry,
                                   &Client::pull_from_registry};
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
  json::object body{{"Image", "payload"},
                    {"Cmd", json::array{"/payload", "pause"}},
                    {"Labels", json::object{{"client", prefix_}}},
                    {"HostConfig", json::object{{"NetworkMode", below(random_, 3) == 0 ? "bridge" : "none"},
                                                {"Memory", 64 << 20},
                                                {"MemorySwap", 64 << 20}}}};
  if (below(random_, 3) == 0) body["Volumes"] = json::object{{"/anonymous", json::object{}}};
  if (below(random_, 3) == 0) {
    body["Healthcheck"] =
        json::object{{"Test", json::array{"CMD", "true"}}, {"Interval", 200'000'000}, {"Retries", 1000}};
  }
  doubtful_.insert(name);
  const Response response = send("POST", "/containers/create?name=" + name, write_json(body));
  doubtful_.erase(name);
  if (!succeeds(response)) return;
  containers_.push_back({.id = text(response.json(), "Id"), .name = name});
  // Its anonymous volume, before anything can be asked to leave it behind.
  const Response made = send("GET", "/containers/" + containers_.back().id + "/json");
  if (!succeeds(made)) return;
  const json::value container = made.json();
  for (const json::value& mount : container.at("Mounts").as_array()) {
    containers_.back().volume = text(mount, "Name");
    volumes_[containers_.back().volume] = true;
  }
}

void Client::start() {
  Known* one = pick({"created", "exited"});
  if (one == nullptr) return;
  one->pid.reset();
  one->healthy = false;
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
  one->healthy = false;
  one->exit_code.reset();
  change(*one, "/restart?t=1", {"exited"}, "running");
}

void Client::pause() {
  Known* one = pick({"running"});
  if (one == nullptr) return;
  one->healthy = false;  // a paused container is not probed and counts as unhealthy, as in Docker
  change(*one, "/pause", {}, "paused");
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

/// With or without the volume of its own.
void Client::remove() {
  if (containers_.size() < 3) return;
  const std::size_t index = below(random_, containers_.size());
  const Known one = containers_[index];
  const bool with_volume = below(random_, 2) == 0;
  removing_ = {one.id};
  containers_[index].copied.clear();  // its files go before it does
  if (with_volume && !one.volume.empty()) volumes_[one.volume] = false;
  if (succeeds(send("DELETE", "/containers/" + one.id + "?force=1" + (with_volume ? "&v=1" : "")))) {
    if (with_volume) forget_volume(one);
    containers_.erase(containers_.begin() + static_cast<std::ptrdiff_t>(index));
  }
  removing_.clear();
}

void Client::forget_volume(const Known& one) {
  if (one.volume.empty()) return;
  volumes_.erase(one.volume);
  gone_.insert(one.volume);
}

/// filters= that selects what is this client's.
std::string Client::label_filter(const char* more) const {
  return "?filters=" + url_encode(concat(R"({"label":["client=)", prefix_, "\"]", more, "}"));
}

/// Whatever does not run.
void Client::prune() {
  if (containers_.size() < 3) return;
  const auto goes = [](const Known& one) { return one.states.contains("created") || one.states.contains("exited"); };
  for (Known& one : containers_) {
    if (!goes(one)) continue;
    removing_.insert(one.id);
    one.copied.clear();
  }
  const Response response = send("POST", "/containers/prune" + label_filter());
  if (pruned(response)) {
    const json::value told = response.json().at("ContainersDeleted");
    EXPECT_EQ(told.is_null() ? 0 : told.as_array().size(), removing_.size()) << response.body;
    std::erase_if(containers_, goes);
  }
  removing_.clear();
}

/// docker cp into it, whatever its state.
void Client::copy() {
  Known* one = pick({"created", "running", "exited", "paused"});
  if (one == nullptr) return;
  const std::string name = concat("copied-", ++made_);
  const std::string archive = TarBuilder().file(name, "content of " + name).finish();
  if (succeeds(send("PUT", "/containers/" + one->id + "/archive?path=/", archive, "application/x-tar"))) {
    one->copied = name;
  }
}

void Client::see_health() {
  Known* one = pick({"running"});
  if (one == nullptr) return;
  const Response response = send("GET", "/containers/" + one->id + "/json");
  if (!succeeds(response)) return;
  const json::value state = response.json().at("State");
  const json::value* health = state.as_object().if_contains("Health");
  one->healthy = health != nullptr && health->is_object() && text(*health, "Status") == "healthy";
}

void Client::commit() {
  Known* one = pick({"created", "running", "exited"});
  if (one == nullptr || images_.size() >= 4) return;
  one->healthy = false;  // paused meanwhile
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
  const BuiltImage built =
      build_image({.name = name, .layers = {layer}, .config = {{"Labels", json::object{{"client", prefix_}}}}});
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

/// Over the network: three layers from the registry on loopback.
void Client::pull_from_registry() {
  const std::string repository = concat(LocalRegistry::address, "/", prefix_, "/app");
  if (images_.contains(repository + ":v1")) return;
  images_[repository + ":v1"] = false;
  const Response response = send("POST", "/images/create?fromImage=" + url_encode(repository) + "&tag=v1");
  if (!succeeds(response)) return;
  EXPECT_EQ(response.body.find("errorDetail"), std::string::npos) << response.body;
  if (response.body.find("Status: ") != std::string::npos) images_[repository + ":v1"] = true;
}

/// Those with this client's label: what it loaded and what it committed.
void Client::prune_images() {
  if (below(random_, 3) != 0) return;
  const auto goes = [](const auto& image) {
    return image.first.find(":commit") != std::string::npos || image.first.find(":load") != std::string::npos;
  };
  for (auto& image : images_) {
    if (goes(image)) image.second = false;
  }
  if (pruned(send("POST", "/images/prune" + label_filter(R"(,"dangling":["false"])")))) std::erase_if(images_, goes);
}

void Client::add_volume() {
  if (volumes_.size() >= 8) return;
  const std::string name = concat(prefix_, "-volume", ++made_);
  volumes_[name] = false;
  const json::object body{{"Name", name}, {"Labels", json::object{{"client", prefix_}}}};
  if (succeeds(send("POST", "/volumes/create", write_json(body)))) volumes_[name] = true;
}

void Client::drop_volume() {
  const auto found = std::find_if(volumes_.begin(), volumes_.end(), [&](const auto& volume) {
    return volume.second && volume.first.starts_with(prefix_);
  });
  if (found == volumes_.end()) return;
  const std::string name = found->first;
  found->second = false;
  if (!succeeds(send("DELETE", "/volumes/" + name))) return;
  volumes_.erase(name);
  gone_.insert(name);
}

/// Those with names: no container has them.
void Client::prune_volumes() {
  if (below(random_, 3) != 0) return;
  const auto goes = [&](const auto& volume) { return volume.first.starts_with(prefix_); };
  for (auto& volume : volumes_) {
    if (goes(volume)) volume.second = false;
  }
  if (!pruned(send("POST", "/volumes/prune" + label_filter(R"(,"all":["true"])")))) return;
  for (const auto& volume : volumes_) {
    if (goes(volume)) gone_.insert(volume.first);
  }
  std::erase_if(volumes_, goes);
}

}  // namespace mydocker::test
