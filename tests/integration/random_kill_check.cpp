#include <csignal>

#include "engine/base/sys.h"
#include "tests/integration/random_kill_client.h"

/// What the clients of random_kill_test.cpp know, against what the engine says after its restart.
namespace mydocker::test {

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
  for (const json::value& mount : container.at("Mounts").as_array()) {
    if (one.volume.empty()) one.volume = text(mount, "Name");
    EXPECT_EQ(text(mount, "Name"), one.volume) << one.name;
    volumes_[one.volume] = true;
  }
  const std::int64_t pid = state.at("Pid").to_number<std::int64_t>();
  if (status == "running" || status == "paused") {
    if (one.pid) EXPECT_EQ(pid, *one.pid) << one.name << " is another process";
    EXPECT_EQ(::kill(static_cast<pid_t>(pid), 0), 0) << one.name;
    one.pid = pid;
    if (one.healthy) EXPECT_EQ(text(state.at("Health"), "Status"), "healthy") << one.name;
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
  const std::string exec_id = text(made.json(), "Id");
  const Response out = send("POST", "/exec/" + exec_id + "/start", "{}");
  const json::value ended = send("GET", "/exec/" + exec_id + "/json").json();
  if (write_json(ended.at("ExitCode")) != "0") return;  // nothing was read
  const std::string mark = demultiplex(out.body).out;
  EXPECT_TRUE(one.mark.contains(mark)) << one.name << " has the mark \"" << mark << "\"";
  one.mark = {mark};
}

/// The file that the last acknowledged upload made.
void Client::check_copied(const Known& one) {
  if (one.copied.empty()) return;
  const Response out = send("GET", "/containers/" + one.id + "/archive?path=/" + one.copied);
  EXPECT_EQ(out.status, 200) << one.name << " lost " << one.copied << ": " << out.body;
  EXPECT_NE(out.body.find("content of " + one.copied), std::string::npos) << one.name;
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
  std::erase_if(containers_, [&](const Known& one) { return removing_.contains(one.id) && !ids.contains(one.id); });
  for (Known& one : containers_) {
    // A removal that was cut off may have ended the process already.
    if (removing_.contains(one.id)) {
      one.states.insert("exited");
      one.exit_code.reset();
    }
    check_container(one);
    check_mark(one);
    check_copied(one);
    ids.erase(one.id);
  }
  removing_.clear();
  for (const auto& [id, name] : ids) {
    EXPECT_TRUE(doubtful_.contains(name)) << "nobody made, or somebody removed " << name;
    containers_.push_back({.id = id, .name = name});
    check_container(containers_.back());
  }
  doubtful_.clear();
  check_listed();
}

/// Images and volumes.
void Client::check_listed() {
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
  for (const std::string& name : gone_) EXPECT_FALSE(volumes.contains(name)) << "it was removed: the volume " << name;
}

void Client::clean() {
  for (const Known& one : containers_) succeeds(send("DELETE", "/containers/" + one.id + "?force=1&v=1"));
  containers_.clear();
  for (const auto& [name, sure] : images_) succeeds(send("DELETE", "/images/" + name + "?force=1"));
  images_.clear();
  for (const auto& [name, sure] : volumes_) {
    // Those without a name of their own went with their containers.
    const Response response = send("DELETE", "/volumes/" + name);
    if (response.status != 404 || name.starts_with(prefix_)) succeeds(response);
  }
  volumes_.clear();
}

}  // namespace mydocker::test
