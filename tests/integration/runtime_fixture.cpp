#include "tests/integration/runtime_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>

#include "engine/base/sys.h"
#include "tests/support/patience.h"

namespace mydocker::test {
namespace {

constexpr const char* applets[] = {"sh",   "ls",   "cat",  "echo", "true",   "id",   "mount", "sleep",
                                   "env",  "pwd",  "grep", "stat", "touch",  "tty",  "mkdir", "readlink",
                                   "kill", "rm",   "head", "cut",  "sed",    "sort", "mknod", "uname",
                                   "nice", "stty", "wc",   "ps",   "taskset"};

void install(const std::string& from, const std::string& to) {
  const UniqueFd file = open_file(to, O_CREAT | O_WRONLY, 0755);
  write_all(file.get(), read_file(from));
  if (::fchmod(file.get(), 0755) != 0) throw sys_error("chmod ", to);
}

}  // namespace

void RuntimeTest::SetUp() {
  REQUIRE_ROOT();
  REQUIRE_NAMESPACES();
  REQUIRE_PROGRAM("busybox");
  enter_private_namespaces();
  surroundings_ = std::make_unique<Surroundings>();
  for (const char* name : {"/bin", "/etc", "/tmp", "/proc", "/sys", "/dev"}) make_dirs(rootfs() + name);
  install(find_program("busybox"), rootfs() + "/bin/busybox");
  install(payload_program(), rootfs() + "/payload");
  for (const char* applet : applets) {
    ASSERT_EQ(::symlink("busybox", concat(rootfs(), "/bin/", applet).c_str()), 0);
  }
  write_file("bundle/rootfs/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1001::/home/user:/bin/sh\n");
  write_file("bundle/rootfs/etc/group", "root:x:0:\nusers:x:1001:\n");
  const CommandResult spec = run_command({program("mydocker-runtime"), "spec", "--bundle", bundle()});
  ASSERT_EQ(spec.code, 0) << spec.err;
  example_ = parse_json(read_file(bundle() + "/config.json"));
}

void RuntimeTest::TearDown() {
  if (!surroundings_) return;
  EXPECT_EQ(wait_for_leftovers(), "");
  EXPECT_EQ(read_file("/proc/self/mountinfo").find(root()), std::string::npos);
  surroundings_.reset();
}

json::value RuntimeTest::make_config(const std::string& script) { return make_config_for({"sh", "-c", script}); }

json::value RuntimeTest::make_config_for(const Words& words) {
  json::value config = example_;
  json::object& process = edit(config, "process");
  process["terminal"] = false;
  process["args"] = json::array(words.begin(), words.end());
  edit(config, "root")["readonly"] = false;
  edit(config, "linux")["cgroupsPath"] = cgroup_parent() + "/one";
  return config;
}

void RuntimeTest::write_config(const json::value& config) { write_file("bundle/config.json", write_json(config)); }

std::string RuntimeTest::write_file(const std::string& path, const std::string& content, unsigned mode) {
  const std::string whole = root() + "/" + path;
  const UniqueFd file = open_file(whole, O_CREAT | O_WRONLY | O_TRUNC, mode);
  write_all(file.get(), content);
  if (::fchmod(file.get(), mode) != 0) throw sys_error("chmod ", whole);
  return whole;
}

std::string RuntimeTest::read(const std::string& path) { return read_file(root() + "/" + path); }

RuntimeTest::Words RuntimeTest::runtime_words(const Words& words) const {
  Words all = {program("mydocker-runtime"), "--root", state_root(), "--log", log_file()};
  all.insert(all.end(), words.begin(), words.end());
  return all;
}

CommandResult RuntimeTest::runtime(const Words& words, CommandOptions options) {
  return run_command(runtime_words(words), options);
}

CommandResult RuntimeTest::run(const json::value& config, const Words& flags) {
  write_config(config);
  Words words = {"run", "--bundle", bundle()};
  words.insert(words.end(), flags.begin(), flags.end());
  words.push_back("one");
  return runtime(words);
}

void RuntimeTest::create(const json::value& config, const std::string& id, const Words& flags) {
  write_config(config);
  Words words = {"create", "--bundle", bundle()};
  words.insert(words.end(), flags.begin(), flags.end());
  words.push_back(id);
  // Into files: a pipe would not end before the container does.
  Words shell = {"sh", "-c", "exec \"$@\" > out 2> err", "sh"};
  words = runtime_words(words);
  shell.insert(shell.end(), words.begin(), words.end());
  shell[2] = concat("cd ", root(), "; ", shell[2]);
  ASSERT_EQ(run_command(shell).code, 0) << read("err");
}

void RuntimeTest::start(const json::value& config, const std::string& id, const Words& flags) {
  create(config, id, flags);
  const CommandResult started = runtime({"start", id});
  ASSERT_EQ(started.code, 0) << started.err;
}

std::string RuntimeTest::output() { return read("out"); }

CommandResult RuntimeTest::exec(const std::string& script, const Words& flags, const std::string& id) {
  Words words = {"exec"};
  words.insert(words.end(), flags.begin(), flags.end());
  words.insert(words.end(), {id, "sh", "-c", script});
  return runtime(words);
}

std::string RuntimeTest::status(const std::string& id) {
  const CommandResult result = runtime({"state", id});
  return result.code == 0 ? std::string(parse_json(result.out).at("status").as_string()) : "none";
}

pid_t RuntimeTest::pid(const std::string& id) {
  return static_cast<pid_t>(parse_json(runtime({"state", id}).out).at("pid").as_int64());
}

void RuntimeTest::delete_forced(const std::string& id) {
  const CommandResult result = runtime({"delete", "--force", id});
  EXPECT_EQ(result.code, 0) << result.err;
}

void RuntimeTest::expect_refused(const CommandResult& result, const std::string& text) {
  SCOPED_TRACE(text);
  EXPECT_EQ(result.code, 1) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_NE(result.err.find(text), std::string::npos) << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_EQ(wait_for_leftovers(), "") << result.err;
  const std::string log = read("log");
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 1) << log;
  EXPECT_NE(log.find("level=error"), std::string::npos) << log;
  ASSERT_EQ(::unlink(log_file().c_str()), 0);
}

