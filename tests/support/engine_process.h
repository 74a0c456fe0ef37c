#pragma once

#include <string>
#include <vector>

#include "engine/base/process.h"
#include "tests/support/http_client.h"
#include "tests/support/surroundings.h"

namespace mydocker::test {

/// A real mydockerd with its own data-root, exec-root, socket and cgroup parent below the surroundings' directory.
class EngineProcess {
 public:
  explicit EngineProcess(const Surroundings& surroundings, std::vector<std::string> flags = {},
                         std::vector<std::string> environment = {});
  EngineProcess(const EngineProcess&) = delete;
  EngineProcess& operator=(const EngineProcess&) = delete;

  /// Returns when /_ping answers; throws Error{internal} with the engine's log when it ends or stays silent for 20 s.
  void start();
  /// SIGKILL, as a crash.
  void kill();
  /// SIGTERM, and waits for the end; gives its exit code.
  int stop();
  void restart() {
    kill();
    start();
  }
  bool running() const { return static_cast<bool>(process_); }
  /// Did it end by itself since start()?
  bool has_died() const;

  pid_t pid() const { return process_.pid(); }
  /// Readable when it has ended.
  int pidfd() const { return process_.pidfd(); }
  std::string socket() const { return root_ + "/engine.sock"; }
  /// "unix:///..." for DOCKER_HOST.
  std::string host() const { return "unix://" + socket(); }
  std::string data_root() const { return root_ + "/data"; }
  std::string exec_root() const { return root_ + "/exec"; }
  std::string log() const;
  void set_flags(std::vector<std::string> flags) { flags_ = std::move(flags); }
  void set_environment(std::vector<std::string> environment) { environment_ = std::move(environment); }

 private:
  std::string root_;
  std::string cgroup_parent_;
  std::vector<std::string> flags_;
  std::vector<std::string> environment_;
  Process process_;
};

/// Everything that one engine may leave behind, as sorted lines: descriptors, mounts, links, cgroups, rules, sockets,
/// files, processes. Two of them are compared, before and after.
struct LeakSnapshot {
  std::vector<std::pair<std::string, std::string>> facts;

  static LeakSnapshot take(const EngineProcess& engine, const Surroundings& surroundings);
  /// What differs, for people; empty when nothing does.
  static std::string difference(const LeakSnapshot& before, const LeakSnapshot& after);
};

}  // namespace mydocker::test
