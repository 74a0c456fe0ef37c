#include "runtime/oci/container.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>

#include "engine/base/atomic_file.h"
#include "engine/base/sys.h"

namespace mydocker::oci {
namespace {

constexpr std::size_t longest_id = 1024;
constexpr int start_time_field = 22;

void check_id(const std::string& id) {
  const bool bad_character = std::any_of(id.begin(), id.end(), [](char c) {
    return !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '+' ||
             c == '-' || c == '.');
  });
  if (id.empty() || id.size() > longest_id || bad_character || id == "." || id == "..") {
    throw Error(ErrorKind::invalid_argument, concat("invalid container id \"", id, "\""));
  }
}

}  // namespace

std::string_view to_string(Status status) {
  switch (status) {
    case Status::creating:
      return "creating";
    case Status::created:
      return "created";
    case Status::running:
      return "running";
    case Status::paused:
      return "paused";
    case Status::stopped:
      return "stopped";
  }
  return "unknown";
}

std::uint64_t read_start_time(pid_t pid, bool* zombie) {
  const auto text = find_file_at(AT_FDCWD, concat("/proc/", pid, "/stat"), 4096);
  if (!text) return 0;
  // The name in parentheses may hold anything: count from its end, which is followed by field 3.
  std::size_t at = text->rfind(')');
  if (at == std::string::npos || at + 2 >= text->size()) return 0;
  at += 2;
  if (zombie != nullptr) *zombie = (*text)[at] == 'Z' || (*text)[at] == 'X';
  for (int field = 3; field < start_time_field && at != std::string::npos; ++field) {
    at = text->find(' ', at);
    if (at != std::string::npos) ++at;
  }
  return at == std::string::npos ? 0 : std::strtoull(text->c_str() + at, nullptr, 10);
}

Container Container::reserve(const GlobalOptions& options, const std::string& id) {
  check_id(id);
  make_dirs(options.root, 0700);
  Container container;
  container.directory_ = concat(options.root, "/", id);
  if (::mkdir(container.directory_.c_str(), 0700) != 0) {
    if (errno == EEXIST) throw Error(ErrorKind::conflict, concat("container with id \"", id, "\" already exists"));
    throw sys_error("mkdir ", container.directory_);
  }
  container.record_.id = id;
  return container;
}

Container Container::open(const GlobalOptions& options, const std::string& id) {
  check_id(id);
  Container container;
  container.directory_ = concat(options.root, "/", id);
  const auto text = find_file_at(AT_FDCWD, container.directory_ + "/state.json");
  if (text) {
    container.record_ = from_json<Record>(parse_json(*text), container.directory_ + "/state.json");
  } else if (!path_exists(container.directory_)) {
    throw Error(ErrorKind::not_found, concat("container \"", id, "\" does not exist"));
  }
  container.record_.id = id;
  return container;
}

std::vector<std::string> Container::list(const GlobalOptions& options) {
  std::vector<std::string> ids;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(options.root.c_str()), ::closedir);
  if (!directory) return ids;
  while (const dirent* entry = ::readdir(directory.get())) {
    if (entry->d_name[0] != '.') ids.emplace_back(entry->d_name);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

std::optional<runtime::Spec> Container::find_spec() const {
  try {
    return spec();
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::string filter_directory(const GlobalOptions& options) { return options.root + "/.filters@"; }

void Container::save() const {
  // Not synced: the directory lives on a tmpfs, and the containers die with the machine.
  const std::string path = directory_ + "/state.json";
  const std::string aside = path + ".new";
  const UniqueFd file = open_file(aside, O_CREAT | O_WRONLY | O_TRUNC, 0600);
  write_all(file.get(), write_json(to_json(record_)));
  if (::rename(aside.c_str(), path.c_str()) != 0) throw sys_error("rename ", aside);
}

Status Container::status() const {
  if (record_.pid == 0) return record_.created.empty() ? Status::creating : Status::stopped;
  bool zombie = false;
  if (read_start_time(record_.pid, &zombie) != record_.start_time || zombie) return Status::stopped;
  if (!record_.started && path_exists(start_socket())) return Status::created;
  try {
    if (!record_.cgroup_path.empty() && cgroup().frozen()) return Status::paused;
  } catch (const Error&) {  // no cgroup: cannot be paused
  }
  return Status::running;
}

runtime::State Container::state() const {
  runtime::State state;
  const Status now = status();
  state.id = record_.id;
  state.status = std::string(to_string(now));
  state.pid = now == Status::stopped ? 0 : record_.pid;
  state.bundle = record_.bundle;
  if (const std::optional<runtime::Spec> known = find_spec()) state.annotations = known->annotations;
  return state;
}

UniqueFd Container::open_process() const {
  if (status() == Status::stopped) throw Error(ErrorKind::not_found, concat("container not running: ", record_.id));
  UniqueFd pidfd = open_pidfd(record_.pid);
  // Once held, the number cannot be given to another process: look again.
  if (read_start_time(record_.pid) != record_.start_time) {
    throw Error(ErrorKind::not_found, concat("container not running: ", record_.id));
  }
  return pidfd;
}

void Container::remove() {
  if (!record_.cgroup_path.empty()) {
    try {
      runtime::Cgroup group = cgroup();
      group.kill_all();  // leftovers of a shared pid namespace
      group.remove();
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::not_found) throw;
    }
  }
  remove_tree(directory_);
}

}  // namespace mydocker::oci
