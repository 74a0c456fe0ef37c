#include <signal.h>

#include <algorithm>
#include <filesystem>

#include "engine/base/log.h"
#include "engine/base/sys.h"
#include "engine/engine.h"
#include "engine/engine_state.h"
#include "engine/event_gaps.h"
#include "engine/launcher.h"
#include "engine/lifecycle.h"
#include "engine/restart_policy.h"
#include "engine/run_events.h"

/// Taking over what an earlier engine left: every start is a recovery (DESIGN 3.2).
namespace mydocker::engine {
namespace {

/// A shim that was found alive. Blocks.
struct FoundShim {
  std::shared_ptr<runtime::ShimClient> client;
  runtime::ShimSnapshot snapshot;
  UniqueFd events;
};

std::optional<FoundShim> find_shim(const std::string& dir) {
  if (!path_exists(dir)) return std::nullopt;
  FoundShim found;
  try {
    found.client = std::make_shared<runtime::ShimClient>(runtime::ShimClient::connect(dir));
    found.snapshot = found.client->snapshot();
    if (found.snapshot.state == "new" || found.snapshot.state == "created") {
      found.client->abandon();  // the start was never acknowledged: it did not happen
      return std::nullopt;
    }
    found.events = found.client->open_events();
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::unavailable) {
      log::warn("a shim cannot be taken over", {{"directory", dir}, {"error", e.message()}});
    }
    return std::nullopt;
  }
  return found;
}

/// Freezes or thaws as the record says: a pause, or the one within a commit, may have been cut off. Blocks.
void settle_freezer(runtime::ShimClient& shim, bool paused) {
  try {
    paused ? shim.pause() : shim.unpause();
  } catch (const Error& e) {  // it ended meanwhile: its exit says so
    log::warn("the freezer of a container cannot be set", {{"error", e.message()}});
  }
}

std::vector<std::string> list_directory(const std::string& path) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) names.push_back(entry.path().filename());
  return names;
}

void adopt(EngineState& state, const ContainerPtr& container, FoundShim& found) {
  container->shim = std::move(found.client);
  container->exit_handled = false;
  container->record.pid = found.snapshot.pid;
  container->record.started_at = found.snapshot.started_at_ns;
  if (!is_alive(container->state)) set_state(*container, ContainerState::running);
  for (const runtime::ExecSnapshot& snapshot : found.snapshot.execs) {
    auto exec = std::make_shared<Exec>();
    exec->id = snapshot.exec_id;
    exec->container_id = container->id();
    exec->started = true;
    exec->running = snapshot.running;
    exec->pid = snapshot.pid;
    exec->request.cmd = {"?"};
    container->execs[exec->id] = exec;
    state.execs[exec->id] = exec;
  }
}

/// Containers as the database has them; those that were being removed are gone after it.
awaitable<void> load_containers(EngineState& state) {
  const std::vector<ContainerRecord> records =
      co_await blocking(state.database_pool, [&] { return ContainerStore::load_rows(*state.database); });
  std::vector<std::string> known;
  for (const ContainerRecord& record : records) {
    const auto container = std::make_shared<Container>(state.io);
    container->record = record;
    container->state = parse_container_state(record.state);
    state.containers.add(container);
    known.push_back(record.id);
  }
  co_await blocking(state.disk_pool, [&] {
    for (const Digest& damaged : state.layers->recover()) {
      log::error("the files of a layer are gone", {{"chain_id", damaged.text()}});
    }
    state.images->recover();
    state.container_layers->recover(known);
    state.volumes->recover();
  });
}

/// Directories of shims that belong to nobody: a crash between a container's removal and its last clean-up.
void remove_strays(const EngineState& state, const std::vector<std::string>& known) {
  for (const std::string& id : list_directory(state.options.exec_root + "/shims")) {
    if (std::find(known.begin(), known.end(), id) != known.end()) continue;
    if (std::optional<FoundShim> found = find_shim(shim_dir(state, id))) found->client->kill(SIGKILL);
    Launcher::clean_up(shim_dir(state, id), sandbox_key(state, id));
  }
}

awaitable<void> recover_container(EngineState& state, ContainerPtr container, bool was_alive) {
  if (container->shim) co_return;
  if (container->state == ContainerState::removing || container->state == ContainerState::dead) {
    co_await remove_now(state, container, AnonymousVolumes::remove);
    co_return;
  }
  if (was_alive) {
    co_await handle_lost_exit(state, container);
    if (container->removed || container->state == ContainerState::restarting) co_return;
  }
  const api::RestartPolicy& policy = container->record.host_config.restart_policy;
  const ExitFacts facts{.policy = policy.name,
                        .maximum_retries = policy.maximum_retries,
                        .exit_code = container->record.exit_code,
                        .restart_count = container->record.restart_count,
                        .stopped_by_user = container->record.stopped_by_user};
  const bool ever_started = container->record.started_at != 0;
  const bool waited = container->state == ContainerState::restarting;
  if (waited || (ever_started && should_restart_at_engine_start(facts, was_alive))) {
    set_state(*container, ContainerState::restarting);
    spawn(state.io, "restart " + container->id(), restart_later(state, container));
  } else if (container->record.host_config.auto_remove && ever_started) {
    co_await remove_now(state, container, AnonymousVolumes::remove);
  }
}

}  // namespace

awaitable<void> Engine::recover() {
  EngineState& state = *state_;
  co_await load_containers(state);
  co_await load_network_names(state);
  std::vector<std::string> known;
  std::vector<std::string> live;
  std::vector<std::pair<ContainerPtr, bool>> containers;
  std::vector<std::pair<ContainerPtr, UniqueFd>> watched;
  for (const ContainerPtr& container : state.containers.list()) {
    known.push_back(container->id());
    const bool was_alive = is_alive(container->state);
    const std::string dir = shim_dir(state, container->id());
    std::optional<FoundShim> found = co_await blocking(state.disk_pool, [&] { return find_shim(dir); });
    if (found) {
      live.push_back(container->id());
      const bool paused = container->state == ContainerState::paused;
      co_await blocking(state.disk_pool, [&] { settle_freezer(*found->client, paused); });
      adopt(state, container, *found);
      watched.emplace_back(container, std::move(found->events));
      co_await save_record(state, container);
    } else {
      co_await blocking(state.disk_pool, [&] {
        // Files of a start that no engine recorded: what it wrote is in no number that was kept.
        if (path_exists(dir)) state.size_ledger->forget(size_keys(container->record));
        Launcher::clean_up(dir, sandbox_key(state, container->id()));
      });
    }
    containers.emplace_back(container, was_alive);
  }
  fill_event_gaps(state);
  for (auto& [container, events] : watched) {
    spawn(state.io, "watch " + container->id(), watch_shim(state, container, std::move(events)));
  }
  co_await blocking(state.disk_pool, [&] {
    state.networks->recover(live);
    remove_strays(state, known);
    state.tree_sizes->load();
  });
  for (auto& [container, was_alive] : containers) {
    std::string failure;
    try {
      co_await recover_container(state, container, was_alive);
    } catch (const Error& e) {
      failure = e.message();
    }
    if (!failure.empty()) log::error("recovering a container", {{"container", container->id()}, {"error", failure}});
  }
  // The bridge before the first container needs it; nobody waits for it.
  asio::post(state.disk_pool, [&state] {
    try {
      state.networks->prepare();
    } catch (const Error& e) {
      log::warn("the default bridge cannot be prepared yet", {{"error", e.message()}});
    }
  });
  if (!containers.empty()) log::info("containers recovered", {{"total", containers.size()}, {"running", live.size()}});
}

}  // namespace mydocker::engine
