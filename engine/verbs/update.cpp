#include "engine/create_check.h"
#include "engine/engine.h"
#include "engine/engine_state.h"
#include "engine/launch_plan.h"
#include "engine/resource_check.h"
#include "engine/resource_plan.h"
#include "engine/restart_policy.h"
#include "runtime/cgroup.h"

/// ContainerUpdate: limits and restart policy of a container, live (WIRE 16).
namespace mydocker::engine {
namespace {

[[noreturn]] void refuse(const Container& container, std::string_view why) {
  throw Error(ErrorKind::conflict, concat("Cannot update container ", container.id(), ": ", why));
}

template <typename T>
void take_over(T& current, const T& asked) {
  if (asked != T{}) current = asked;
}

void check_conflicts(const Container& container, const api::UpdateRequest& request) {
  const api::HostConfig& current = container.record.host_config;
  if (request.cpu_quota_us != 0 && current.nano_cpus != 0) {
    refuse(container, "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set");
  }
  if (request.cpu_period_us != 0 && current.nano_cpus != 0) {
    refuse(container, "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set");
  }
  if (request.nano_cpus != 0 && current.cpu_quota_us != 0) {
    refuse(container, "Conflicting options: NanoCPUs cannot be updated as CPU Quota has already been set");
  }
  if (request.nano_cpus != 0 && current.cpu_period_us != 0) {
    refuse(container, "Conflicting options: NanoCPUs cannot be updated as CPU Period has already been set");
  }
  if (!request.restart_policy.name.empty() && request.restart_policy.name != "no" && current.auto_remove) {
    refuse(container, "Restart policy cannot be updated because AutoRemove is enabled for the container");
  }
  if (request.memory_bytes != 0 && request.memory_swap_bytes == 0 && current.memory_swap_bytes >= 0 &&
      request.memory_bytes > current.memory_swap_bytes) {
    refuse(container,
           "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time");
  }
}

void merge(api::HostConfig& host, const api::UpdateRequest& request) {
  take_over(host.cpu_shares, request.cpu_shares);
  take_over(host.nano_cpus, request.nano_cpus);
  take_over(host.cpu_period_us, request.cpu_period_us);
  take_over(host.cpu_quota_us, request.cpu_quota_us);
  take_over(host.cpu_realtime_period_us, request.cpu_realtime_period_us);
  take_over(host.cpu_realtime_runtime_us, request.cpu_realtime_runtime_us);
  take_over(host.cpuset_cpus, request.cpuset_cpus);
  take_over(host.cpuset_mems, request.cpuset_mems);
  take_over(host.memory_bytes, request.memory_bytes);
  take_over(host.memory_swap_bytes, request.memory_swap_bytes);
  take_over(host.memory_reservation_bytes, request.memory_reservation_bytes);
  take_over(host.blkio_weight, request.blkio_weight);
  if (request.pids_limit) host.pids_limit = request.pids_limit;
  if (!request.restart_policy.name.empty()) host.restart_policy = request.restart_policy;
}

/// What is wrong with the request alone comes before what contradicts the container.
void check_values(const api::UpdateRequest& request, const HostFacts& facts) {
  api::HostConfig alone;
  alone.memory_bytes = request.memory_bytes;
  alone.memory_reservation_bytes = request.memory_reservation_bytes;
  if (request.memory_bytes > 0) alone.memory_swap_bytes = request.memory_swap_bytes;
  std::vector<std::string> unused;
  check_memory(alone, facts, unused);
}

}  // namespace

awaitable<api::UpdateResponse> Engine::update(std::string id, api::UpdateRequest request) {
  EngineState& state = *state_;
  const ContainerPtr container = state.containers.get(id);
  check_restart_policy(request.restart_policy.name, request.restart_policy.maximum_retries);
  const Turn turn = co_await container->turns.take();
  check_allowed(Verb::update, container->state, container->id(), container->name());
  check_values(request, state.facts);
  check_conflicts(*container, request);
  api::HostConfig updated = container->record.host_config;
  merge(updated, request);
  const bool unlimited_pids = updated.pids_limit && *updated.pids_limit <= 0;
  api::UpdateResponse response;
  const std::vector<std::string> warnings =
      check_host_config(updated, container->record.config, state.options, state.facts);
  if (!warnings.empty()) response.warnings = warnings;
  if (is_alive(container->state)) {
    const std::string cgroup = cgroup_path(container->record, state.options);
    runtime::Resources limits = plan_limits(updated);
    if (unlimited_pids) limits.pids = runtime::Pids{.limit = -1};
    co_await blocking(state.disk_pool, [&] { runtime::Cgroup::open(cgroup).apply(limits); });
  }
  container->record.host_config = updated;
  co_await save_record(state, container);
  publish(state, *container, "update");
  co_return response;
}

}  // namespace mydocker::engine
