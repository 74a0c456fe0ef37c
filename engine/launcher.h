#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/base/trace.h"
#include "engine/container.h"
#include "engine/launch_plan.h"
#include "network/networks.h"
#include "runtime/shim_client.h"

namespace mydocker::engine {

/// Between the two halves of a start: namespaces, cgroups and network are there, the program does not run yet.
struct Prepared {
  LaunchPlan plan;
  std::string container_id;
  std::string shim_dir;
  std::string sandbox_key;
  std::string cgroup;
  std::shared_ptr<runtime::ShimClient> shim;
  UniqueFd shim_pidfd;  ///< our child: to be reaped when it ends
  std::vector<EndpointRecord> endpoints;
  std::map<std::string, std::vector<api::PortBinding>> ports;
};

struct Launched {
  UniqueFd events;  ///< of the shim, open since before the program ran: none is missed
  int pid = 0;
  std::int64_t started_at_ns = 0;
  std::vector<EndpointRecord> endpoints;
  std::map<std::string, std::vector<api::PortBinding>> ports;
};

/// The blocking half of a start: values in, handle out, sees no engine state. One thread at a time.
/// If a step throws, what was built is torn down, newest first.
class Launcher {
 public:
  Launcher(network::Networks& networks, std::string shim_program)
      : networks_(networks), shim_program_(std::move(shim_program)) {}

  /// Files, bundle, shim, cgroups, namespaces, network.
  Prepared prepare(const LaunchInput& input, Trace& trace);
  /// Hands over who attached already, then lets the program run. Throws runtime::LaunchError for a bad program.
  Launched run(Prepared& prepared, const std::vector<PendingAttach>& attaches, Trace& trace);

  /// The start's files on tmpfs: after the shim has said that it is finished.
  static void clean_up(const std::string& shim_dir, const std::string& sandbox_key);
  /// What a killed shim could not remove itself.
  static void clean_up_cgroup(const std::string& cgroup);

 private:
  void attach_network(const LaunchInput& input, Prepared& prepared, const runtime::ShimCreated& created);

  network::Networks& networks_;
  std::string shim_program_;
};

}  // namespace mydocker::engine
