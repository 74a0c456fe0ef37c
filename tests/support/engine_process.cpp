#include "tests/support/engine_process.h"

#include <fcntl.h>
#include <net/if.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <regex>
#include <set>
#include <sstream>
#include <thread>

#include "engine/base/sys.h"
#include "tests/support/command.h"
#include "tests/support/patience.h"
#include "tests/support/programs.h"
#include "tests/support/requirements.h"

namespace mydocker::test {
namespace {

namespace fs = std::filesystem;

std::string sorted_lines(std::vector<std::string> lines) {
  std::sort(lines.begin(), lines.end());
  std::string out;
  for (const std::string& line : lines) out += line + "\n";
  return out;
}

std::string file_descriptors(pid_t pid) {
  std::vector<std::string> kinds;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(concat("/proc/", pid, "/fd"), error)) {
    std::string target = fs::read_symlink(entry.path(), error).string();
    if (error) continue;
    // Numbers of sockets, pipes and shims' processes differ from run to run; their kind and count must not.
    if (target.starts_with("socket:") || target.starts_with("pipe:")) target.resize(target.find(':'));
    if (target.starts_with("/proc/")) target = "/proc/";
    kinds.push_back(target);
  }
  return sorted_lines(kinds);
}

std::string mounts_of(const std::string& process) {
  std::vector<std::string> points;
  std::istringstream lines(read_file(concat("/proc/", process, "/mountinfo")));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string word;
    for (int i = 0; i < 5; ++i) words >> word;
    // Named network namespaces of others come and go: their files are shared with the whole machine.
    if (!word.starts_with("/run/netns")) points.push_back(word);
  }
  return sorted_lines(points);
}

std::string network_links() {
  std::vector<std::string> names;
  struct if_nameindex* list = ::if_nameindex();
  for (struct if_nameindex* i = list; i != nullptr && i->if_name != nullptr; ++i) names.emplace_back(i->if_name);
  ::if_freenameindex(list);
  return sorted_lines(names);
}

std::string packet_rules() {
  std::string text = run_command({"nft", "list", "ruleset"}).out;
  return std::regex_replace(text, std::regex("counter packets [0-9]+ bytes [0-9]+"), "counter");
}

std::string unix_sockets(const std::string& root) {
  std::vector<std::string> paths;
  std::istringstream lines(read_file("/proc/self/net/unix"));
  for (std::string line; std::getline(lines, line);) {
    const std::size_t found = line.find(root);
    // One line for the listener and one for each accepted connection: only the listeners count here.
    if (found != std::string::npos && line.find(" 00010000 ") != std::string::npos) paths.push_back(line.substr(found));
  }
  return sorted_lines(paths);
}

std::string tcp_listeners() {
  std::vector<std::string> addresses;
  for (const char* file : {"/proc/self/net/tcp", "/proc/self/net/tcp6"}) {
    std::istringstream lines(read_file(file));
    std::string line;
    std::getline(lines, line);
    while (std::getline(lines, line)) {
      std::istringstream words(line);
      std::string number;
      std::string local;
      std::string remote;
      std::string state;
      words >> number >> local >> remote >> state;
      if (state == "0A") addresses.push_back(local);
    }
  }
  return sorted_lines(addresses);
}

std::string files_below(const std::string& root) {
  std::vector<std::string> names;
  std::error_code error;
  for (auto i = fs::recursive_directory_iterator(root, error); i != fs::recursive_directory_iterator();
       i.increment(error)) {
    if (error) break;
    const std::string name = i->path().lexically_relative(root).string();
    // Trees of layers hold thousands of files which are one fact; SQLite comes and goes with its own two.
    if (i->is_directory(error) && !i->is_symlink(error) && i->path().filename() == "tree")
      i.disable_recursion_pending();
    // At most 64 compiled filters are kept for the next start.
    if (name.find("state.db") == std::string::npos && !name.starts_with("filters")) names.push_back(name);
  }
  return sorted_lines(names);
}

}  // namespace

EngineProcess::EngineProcess(const Surroundings& surroundings, std::vector<std::string> flags,
                             std::vector<std::string> environment)
    : root_(surroundings.root()),
      cgroup_parent_(surroundings.cgroup_parent()),
      flags_(std::move(flags)),
      environment_(std::move(environment)) {}

