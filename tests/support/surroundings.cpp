#include "tests/support/surroundings.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <thread>
#include <vector>

#include "engine/base/sys.h"

namespace mydocker::test {
namespace {

namespace fs = std::filesystem;

struct Found {
  pid_t pid = 0;
  std::string command;
};

bool bears(pid_t pid, const std::string& mark) {
  for (const char* file : {"cgroup", "cmdline", "environ"}) {
    try {
      if (read_file(concat("/proc/", pid, "/", file)).find(mark) != std::string::npos) return true;
    } catch (const Error&) {  // it ended meanwhile
    }
  }
  return false;
}

std::vector<Found> find_processes(const std::string& mark) {
  std::vector<Found> out;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const pid_t pid = std::stoi(name);
    if (pid == ::getpid() || pid == ::getppid() || !bears(pid, mark)) continue;
    try {
      std::string command = read_file(concat("/proc/", pid, "/comm"));
      command.pop_back();
      out.push_back({pid, command});
    } catch (const Error&) {  // it ended meanwhile
    }
  }
  return out;
}

std::vector<std::string> cgroup_directories(const std::string& parent) {
  std::vector<std::string> roots;
  std::error_code ignored;
  if (fs::exists("/sys/fs/cgroup/cgroup.controllers")) roots.emplace_back("/sys/fs/cgroup");
  for (const auto& entry : fs::directory_iterator("/sys/fs/cgroup", ignored)) {
    if (entry.is_directory() && !entry.is_symlink()) roots.push_back(entry.path().string());
  }
  std::vector<std::string> out;
  for (const std::string& root : roots) {
    const std::string top = root + parent;
    if (!fs::is_directory(top, ignored)) continue;
    out.push_back(top);
    for (auto i = fs::recursive_directory_iterator(top, ignored); i != fs::recursive_directory_iterator();
         i.increment(ignored)) {
      if (ignored) break;
      if (i->is_directory(ignored)) out.push_back(i->path().string());
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

/// A frozen process of cgroup v1 does not even die of SIGKILL.
void thaw(const std::string& cgroup_parent) {
  for (const std::string& directory : cgroup_directories(cgroup_parent)) {
    const UniqueFd state(::open((directory + "/freezer.state").c_str(), O_WRONLY | O_CLOEXEC));
    if (state) static_cast<void>(!::write(state.get(), "THAWED", 6));
  }
}

/// Ends and removes everything that bears the name. Runs in the guardian.
void clean_up(const std::string& root, const std::string& cgroup_parent) {
  const std::string mark = cgroup_parent.substr(1);
  for (int round = 0; round < 200; ++round) {
    const std::vector<Found> left = find_processes(mark);
    if (left.empty()) break;
    for (const Found& process : left) ::kill(process.pid, SIGKILL);
    thaw(cgroup_parent);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  for (int round = 0; round < 100; ++round) {
    std::vector<std::string> directories = cgroup_directories(cgroup_parent);
    if (directories.empty()) break;
    std::reverse(directories.begin(), directories.end());
    for (const std::string& directory : directories) ::rmdir(directory.c_str());
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  try {
    remove_tree(root);
  } catch (const Error&) {  // something is mounted below: the mount namespace ends with us
  }
}

[[noreturn]] void guard(int pipe, const std::string& root, const std::string& cgroup_parent) {
  ::setsid();  // a ^C meant for the test must not end its guardian
  ::close_range(3, static_cast<unsigned>(pipe) - 1, 0);
  ::close_range(static_cast<unsigned>(pipe) + 1, ~0U, 0);
  char byte = 0;
  while (::read(pipe, &byte, 1) < 0 && errno == EINTR) {
  }
  try {
    clean_up(root, cgroup_parent);
  } catch (const std::exception&) {  // nothing more can be done
    ::_exit(1);
  }
  ::_exit(0);
}

}  // namespace

void enter_private_namespaces() {
  static bool entered = false;
  if (entered) return;
  if (::unshare(CLONE_NEWNET | CLONE_NEWNS) != 0) throw sys_error("unshare");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) throw sys_error("mount private");
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP;
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) throw sys_error("lo up");
  entered = true;
}

Surroundings::Surroundings() {
  const char* base = std::getenv("TMPDIR");
  const std::string name = concat("mydocker-test-", random_hex(6));
  root_ = concat(base != nullptr && *base != '\0' ? base : "/tmp", "/", name);
  cgroup_parent_ = "/" + name;
  make_dirs(root_, 0755);
  Pipe pipe = make_pipe();
  guardian_ = ::fork();
  if (guardian_ == 0) {
    pipe.write.reset();
    guard(pipe.read.get(), root_, cgroup_parent_);
  }
  guardian_pipe_ = std::move(pipe.write);
}

Surroundings::~Surroundings() {
  guardian_pipe_.reset();
  if (guardian_ > 0) ::waitpid(guardian_, nullptr, 0);
}

std::string list_processes(const std::string& mark) {
  std::vector<std::string> names;
  for (const Found& process : find_processes(mark)) names.push_back(process.command + "\n");
  std::sort(names.begin(), names.end());
  std::string out;
  for (const std::string& name : names) out += name;
  return out;
}

std::string list_cgroups(const std::string& parent) {
  std::string out;
  for (const std::string& directory : cgroup_directories(parent)) {
    // The parent and the shims' own group stay from the first container on.
    if (!directory.ends_with(parent) && !directory.ends_with("/_shims")) out += directory + "\n";
  }
  return out;
}

}  // namespace mydocker::test
