#include <signal.h>

#include <functional>

#include "engine/base/log.h"
#include "engine/container_state.h"
#include "engine/create_check.h"
#include "engine/engine.h"
#include "engine/engine_state.h"
#include "engine/health.h"
#include "engine/lifecycle.h"
#include "engine/signal_names.h"
#include "engine/uploads.h"

/// start, stop, restart, kill, pause, unpause, rename, remove, resize (WIRE 16).
namespace mydocker::engine {
namespace {

constexpr int default_stop_timeout_seconds = 10;

int stop_signal(const Container& container, const StopOptions& options) {
  if (!options.signal.empty()) return parse_signal(options.signal);
  if (!container.record.config.stop_signal.empty()) return parse_signal(container.record.config.stop_signal);
  return SIGTERM;
}

int stop_timeout(const Container& container, const StopOptions& options) {
  if (options.timeout_seconds) return *options.timeout_seconds;
  return static_cast<int>(container.record.config.stop_timeout_s.value_or(default_stop_timeout_seconds));
}

/// A stop while the restart policy waits: it does not come back.
awaitable<void> cancel_restart(EngineState& state, ContainerPtr container) {
  container->restart_cancelled = true;
  container->record.stopped_by_user = true;
  if (container->state == ContainerState::restarting) {
    set_state(*container, ContainerState::exited);
    co_await save_record(state, container);
  }
  container->changed.notify_all();
}

/// WIRE 16: which signals of `kill` cancel the restart policy.
bool cancels_policy(const Container& container, int signal) {
  if (signal == SIGKILL || container.record.config.stop_signal.empty()) return true;
  return signal == parse_signal(container.record.config.stop_signal);
}

/// What a user asks for.
awaitable<void> set_frozen(EngineState& state, ContainerPtr container, std::function<void()> ask) {
  const bool alive = co_await blocking(state.disk_pool, [&] { return ask_freezer(ask); });
  if (!alive) throw Error(ErrorKind::conflict, concat("container ", container->id(), " is not running"));
}

}  // namespace

awaitable<void> stop_container(EngineState& state, ContainerPtr container, StopOptions options) {
  const int signal = stop_signal(*container, options);
  check_allowed(Verb::stop, container->state, container->id(), container->name());
  co_await cancel_restart(state, container);
  if (!is_alive(container->state)) co_return;
  co_await stop_now(state, container, signal, stop_timeout(*container, options));
  if (!container->removed) publish(state, *container, "stop");
}

awaitable<void> restart_container(EngineState& state, ContainerPtr container, StopOptions options) {
  const int signal = stop_signal(*container, options);
  check_allowed(Verb::restart, container->state, container->id(), container->name());
  co_await cancel_restart(state, container);
  if (is_alive(container->state)) {
    const bool auto_remove = std::exchange(container->record.host_config.auto_remove, false);
    co_await stop_now(state, container, signal, stop_timeout(*container, options));
    container->record.host_config.auto_remove = auto_remove;
    publish(state, *container, "stop");
  }
  co_await wait_exit_handled(container);
  container->restart_cancelled = false;
  container->record.stopped_by_user = false;
  container->record.restart_count = 0;
  co_await launch(state, container);
  publish(state, *container, "restart");
}

awaitable<void> Engine::start(std::string id) {
  EngineState& state = *state_;
  const ContainerPtr container = state.containers.get(id);
  const Turn turn = co_await container->turns.take();
  check_allowed(Verb::start, container->state, container->id(), container->name());
  co_await wait_exit_handled(container);
  container->restart_cancelled = false;
  container->backoff = std::chrono::milliseconds(0);
  container->record.stopped_by_user = false;
  container->record.restart_count = 0;
  co_await launch(state, container);
}

awaitable<void> Engine::stop(std::string id, StopOptions options) {
  EngineState& state = *state_;
  const ContainerPtr container = state.containers.get(id);
  stop_signal(*container, options);  // refuses a bad one at once
  const Turn turn = co_await container->turns.take();
  co_await stop_container(state, container, std::move(options));
}

awaitable<void> Engine::restart(std::string id, StopOptions options) {
  EngineState& state = *state_;
  const ContainerPtr container = state.containers.get(id);
  stop_signal(*container, options);
  const Turn turn = co_await container->turns.take();
  co_await restart_container(state, container, std::move(options));
}

awaitable<void> Engine::kill(std::string id, std::string signal_name) {
  EngineState& state = *state_;
  const int signal = signal_name.empty() ? SIGKILL : parse_signal(signal_name);
  const ContainerPtr container = state.containers.get(id);
  // No turn: a kill must get through to a container whose stop is waiting for its grace period.
  if (container->state == ContainerState::restarting) {
    co_await cancel_restart(state, container);
    co_return;
  }
  check_allowed(Verb::kill, container->state, container->id(), container->name());
  const bool cancels = cancels_policy(*container, signal);
  if (cancels) {
    container->restart_cancelled = true;
    container->record.stopped_by_user = true;
  }
  if (!co_await send_signal(state, container, signal) && is_alive(container->state)) {
    throw Error(ErrorKind::conflict, concat("container ", container->id(), " is not running"));
  }
  publish(state, *container, "kill", {{"signal", std::to_string(signal)}});
  if (signal == SIGKILL) co_return co_await kill_now(state, container);
  // As in Docker: what is told to end must be able to hear it.
  const std::shared_ptr<runtime::ShimClient> shim = container->shim;
  if (cancels && shim && container->state == ContainerState::paused) {
    try {
      co_await blocking(state.disk_pool, [&] { shim->unpause(); });
    } catch (const Error& e) {
      if (e.kind() == ErrorKind::unavailable) co_return;  // the signal was enough: the shim has gone with it
      throw;
    }
    if (container->state != ContainerState::paused) co_return;
    set_state(*container, ContainerState::running);
    co_await save_record(state, container);
    publish(state, *container, "unpause");
  }
}

awaitable<void> Engine::pause(std::string id) {
  EngineState& state = *state_;
  const ContainerPtr container = state.containers.get(id);
  const Turn turn = co_await container->turns.take();
  check_allowed(Verb::pause, container->state, container->id(), container->name());
  const std::shared_ptr<runtime::ShimClient> shim = container->shim;
  co_await set_frozen(state, container, [&] { shim->pause(); });
  if (container->state != ContainerState::running) co_return;  // it was killed meanwhile
  set_state(*container, ContainerState::paused);
  suspend_health(*container);
  co_await save_record(state, container);
  publish(state, *container, "pause");
}

awaitable<void> Engine::unpause(std::string id) {
  EngineState& state = *state_;
  const ContainerPtr container = state.containers.get(id);
  const Turn turn = co_await container->turns.take();
  check_allowed(Verb::unpause, container->state, container->id(), container->name());
  const std::shared_ptr<runtime::ShimClient> shim = container->shim;
  co_await set_frozen(state, container, [&] { shim->unpause(); });
  if (container->state != ContainerState::paused) co_return;
  set_state(*container, ContainerState::running);
  co_await save_record(state, container);
  publish(state, *container, "unpause");
}

awaitable<void> Engine::rename(std::string id, std::string new_name) {
  EngineState& state = *state_;
  const ContainerPtr container = state.containers.get(id);
  if (new_name.empty()) throw Error(ErrorKind::invalid_argument, "Neither old nor new names may be empty");
  const auto allocate = [](const auto& step) {
    try {
      return step();
    } catch (const Error& e) {
      throw Error(e.kind(), concat("Error when allocating new name: ", e.message()));
    }
  };
  const std::string name = allocate([&] { return check_name(new_name); });
  const Turn turn = co_await container->turns.take();
  check_allowed(Verb::rename, container->state, container->id(), container->name());
  const std::string old_name = container->name();
  if (name == old_name) {
    throw Error(ErrorKind::invalid_argument, "Renaming a container with the same name as its current name");
  }
  allocate([&] { state.containers.reserve_name(name, container->id()); });
  state.containers.rename(container, name);
  std::exception_ptr failure;
  try {
    co_await save_record(state, container);
  } catch (...) {  // the old name stays
    failure = std::current_exception();
  }
  if (failure) {
    state.containers.rename(container, old_name);
    std::rethrow_exception(failure);
  }
  publish(state, *container, "rename", {{"oldName", "/" + old_name}});
}

namespace {

/// "/me/alias": the name that one container gave another. The container itself stays; what runs keeps its hosts file.
awaitable<void> remove_link(EngineState& state, std::string path) {
  if (path.starts_with("/")) path.erase(0, 1);
  const std::size_t slash = path.find('/');
  if (slash == std::string::npos) {
    throw Error(ErrorKind::invalid_argument, concat("Conflict, cannot remove the default link name of the container: /",
                                                    state.containers.get(path)->name()));
  }
  const ContainerPtr parent = state.containers.get(path.substr(0, slash));
  const std::string alias = path.substr(slash + 1);
  const Turn turn = co_await parent->turns.take();
  const std::size_t gone =
      std::erase_if(parent->record.links, [&](const LinkRecord& link) { return link.alias == alias; });
  if (gone == 0) throw Error(ErrorKind::not_found, concat("No such link: /", path));
  if (parent->record.host_config.links) {
    std::erase_if(*parent->record.host_config.links,
                  [&](const std::string& link) { return link.ends_with("/" + alias); });
  }
  co_await save_record(state, parent);
}

}  // namespace

awaitable<void> Engine::remove(std::string id, RemoveOptions options) {
  EngineState& state = *state_;
  if (options.link) {
    co_await remove_link(state, id);
    co_return;
  }
  const ContainerPtr container = state.containers.get(id);
  check_allowed(options.force ? Verb::force_remove : Verb::remove, container->state, container->id(),
                container->name());
  std::optional<ForcedRemoval> forced;
  if (options.force) forced.emplace(container);  // an upload into a container at rest holds the turn
  const Turn turn = co_await container->turns.take();
  if (container->removed) throw Error(ErrorKind::not_found, concat("No such container: ", id));
  check_allowed(options.force ? Verb::force_remove : Verb::remove, container->state, container->id(),
                container->name());
  if (options.force) {
    co_await cancel_restart(state, container);
    if (is_alive(container->state)) {
      publish(state, *container, "kill", {{"signal", std::to_string(SIGKILL)}});
      co_await kill_now(state, container);
    }
  }
  if (container->removed) co_return;
  co_await remove_now(state, container, options.volumes ? AnonymousVolumes::remove : AnonymousVolumes::keep);
}

awaitable<void> Engine::resize(std::string id, int height, int width) {
  EngineState& state = *state_;
  const ContainerPtr container = state.containers.get(id);
  check_allowed(Verb::resize, container->state, container->id(), container->name());
  const std::shared_ptr<runtime::ShimClient> shim = container->shim;
  if (!shim) throw Error(ErrorKind::conflict, concat("container ", container->id(), " is not running"));
  // Docker quirk (containerd, runc/init.go): without a terminal it is a success that does nothing.
  if (container->record.config.tty) {
    co_await blocking(state.disk_pool,
                      [&] { shim->resize(static_cast<std::uint16_t>(height), static_cast<std::uint16_t>(width)); });
  }
  publish(state, *container, "resize", {{"height", std::to_string(height)}, {"width", std::to_string(width)}});
}

}  // namespace mydocker::engine
