#include <algorithm>

#include "engine/base/failpoint.h"
#include "engine/lifecycle.h"

/// The end of a container: its files, its row, its name and its anonymous volumes.
namespace mydocker::engine {

std::vector<std::string> users_of_volume(const EngineState& state, const std::string& name) {
  std::vector<std::string> users;
  for (const ContainerPtr& container : state.containers.list()) {
    const auto& names = container->record.volume_names;
    const bool uses = std::any_of(names.begin(), names.end(), [&](const auto& entry) { return entry.second == name; });
    if (uses) users.push_back(container->id());
  }
  return users;
}

namespace {

/// Its volumes that no other container mounts.
std::vector<std::string> volumes_of_its_own(const EngineState& state, const Container& container) {
  std::vector<std::string> own;
  for (const auto& [target, name] : container.record.volume_names) {
    if (users_of_volume(state, name).size() == 1) own.push_back(name);
  }
  return own;
}

/// After the container is gone: those among `names` that are anonymous and that nobody has begun to use meanwhile.
awaitable<void> remove_anonymous_volumes(EngineState& state, std::vector<std::string> names) {
  std::erase_if(names, [&](const std::string& name) { return !users_of_volume(state, name).empty(); });
  if (names.empty()) co_return;
  const std::vector<std::string> removed = co_await blocking(state.disk_pool, [&] {
    std::vector<std::string> gone;
    for (const std::string& name : names) {
      const std::optional<storage::Volume> volume = state.volumes->find(name);
      if (!volume || !volume->anonymous) continue;
      state.volumes->remove(name);
      gone.push_back(name);
    }
    return gone;
  });
  for (const std::string& name : removed) state.events.publish("volume", "destroy", name, {{"driver", "local"}});
}

}  // namespace

awaitable<void> remove_now(EngineState& state, ContainerPtr container, AnonymousVolumes volumes) {
  co_await wait_exit_handled(container);
  set_state(*container, ContainerState::removing);
  const std::string id = container->id();
  // Its volumes, too: after the container is gone nobody can say any more when it last wrote to them.
  const std::vector<std::string> trees = size_keys(container->record);
  std::vector<std::string> own_volumes;
  if (volumes == AnonymousVolumes::remove) own_volumes = volumes_of_its_own(state, *container);
  std::optional<std::string> failure;
  try {
    // Rows before files: after a crash between the two its directories belong to nobody, and the next start sweeps
    // them.
    co_await blocking(state.database_pool, [&] {
      failpoint("remove.rows");
      state.database->transaction([&](Connection&) {
        ContainerStore::delete_row(*state.database, id);
        state.layers->release_owner("container:" + id);
        state.size_ledger->forget(trees);
        for (const std::string& name : own_volumes) state.volumes->renounce(name);
      });
    });
    co_await blocking(state.disk_pool, [&] {
      failpoint("remove.files");
      state.container_layers->remove(id);
    });
  } catch (const Error& e) {
    failure = e.message();
  }
  if (failure) {
    set_state(*container, ContainerState::dead);
    container->removal_error = *failure;
    container->changed.notify_all();
    throw Error(ErrorKind::internal, concat("cannot remove container \"", container->name(), "\": ", *failure));
  }
  for (const auto& [exec_id, exec] : container->execs) state.execs.erase(exec_id);
  container->pending_attaches.clear();
  for (const std::string& key : trees) state.tree_sizes->drop(key);
  state.containers.remove(id);
  co_await remove_anonymous_volumes(state, std::move(own_volumes));
  container->removed = true;
  container->changed.notify_all();
  publish(state, *container, "destroy");
}

}  // namespace mydocker::engine
