#include "engine/engine.h"
#include "engine/engine_state.h"
#include "engine/launch_plan.h"
#include "engine/process_list.h"
#include "runtime/cgroup.h"

/// ContainerTop (WIRE 16).
namespace mydocker::engine {

awaitable<api::TopResponse> Engine::top(std::string id, std::string ps_args) {
  EngineState& state = *state_;
  const ContainerPtr container = state.containers.get(id);
  check_allowed(Verb::top, container->state, container->id(), container->name());
  const std::string cgroup = cgroup_path(container->record, state.options);
  const ProcessTable table = co_await blocking(
      state.disk_pool, [&] { return list_processes(runtime::Cgroup::open(cgroup).processes(), ps_args); });
  publish(state, *container, "top");
  api::TopResponse out;
  out.titles = table.titles;
  out.processes = table.rows;
  co_return out;
}

}  // namespace mydocker::engine
