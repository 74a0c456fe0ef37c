#include "engine/engine.h"
#include "engine/engine_state.h"
#include "engine/lifecycle.h"
#include "engine/pipe_download.h"

/// ContainerChanges, ContainerExport (WIRE 16).
namespace mydocker::engine {
namespace {

Digest chain_of(const Container& container) {
  return container.record.chain_id.empty() ? Digest() : Digest::parse(container.record.chain_id);
}

}  // namespace

awaitable<std::vector<api::Change>> Engine::changes(std::string id) {
  EngineState& state = *state_;
  const ContainerPtr container = state.containers.get(id);
  check_allowed(Verb::files, container->state, container->id(), container->name());
  const std::string full_id = container->id();
  const Digest chain = chain_of(*container);
  const std::vector<storage::Change> changes =
      co_await blocking(state.disk_pool, [&] { return state.container_layers->changes(full_id, chain); });
  std::vector<api::Change> out;
  for (const storage::Change& change : changes) {
    out.push_back(api::Change{change.path, static_cast<std::uint8_t>(change.kind)});
  }
  co_return out;
}

awaitable<std::unique_ptr<Download>> Engine::export_container(std::string id) {
  EngineState& state = *state_;
  const ContainerPtr container = state.containers.get(id);
  check_allowed(Verb::files, container->state, container->id(), container->name());
  publish(state, *container, "export");
  co_return start_download(state, [&state, id = container->id(), chain = chain_of(*container)](int out) {
    state.container_layers->export_tar(id, chain, out);
  });
}

}  // namespace mydocker::engine
