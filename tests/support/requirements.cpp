#include "tests/support/requirements.h"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

namespace mydocker::test {

bool is_root() { return ::geteuid() == 0; }

namespace {

/// Tried in a child, so that this process stays where it is.
bool can_unshare(int flags) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(::unshare(flags) == 0 ? 0 : 1);
  int status = 0;
  return child > 0 && ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

bool can_make_namespaces() {
  static const bool can = can_unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID);
  return can;
}

bool can_make_user_namespaces() {
  static const bool can = can_unshare(CLONE_NEWUSER);
  return can;
}

std::string find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return ::access(name.c_str(), X_OK) == 0 ? name : std::string();
  const char* path = std::getenv("PATH");
  const std::string list =
      concat(path != nullptr ? path : "", ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(':', begin), list.size());
    const std::string candidate = concat(list.substr(begin, end - begin), "/", name);
    if (candidate.front() == '/' && ::access(candidate.c_str(), X_OK) == 0) return candidate;
    begin = end + 1;
  }
  return {};
}

}  // namespace mydocker::test