void EngineProcess::start() {
  const UniqueFd log_file = open_file(root_ + "/engine.log", O_WRONLY | O_CREAT | O_APPEND, 0644);
  SpawnOptions spawn;
  spawn.program = program("mydockerd");
  spawn.arguments = {"mydockerd",
                     "-H",
                     host(),
                     "--data-root",
                     data_root(),
                     "--exec-root",
                     exec_root(),
                     "--pidfile",
                     root_ + "/engine.pid",
                     "--cgroup-parent",
                     cgroup_parent_,
                     "--config-file",
                     root_ + "/daemon.json",
                     "--log-level",
                     "debug"};
  spawn.arguments.insert(spawn.arguments.end(), flags_.begin(), flags_.end());
  spawn.environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                       concat("MYDOCKER_TEST=", cgroup_parent_)};
  spawn.environment.insert(spawn.environment.end(), environment_.begin(), environment_.end());
  spawn.fds = {{log_file.get(), 1}, {log_file.get(), 2}};
  if (!path_exists(root_ + "/daemon.json")) {
    write_all(open_file(root_ + "/daemon.json", O_WRONLY | O_CREAT, 0600).get(), "{}\n");
  }
  process_ = Process::spawn(spawn);

  const HttpClient client(socket());
  for (auto waited = patient(std::chrono::seconds(20)); waited.count() > 0; waited -= std::chrono::milliseconds(10)) {
    if (has_died()) {
      kill();
      throw Error(ErrorKind::internal, concat("mydockerd ended at once:\n", log()));
    }
    try {
      if (client.get("/_ping").status == 200) return;
    } catch (const Error&) {  // not there yet
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  throw Error(ErrorKind::internal, concat("mydockerd does not answer:\n", log()));
}

void EngineProcess::kill() {
  if (!process_) return;
  process_.kill(SIGKILL);  // it may have ended by itself
  process_.wait();
  process_ = Process();
}

int EngineProcess::stop() {
  if (!process_) return 0;
  process_.kill(SIGTERM);
  if (!wait_readable(process_.pidfd(), static_cast<int>(patient(std::chrono::seconds(20)).count())))
    process_.kill(SIGKILL);
  return process_.wait().shell_code();
}

bool EngineProcess::has_died() const { return process_ && wait_readable(process_.pidfd(), 0); }

std::string EngineProcess::log() const {
  const std::string path = root_ + "/engine.log";
  if (!path_exists(path)) return "";
  std::string text = read_file(path);
  constexpr std::size_t enough = 20'000;
  return text.size() > enough ? text.substr(text.size() - enough) : text;
}

LeakSnapshot LeakSnapshot::take(const EngineProcess& engine, const Surroundings& surroundings) {
  const std::string mark = surroundings.cgroup_parent().substr(1);
  LeakSnapshot out;
  out.facts = {{"engine descriptors", file_descriptors(engine.pid())},
               {"engine mounts", mounts_of(std::to_string(engine.pid()))},
               {"host mounts", mounts_of("self")},
               {"links", network_links()},
               {"cgroups", list_cgroups(surroundings.cgroup_parent())},
               {"packet rules", packet_rules()},
               {"unix sockets", unix_sockets(surroundings.root())},
               {"tcp listeners", tcp_listeners()},
               {"data-root", files_below(engine.data_root())},
               {"exec-root", files_below(engine.exec_root())},
               {"processes", list_processes(mark)}};
  return out;
}

std::string LeakSnapshot::difference(const LeakSnapshot& before, const LeakSnapshot& after) {
  std::string out;
  for (std::size_t i = 0; i < before.facts.size(); ++i) {
    if (before.facts[i].second == after.facts[i].second) continue;
    std::multiset<std::string> old_lines;
    std::multiset<std::string> new_lines;
    std::istringstream a(before.facts[i].second);
    std::istringstream b(after.facts[i].second);
    for (std::string line; std::getline(a, line);) old_lines.insert(line);
    for (std::string line; std::getline(b, line);) new_lines.insert(line);
    std::vector<std::string> gone;
    std::vector<std::string> added;
    std::set_difference(old_lines.begin(), old_lines.end(), new_lines.begin(), new_lines.end(),
                        std::back_inserter(gone));
    std::set_difference(new_lines.begin(), new_lines.end(), old_lines.begin(), old_lines.end(),
                        std::back_inserter(added));
    out += concat(before.facts[i].first, ":\n");
    for (const std::string& line : gone) out += concat("  - ", line, "\n");
    for (const std::string& line : added) out += concat("  + ", line, "\n");
  }
  return out;
}

}  // namespace mydocker::test