std::string RuntimeTest::leftovers() const {
  std::string out;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(state_root(), ignored)) {
    // What begins with a dot is no container's: the kept filters.
    if (entry.is_directory() && !entry.path().filename().string().starts_with("."))
      out += "state " + entry.path().filename().string() + "\n";
  }
  const std::string cgroups = list_cgroups(cgroup_parent() + "/one");
  if (!cgroups.empty()) out += "cgroups " + cgroups;
  const std::string processes = list_processes(cgroup_parent().substr(1));
  if (!processes.empty()) out += "processes " + processes;
  return out;
}

std::string RuntimeTest::wait_for_leftovers() const {
  std::string left;
  eventually([&] { return (left = leftovers()).empty(); });  // who adopted the zombies reaps them in its own time
  return left;
}

bool RuntimeTest::eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + patient(std::chrono::seconds(20));
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

json::object& edit(json::value& config, std::string_view member) {
  json::value& found = config.as_object()[member];
  if (found.is_null()) found = json::object{};
  return found.as_object();
}

json::object& edit(json::value& config, std::string_view member, std::string_view below) {
  json::value& found = edit(config, member)[below];
  if (found.is_null()) found = json::object{};
  return found.as_object();
}

void add_mount(json::value& config, const std::string& destination, const std::string& type, const std::string& source,
               const std::vector<std::string>& options) {
  config.at("mounts").as_array().push_back(json::object{{"destination", destination},
                                                        {"type", type},
                                                        {"source", source},
                                                        {"options", json::array(options.begin(), options.end())}});
}

void add_namespace(json::value& config, const std::string& type, const std::string& path) {
  json::object one{{"type", type}};
  if (!path.empty()) one["path"] = path;
  config.at("linux").at("namespaces").as_array().push_back(one);
}

void remove_namespace(json::value& config, const std::string& type) {
  json::array& list = config.at("linux").at("namespaces").as_array();
  const auto is_it = [&](const json::value& one) { return one.at("type").as_string() == type; };
  list.erase(std::remove_if(list.begin(), list.end(), is_it), list.end());
}

}  // namespace mydocker::test
