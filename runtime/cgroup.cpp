#include "runtime/cgroup.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "engine/base/failpoint.h"
#include "engine/base/sys.h"
#include "runtime/cgroup_tree.h"
#include "runtime/systemd.h"

namespace mydocker::runtime {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds freeze_timeout{10};
/// For what v1 tells nobody: how soon to look again.
constexpr int look_again_ms = 1;

// Files of both versions (kernel admin-guide/cgroup-v1, cgroup-v2).
const std::string procs_file = "cgroup.procs";
const std::string tasks_file = "tasks";
const std::string controllers_file = "cgroup.controllers";
const std::string events_file = "cgroup.events";
const std::string kill_file = "cgroup.kill";
const std::string v2_freeze_file = "cgroup.freeze";
const std::string v1_freezer_file = "freezer.state";

/// "key value" lines, as of cgroup.events.
std::optional<std::string> find_value(const std::string& text, std::string_view key) {
  for (const std::string& line : split(text, '\n')) {
    if (line.starts_with(key) && line.size() > key.size() && line[key.size()] == ' ') {
      return line.substr(key.size() + 1);
    }
  }
  return std::nullopt;
}

std::string check_path(const std::string& path) {
  std::string out;
  for (const std::string& part : split(path, '/')) {
    if (part == "..") throw Error(ErrorKind::invalid_argument, concat("cgroup path \"", path, "\" contains \"..\""));
    if (part != ".") out += "/" + part;
  }
  if (out.empty()) throw Error(ErrorKind::invalid_argument, "an empty cgroup path");
  return out;
}

void collect_processes(int dir, std::vector<pid_t>& out) {
  const auto text = find_file_at(dir, procs_file);
  if (!text) return;  // removed meanwhile
  for (const std::string& line : split(*text, '\n')) out.push_back(static_cast<pid_t>(std::stol(line)));
  for (const std::string& name : subdirectories(dir)) {
    const UniqueFd below = find_at(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (below) collect_processes(below.get(), out);
  }
}

int remaining_ms(Clock::time_point deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return left > 0 ? static_cast<int>(left) : 0;
}

/// Blocks until `key` in cgroup.events of `dir` is `value`; the file raises POLLPRI at each change.
bool wait_for_event(int dir, std::string_view key, std::string_view value, Clock::time_point deadline) {
  const UniqueFd events = open_at(dir, events_file, O_RDONLY);
  for (;;) {
    char text[256];
    const ssize_t size = ::pread(events.get(), text, sizeof text, 0);
    if (size < 0) throw sys_error("read ", events_file);
    if (find_value(std::string(text, static_cast<std::size_t>(size)), key) == value) return true;
    pollfd waiting{events.get(), POLLPRI, 0};
    const int left = remaining_ms(deadline);
    if (left == 0) return false;
    if (::poll(&waiting, 1, left) < 0 && errno != EINTR) throw sys_error("poll ", events_file);
  }
}

}  // namespace

bool CgroupHierarchy::has(std::string_view controller) const {
  return std::find(controllers.begin(), controllers.end(), controller) != controllers.end();
}

CgroupLayout CgroupLayout::detect(const std::string& root) {
  CgroupLayout layout;
  layout.root = root;
  const UniqueFd top = open_file(root, O_RDONLY | O_DIRECTORY);
  if (const auto controllers = find_file_at(top.get(), controllers_file)) {
    layout.mode = CgroupMode::v2;
    layout.hierarchies.push_back({"", split(trim(*controllers), ' '), true});
    return layout;
  }
  for (const std::string& name : subdirectories(top.get())) {  // links like cpu -> cpu,cpuacct are not directories
    const UniqueFd dir = open_at(top.get(), name, O_RDONLY | O_DIRECTORY);
    if (const auto controllers = find_file_at(dir.get(), controllers_file)) {
      layout.mode = CgroupMode::hybrid;
      layout.hierarchies.push_back({name, split(trim(*controllers), ' '), true});
    } else if (::faccessat(dir.get(), tasks_file.c_str(), F_OK, 0) == 0) {
      layout.hierarchies.push_back(
          {name, name == "systemd" ? std::vector<std::string>{"name=systemd"} : split(name, ','), false});
    }
  }
  if (layout.hierarchies.empty()) throw Error(ErrorKind::internal, concat("no cgroup file system below ", root));
  std::sort(layout.hierarchies.begin(), layout.hierarchies.end(),
            [](const auto& a, const auto& b) { return a.directory < b.directory; });
  return layout;
}

bool CgroupLayout::has(std::string_view controller) const {
  return std::any_of(hierarchies.begin(), hierarchies.end(), [&](const auto& one) { return one.has(controller); });
}

Cgroup Cgroup::create(const std::string& path, const std::string& root) {
  Cgroup cgroup;
  cgroup.layout_ = CgroupLayout::detect(root);
  if (const std::optional<ScopeName> scope = parse_scope_name(path)) {
    cgroup.path_ = scope->path();
    cgroup.placeholder_ = Placeholder::start();
    start_scope(*scope, concat("container ", scope->unit), cgroup.placeholder_.pid());
    cgroup.unit_ = scope->unit;
  } else {
    cgroup.path_ = check_path(path);
  }
  const std::vector<std::string> parts = split(cgroup.path_, '/');
  try {
    for (std::size_t i = 0; i < cgroup.layout_.hierarchies.size(); ++i) {
      failpoint("cgroup.create");
      const CgroupHierarchy& hierarchy = cgroup.layout_.hierarchies[i];
      const UniqueFd top = open_file(concat(root, "/", hierarchy.directory), O_RDONLY | O_DIRECTORY);
      const bool cpuset = !hierarchy.v2 && hierarchy.has("cpuset");
      cgroup.directories_.push_back({i, make_cgroup_directories(top.get(), parts, hierarchy.v2, cpuset)});
    }
  } catch (...) {
    cgroup.remove_scope();
    throw;
  }
  return cgroup;
}

Cgroup Cgroup::open(const std::string& path, const std::string& root) {
  Cgroup cgroup;
  cgroup.layout_ = CgroupLayout::detect(root);
  const std::optional<ScopeName> scope = parse_scope_name(path);
  cgroup.path_ = scope ? scope->path() : check_path(path);
  if (scope) cgroup.unit_ = scope->unit;
  for (std::size_t i = 0; i < cgroup.layout_.hierarchies.size(); ++i) {
    const std::string whole = concat(root, "/", cgroup.layout_.hierarchies[i].directory, cgroup.path_);
    UniqueFd dir = find_at(AT_FDCWD, whole, O_RDONLY | O_DIRECTORY);
    if (dir) cgroup.directories_.push_back({i, std::move(dir)});
  }
  if (cgroup.directories_.empty()) throw Error(ErrorKind::not_found, concat("no such cgroup: ", path));
  return cgroup;
}

void Cgroup::enter(const std::string& name, const std::string& root) {
  if (const std::optional<ScopeName> scope = parse_scope_name(name)) {
    return enter_scope(*scope, "shims of containers", ::getpid());
  }
  create(name, root).join(false);
}

void Cgroup::keep_where(pid_t pid) {
  const std::vector<std::string> parts = split(path_, '/');
  std::erase_if(directories_, [&](const Directory& directory) {
    const std::vector<std::string> pids = split(read_file_at(directory.fd.get(), procs_file), '\n');
    if (std::find(pids.begin(), pids.end(), std::to_string(pid)) != pids.end()) return false;
    const std::string& hierarchy = layout_.hierarchies[directory.hierarchy].directory;
    const UniqueFd top = open_file(concat(layout_.root, "/", hierarchy), O_RDONLY | O_DIRECTORY);
    remove_cgroup_directories(top.get(), parts);
    return true;
  });
  if (directories_.empty()) throw Error(ErrorKind::not_found, concat("process ", pid, " is not in cgroup ", path_));
}

Cgroup Cgroup::open_of_process(pid_t pid, const std::string& root) {
  // "4:memory:/a", "0::/b"; the path is the same in every hierarchy for what this library made.
  for (const std::string& line : split(read_file(concat("/proc/", pid, "/cgroup")), '\n')) {
    const std::size_t second = line.find(':', line.find(':') + 1);
    if (second != std::string::npos && line.size() > second + 2) return open(line.substr(second + 1), root);
  }
  throw Error(ErrorKind::not_found, concat("process ", pid, " is in no cgroup of its own"));
}

const Cgroup::Directory* Cgroup::find_controller(std::string_view controller) const {
  for (const Directory& directory : directories_) {
    if (layout_.hierarchies[directory.hierarchy].has(controller)) return &directory;
  }
  return nullptr;
}

const Cgroup::Directory& Cgroup::require_controller(std::string_view controller, std::string_view limit) const {
  if (const Directory* found = find_controller(controller)) return *found;
  throw Error(ErrorKind::invalid_argument,
              concat(limit, " cannot be limited: the cgroup controller \"", controller, "\" is not available here"));
}

void Cgroup::join(bool born_in_v2) const {
  failpoint("cgroup.join");
  for (const Directory& directory : directories_) {
    if (is_v2(directory)) {
      if (!born_in_v2) write_kernel_file_at(directory.fd.get(), procs_file, "0");
    } else {
      write_kernel_file_at(directory.fd.get(), tasks_file, "0");
    }
  }
}

void Cgroup::add_process(pid_t pid) const {
  for (const Directory& directory : directories_) {
    write_kernel_file_at(directory.fd.get(), procs_file, std::to_string(pid));
  }
}

int Cgroup::v2_fd() const noexcept {
  for (const Directory& directory : directories_) {
    if (is_v2(directory)) return directory.fd.get();
  }
  return -1;
}

UniqueFd Cgroup::open_v2_of(pid_t pid) const {
  for (const std::string& line : split(read_file(concat("/proc/", pid, "/cgroup")), '\n')) {
    if (!line.starts_with("0::" + path_ + "/")) continue;
    return open_beneath(v2_fd(), line.substr(3 + path_.size() + 1), O_RDONLY | O_DIRECTORY);
  }
  throw Error(ErrorKind::internal, concat("process ", pid, " is not below the cgroup ", path_));
}

void Cgroup::freeze() { set_frozen(true); }

void Cgroup::thaw() { set_frozen(false); }

bool Cgroup::has_v2_freezer() const {
  return v2_fd() >= 0 && ::faccessat(v2_fd(), v2_freeze_file.c_str(), F_OK, 0) == 0;
}

/// false: not within the time. Writing again makes the kernel look for processes that came in meanwhile. The v1 freezer
/// can stay in FREEZING for good when a process forks at the wrong moment; only a thaw in between gets it out.
bool Cgroup::set_frozen_v1(int freezer, bool frozen) {
  constexpr int tries_before_thaw = 50;
  const Clock::time_point deadline = Clock::now() + freeze_timeout;
  const std::string wanted = frozen ? "FROZEN" : "THAWED";
  for (int tries = 1;; ++tries) {
    if (frozen && tries % tries_before_thaw == 0) write_kernel_file_at(freezer, v1_freezer_file, "THAWED");
    write_kernel_file_at(freezer, v1_freezer_file, wanted);
    if (trim(read_file_at(freezer, v1_freezer_file)) == wanted) return true;
    if (Clock::now() >= deadline) return false;
    ::poll(nullptr, 0, look_again_ms);
  }
}

void Cgroup::set_frozen(bool frozen) {
  const Directory* freezer = find_controller("freezer");
  bool done = false;
  if (has_v2_freezer()) {
    write_kernel_file_at(v2_fd(), v2_freeze_file, frozen ? "1" : "0");
    done = wait_for_event(v2_fd(), "frozen", frozen ? "1" : "0", Clock::now() + freeze_timeout);
    // Another program may have frozen it on v1.
    if (!frozen && done && freezer != nullptr) done = set_frozen_v1(freezer->fd.get(), false);
  } else if (freezer != nullptr) {
    done = set_frozen_v1(freezer->fd.get(), frozen);
  } else {
    throw Error(ErrorKind::internal, "no freezer on this host");
  }
  if (done) return;
  if (frozen) set_frozen(false);
  throw Error(ErrorKind::internal, concat("the processes of ", path_, " cannot be frozen"));
}

bool Cgroup::frozen() const {
  if (has_v2_freezer()) {
    const auto events = find_file_at(v2_fd(), events_file);
    if (events && find_value(*events, "frozen") == "1") return true;
  }
  const Directory* freezer = find_controller("freezer");
  return freezer != nullptr && trim(find_file_at(freezer->fd.get(), v1_freezer_file).value_or("")) == "FROZEN";
}

void Cgroup::kill_all() {
  failpoint("cgroup.kill");
  placeholder_ = {};
  if (v2_fd() >= 0 && ::faccessat(v2_fd(), kill_file.c_str(), F_OK, 0) == 0) {
    write_kernel_file_at(v2_fd(), kill_file, "1");
    if (const Directory* freezer = find_controller("freezer")) {  // nobody dies in a cgroup that v1 has frozen
      if (trim(read_file_at(freezer->fd.get(), v1_freezer_file)) != "THAWED") set_frozen_v1(freezer->fd.get(), false);
    }
    return;
  }
  // Twice: what was forked between the list and the signals is found by the second pass, as its parents are dead.
  const bool can_freeze = (find_controller("freezer") != nullptr || has_v2_freezer()) && !processes().empty();
  for (int pass = 0; pass < 2; ++pass) {
    if (can_freeze) set_frozen(true);
    for (const pid_t pid : processes()) {
      if (pid != ::getpid()) ::kill(pid, SIGKILL);
    }
    if (can_freeze) set_frozen(false);
  }
}

std::vector<pid_t> Cgroup::processes() const {
  std::vector<pid_t> pids;
  // Any hierarchy tells; the first v1 one is in step with the rest, v2 in a hybrid tree as well.
  if (!directories_.empty()) collect_processes(directories_.front().fd.get(), pids);
  std::sort(pids.begin(), pids.end());
  pids.erase(std::unique(pids.begin(), pids.end()), pids.end());
  return pids;
}

bool Cgroup::empty() const { return processes().empty(); }

bool Cgroup::remove_directories() {
  const std::vector<std::string> parts = split(path_, '/');
  bool all = true;
  for (const Directory& directory : directories_) {
    const std::string& hierarchy = layout_.hierarchies[directory.hierarchy].directory;
    const UniqueFd top = find_at(AT_FDCWD, concat(layout_.root, "/", hierarchy), O_RDONLY | O_DIRECTORY);
    if (top && !remove_cgroup_directories(top.get(), parts)) all = false;
  }
  return all;
}

void Cgroup::wait_for_exits(int timeout_ms) const {
  if (v2_fd() >= 0 && ::faccessat(v2_fd(), events_file.c_str(), F_OK, 0) == 0 &&
      wait_for_event(v2_fd(), "populated", "0", Clock::now() + std::chrono::milliseconds(timeout_ms)) &&
      processes().empty()) {
    return;
  }
  const std::vector<pid_t> pids = processes();
  if (!pids.empty()) {
    try {
      const UniqueFd pidfd = open_pidfd(pids.front());
      wait_readable(pidfd.get(), timeout_ms);
    } catch (const Error&) {  // gone between the two lines
    }
  }
  ::poll(nullptr, 0, look_again_ms);
}

void Cgroup::remove(int timeout_ms) {
  failpoint("cgroup.remove");
  placeholder_ = {};
  const Clock::time_point deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
  while (!remove_directories()) {
    if (Clock::now() >= deadline) throw Error(ErrorKind::internal, concat("cgroup ", path_, " stays busy"));
    wait_for_exits(remaining_ms(deadline));
  }
  remove_scope();
}

/// systemd forgets an empty scope by itself; that it has done so is waited for, so that the name is free again.
void Cgroup::remove_scope() {
  placeholder_ = {};
  if (unit_.empty()) return;
  try {
    stop_scope(unit_);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::unavailable) throw;
  }
}

}  // namespace mydocker::runtime
