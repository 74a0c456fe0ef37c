#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/container.h"
#include "engine/create_check.h"
#include "engine/mount_plan.h"
#include "engine/options.h"
#include "network/records.h"
#include "runtime/shim_protocol.h"
#include "runtime/spec.h"
#include "storage/paths.h"

/// From a container's record to what runtime and shim are told: the whole policy of a start in one place. Reads device
/// numbers and a seccomp profile from the host, changes nothing; any thread.
namespace mydocker::engine {

/// A running container that the started one knows by a name of its own (HostConfig.Links).
struct LinkedContainer {
  std::string alias;
  std::string name;  ///< without slash
  std::string hostname;
  std::string address;
  std::vector<std::string> ports;  ///< exposed: "80/tcp"
  std::vector<std::string> env;
};

/// What the plan needs to know beside the record.
struct LaunchInput {
  ContainerRecord record;
  const Options* options = nullptr;
  const HostFacts* facts = nullptr;
  const storage::Paths* paths = nullptr;
  OverlayMount rootfs;
  std::string shim_dir;
  std::string sandbox_key;
  std::string init_program;  ///< host path of mydocker-init
  std::string shims_cgroup;
  int network_owner_pid = 0;  ///< of the container behind NetworkMode container:X
  std::string network_owner_id;
  int pid_owner_pid = 0;  ///< behind PidMode container:X
  int ipc_owner_pid = 0;  ///< behind IpcMode container:X
  std::vector<LinkedContainer> links;
  std::map<std::string, std::vector<std::string>> image_layers;  ///< mount target -> directories, topmost first
};

enum class NetworkKind { attach, none, host, container };

struct LaunchPlan {
  runtime::Spec spec;
  runtime::ShimConfig shim;
  NetworkKind network_kind = NetworkKind::attach;
  std::string network_name;  ///< for `attach`
  std::vector<network::PortRequest> ports;
  std::vector<PlannedMount> mounts;
  std::string hostname;  ///< as /etc/hostname says it
};

LaunchPlan plan_launch(const LaunchInput& input);

/// Whom the container's files are asked about: nobody named means root, with the groups that /etc/group puts root in.
std::string effective_user(const std::string& configured);

/// The process of an exec: the container's environment, rights and limits with what the request changes.
runtime::Process plan_exec_process(const ContainerRecord& record, const api::ExecCreateRequest& request,
                                   const Options& options);

/// The cgroup of a container, as runtime::Cgroup names it: "<parent>/<id>", or "<slice>:mydocker:<id>" for systemd.
std::string cgroup_path(const ContainerRecord& record, const Options& options);

/// Where shims live, apart from the containers and from the engine.
std::string shims_cgroup(const Options& options);

/// Default and asked-for capabilities (SECURITY 6.1). Throws Error{invalid_argument} for one that this host's engine
/// does not have.
std::vector<std::string> plan_capabilities(const api::HostConfig& host);

}  // namespace mydocker::engine
