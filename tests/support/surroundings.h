#pragma once

#include <string>

#include "engine/base/unique_fd.h"

/// What keeps a test of the real engine apart from the machine and from other tests.
namespace mydocker::test {

/// Puts the calling process into network and mount namespaces of its own (once; later calls do nothing): loopback is
/// up, mounts do not propagate. Everything started afterwards inherits them.
void enter_private_namespaces();

/// A directory, a cgroup parent and a name that no other test has; a guardian process ends and removes whatever bears
/// the name when this object goes, also when the test itself is killed.
class Surroundings {
 public:
  Surroundings();
  Surroundings(const Surroundings&) = delete;
  Surroundings& operator=(const Surroundings&) = delete;
  ~Surroundings();

  const std::string& root() const { return root_; }
  /// "/mydocker-test-..." for --cgroup-parent.
  const std::string& cgroup_parent() const { return cgroup_parent_; }

 private:
  std::string root_;
  std::string cgroup_parent_;
  UniqueFd guardian_pipe_;
  int guardian_ = -1;
};

/// Processes (but not this one and its guardian) whose cgroup, command line or environment bears `mark`.
std::string list_processes(const std::string& mark);
/// The cgroup directories below `parent` in every mounted hierarchy, sorted; not the shims' own group.
std::string list_cgroups(const std::string& parent);

}  // namespace mydocker::test
