#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/types/container.h"
#include "api/types/exec.h"
#include "engine/async.h"
#include "engine/base/time.h"
#include "engine/container_state.h"
#include "engine/mount_plan.h"
#include "runtime/shim_client.h"

/// Containers as the engine knows them. I/O thread only.
namespace mydocker::engine {

/// One container's link to one network, as it stands while the container runs.
struct EndpointRecord {
  std::string network_id;
  std::string network_name;
  std::string endpoint_id;
  std::string address;  ///< "" when not running
  int prefix_length = 0;
  std::string gateway;
  std::string mac;

  static constexpr auto json_fields() {
    return std::tuple(field("network_id", &EndpointRecord::network_id),
                      field("network_name", &EndpointRecord::network_name),
                      field("endpoint_id", &EndpointRecord::endpoint_id), field("address", &EndpointRecord::address),
                      field("prefix_length", &EndpointRecord::prefix_length),
                      field("gateway", &EndpointRecord::gateway), field("mac", &EndpointRecord::mac));
  }
};

/// HostConfig.Links: a container of the default bridge that this one knows by a name of its own.
struct LinkRecord {
  std::string target_id;
  std::string alias;

  static constexpr auto json_fields() {
    return std::tuple(field("target_id", &LinkRecord::target_id), field("alias", &LinkRecord::alias));
  }
};

/// What survives: one row of `containers`, the document in its column `record`.
struct ContainerRecord {
  std::string id;
  std::string name;          ///< without slash
  std::int64_t created = 0;  ///< nanoseconds since 1970, as all times here
  std::string image_id;
  std::string chain_id;  ///< top layer; "" = an empty root file system
  std::string path;      ///< the program, and its arguments: entrypoint + cmd
  std::vector<std::string> args;
  api::ContainerConfig config;                                     ///< merged with the image's
  api::HostConfig host_config;                                     ///< with the defaults filled in
  std::map<std::string, api::EndpointSettings> endpoint_settings;  ///< network name -> what was asked for

  std::map<std::string, std::string> volume_names;       ///< mount target -> volume, anonymous ones included
  std::map<std::string, api::StringMap> volume_options;  ///< volume -> driver options, for those that have any
  std::vector<PlannedMount> inherited_mounts;            ///< by VolumesFrom, as they were at the create
  std::map<std::string, std::string> image_mounts;       ///< mount target -> chain ID
  std::vector<LinkRecord> links;

  std::string state = "created";
  int exit_code = 0;
  std::string error;
  bool oom_killed = false;
  std::int64_t started_at = 0;
  std::int64_t finished_at = 0;
  int pid = 0;
  std::int64_t restart_count = 0;
  bool stopped_by_user = false;
  std::optional<runtime::ExitRecord> last_exit;  ///< as the shim told it; nothing before the first exit
  std::optional<api::Health> health;             ///< with probes, from the first start on
  std::string boot_id;  ///< of the host when it was started: the pid means nothing after a reboot
  std::vector<EndpointRecord> endpoints;
  std::map<std::string, std::vector<api::PortBinding>> ports;  ///< "80/tcp" -> bound addresses, while running

  static constexpr auto json_fields() {
    return std::tuple(field("id", &ContainerRecord::id), field("name", &ContainerRecord::name),
                      field("created", &ContainerRecord::created), field("image_id", &ContainerRecord::image_id),
                      field("chain_id", &ContainerRecord::chain_id), field("path", &ContainerRecord::path),
                      field("args", &ContainerRecord::args), field("config", &ContainerRecord::config),
                      field("host_config", &ContainerRecord::host_config),
                      field("endpoint_settings", &ContainerRecord::endpoint_settings),
                      field("volume_names", &ContainerRecord::volume_names),
                      field("volume_options", &ContainerRecord::volume_options),
                      field("inherited_mounts", &ContainerRecord::inherited_mounts),
                      field("image_mounts", &ContainerRecord::image_mounts), field("links", &ContainerRecord::links),
                      field("state", &ContainerRecord::state), field("exit_code", &ContainerRecord::exit_code),
                      field("error", &ContainerRecord::error), field("oom_killed", &ContainerRecord::oom_killed),
                      field("started_at", &ContainerRecord::started_at),
                      field("finished_at", &ContainerRecord::finished_at), field("pid", &ContainerRecord::pid),
                      field("restart_count", &ContainerRecord::restart_count),
                      field("stopped_by_user", &ContainerRecord::stopped_by_user),
                      field_omit_empty("last_exit", &ContainerRecord::last_exit),
                      field_omit_empty("health", &ContainerRecord::health), field("boot_id", &ContainerRecord::boot_id),
                      field("endpoints", &ContainerRecord::endpoints), field("ports", &ContainerRecord::ports));
  }
};

/// A client that attached before the start, or during a restart: handed to the shim between its create and its start.
struct PendingAttach {
  runtime::AttachRequest request;
  UniqueFd client;
};

/// One exec session, running or over (WIRE 6).
struct Exec {
  std::string id;
  std::string container_id;
  api::ExecCreateRequest request;
  bool started = false;
  bool running = false;
  std::optional<int> exit_code;
  int pid = 0;
  std::string detach_keys;
  std::chrono::steady_clock::time_point ended{};
};

/// How a run ends, or its start fails: what a `wait` answers. Whoever waits keeps the one of the run that it waits for,
/// so that no later run can take its place.
struct Ending {
  bool known = false;
  int exit_code = 0;
  std::string error;  ///< of a failed start
};

/// A container: its record and what belongs to this run of the engine.
struct Container {
  explicit Container(const asio::any_io_executor& io) : turns(io), changed(io) {}

  ContainerRecord record;
  ContainerState state = ContainerState::created;

  TurnQueue turns;  ///< taken by every verb that changes the container
  Signal changed;   ///< any change of state, and removal

  std::shared_ptr<runtime::ShimClient> shim;  ///< while alive
  std::vector<PendingAttach> pending_attaches;
  std::map<std::string, std::shared_ptr<Exec>> execs;
  std::vector<int> uploads;  ///< eventfds of those under way (engine/uploads.h)
  int forced_removals = 0;   ///< waiting for their turn: no upload begins any more

  std::shared_ptr<Ending> ending = std::make_shared<Ending>();  ///< of the run that is on, or the next one
  bool start_failed = false;  ///< the last start failed: `wait` answers with record.error
  bool launching = false;     ///< between a start's beginning and its success or failure
  bool removed = false;
  std::string removal_error;
  bool restart_cancelled = false;
  std::chrono::milliseconds backoff{0};
  bool oom_announced = false;  ///< in this run
  bool die_announced = false;  ///< in this run, by an earlier engine that did not come to the end of it
  bool recovered = false;      ///< an earlier engine may have told some of what its shim tells again
  bool exit_handled = true;    ///< false between the start and the end of the exit's bookkeeping

  const std::string& id() const { return record.id; }
  const std::string& name() const { return record.name; }
};

using ContainerPtr = std::shared_ptr<Container>;

}  // namespace mydocker::engine
