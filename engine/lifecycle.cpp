#include "engine/lifecycle.h"

#include <signal.h>

#include <boost/asio/posix/stream_descriptor.hpp>

#include "engine/base/failpoint.h"
#include "engine/base/log.h"
#include "engine/exec_sessions.h"
#include "engine/health.h"
#include "engine/launcher.h"
#include "engine/restart_policy.h"
#include "engine/run_events.h"
#include "engine/uploads.h"

/// From the running program to its end: what the shim tells, the exit, the restart policy, signals and stops.
namespace mydocker::engine {
namespace {

constexpr int exit_code_killed = 128 + SIGKILL;

/// After the network is gone: the record without addresses.
awaitable<void> release_network(EngineState& state, ContainerPtr container) {
  const std::string id = container->id();
  co_await blocking(state.disk_pool, [&] { state.networks->detach(id); });
  publish_disconnected(state, *container);
  for (EndpointRecord& endpoint : container->record.endpoints) {
    endpoint = EndpointRecord{.network_id = endpoint.network_id, .network_name = endpoint.network_name};
  }
  container->record.ports.clear();
}

ExitFacts exit_facts(const Container& container) {
  const api::RestartPolicy& policy = container.record.host_config.restart_policy;
  return ExitFacts{.policy = policy.name,
                   .maximum_retries = policy.maximum_retries,
                   .exit_code = container.record.exit_code,
                   .restart_count = container.record.restart_count,
                   .stopped_by_user = container.record.stopped_by_user};
}

awaitable<void> auto_remove(EngineState& state, ContainerPtr container) {
  const Turn turn = co_await container->turns.take();
  if (!container->removed && !is_alive(container->state))
    co_await remove_now(state, container, AnonymousVolumes::remove);
}

}  // namespace

void tell_ending(Container& container) {
  const std::shared_ptr<Ending> ending = std::exchange(container.ending, std::make_shared<Ending>());
  ending->exit_code = container.record.exit_code;
  if (container.start_failed) ending->error = container.record.error;
  ending->known = true;
  container.changed.notify_all();
}

api::StringMap exit_attributes(const ContainerRecord& record) {
  return {{"exitCode", std::to_string(record.exit_code)},
          {"execDuration", std::to_string((record.finished_at - record.started_at) / 1'000'000'000)}};
}

awaitable<void> handle_exit(EngineState& state, ContainerPtr container, runtime::ExitRecord exit) {
  ContainerRecord& record = container->record;
  record.last_exit = exit;
  record.exit_code = exit.exit_code;
  record.oom_killed = exit.oom_killed;
  record.finished_at = exit.finished_at_ns;
  record.pid = 0;
  suspend_health(*container);
  cancel_uploads(*container);
  container->shim.reset();
  const bool restarts =
      !container->restart_cancelled && !state.stopping && should_restart_after_exit(exit_facts(*container));
  set_state(*container, restarts ? ContainerState::restarting : ContainerState::exited);
  if (restarts) {
    container->backoff =
        next_backoff(container->backoff, std::chrono::nanoseconds(record.finished_at - record.started_at));
  }
  end_execs(state, *container);
  // A container that goes at once needs no row that says "exited": one commit, its deletion, says it all.
  if (!record.host_config.auto_remove) co_await save_record(state, container);
  failpoint("exit.events");
  if (record.oom_killed && !container->oom_announced) publish(state, *container, "oom");
  if (!container->die_announced) publish(state, *container, "die", exit_attributes(record));
  // With the event, after the commit: who was promised an answer before either gets this one.
  tell_ending(*container);
  co_await release_network(state, container);
  if (restarts) spawn(state.io, "restart " + container->id(), restart_later(state, container));
}

awaitable<void> restart_later(EngineState& state, ContainerPtr container) {
  const std::chrono::milliseconds delay = container->backoff;
  const auto deadline = std::chrono::steady_clock::now() + delay;
  while (!container->restart_cancelled && !state.stopping && container->state == ContainerState::restarting) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= std::chrono::nanoseconds(0) || !co_await container->changed.wait_for(left)) break;
  }
  const Turn turn = co_await container->turns.take();
  co_await wait_exit_handled(container);
  if (state.stopping || container->removed || container->state != ContainerState::restarting) co_return;
  if (container->restart_cancelled) {
    set_state(*container, ContainerState::exited);
    co_await save_record(state, container);
    container->changed.notify_all();
    co_return;
  }
  ++container->record.restart_count;
  try {
    co_await launch(state, container);
  } catch (const Error& e) {
    log::warn("restart failed", {{"container", container->id()}, {"error", e.message()}});
  }
}

namespace {

/// What the events of one shim have led to.
struct ShimWatch {
  bool exit_seen = false;
  bool closed = false;
};

awaitable<void> handle_event(EngineState& state, ContainerPtr container, const runtime::ShimEvent& event, int fd,
                             ShimWatch& watch) {
  if (event.type == "exit" && event.exit && !watch.exit_seen) {
    watch.exit_seen = true;
    co_await handle_exit(state, container, *event.exit);
  } else if (event.type == "exec_exit") {
    finish_exec(state, *container, event.exec_id, event.exit_code);
  } else if (event.type == "probe_start") {
    handle_probe_start(state, *container, event.exec_id);
  } else if (event.type == "probe") {
    co_await handle_probe(state, container, event);
  } else if (event.type == "snapshot" && event.snapshot && event.snapshot->health) {
    co_await adopt_health(state, container, *event.snapshot->health);
  } else if (event.type == "oom") {
    container->record.oom_killed = true;
    if (!std::exchange(container->oom_announced, true)) publish(state, *container, "oom");
  } else if (event.type == "detached") {
    if (event.exec_id.empty()) {
      publish(state, *container, "detach");
    } else {
      publish(state, *container, "exec_detach", {{"execID", event.exec_id}});
    }
  } else if (event.type == "finished") {
    watch.closed = true;
  }
  if (event.sequence != 0) runtime::ack_shim_event(fd, event.sequence);
}

/// A shim that went without a word: its exit record, or SIGKILL's code (DESIGN 8).
runtime::ExitRecord make_lost_exit(EngineState& state, const Container& container) {
  const std::string path = state.paths.container(container.id()) + "/exit";
  const std::optional<runtime::ExitRecord> record = runtime::find_exit_record(path);
  if (record && record->started_at_ns >= container.record.started_at) return *record;
  log::warn("the shim of a container was killed", {{"container", container.id()}});
  runtime::ExitRecord lost;
  lost.exit_code = exit_code_killed;
  lost.signal = SIGKILL;
  lost.finished_at_ns = to_unix_nanoseconds(now());
  return lost;
}

/// Nothing of the run is left: what it had on tmpfs goes, and whoever waits for that goes on.
awaitable<void> finish_run(EngineState& state, ContainerPtr container) {
  const std::string dir = shim_dir(state, container->id());
  const std::string key = sandbox_key(state, container->id());
  co_await wait_uploads_ended(container);
  co_await blocking(state.disk_pool, [&] { Launcher::clean_up(dir, key); });
  container->exit_handled = true;
  container->changed.notify_all();
  if (container->record.host_config.auto_remove) {
    co_await auto_remove(state, container);
  } else {
    spawn(state.io, "settle sizes of " + container->id(), settle_sizes(state, container));
  }
}

}  // namespace

awaitable<void> watch_shim(EngineState& state, ContainerPtr container, UniqueFd events) {
  asio::posix::stream_descriptor stream(state.io, events.release());
  ShimWatch watch;
  while (!watch.closed) {
    runtime::ShimEvent event;
    const runtime::EventRead read = runtime::receive_shim_event(stream.native_handle(), event);
    if (read == runtime::EventRead::closed) break;
    if (read == runtime::EventRead::would_block) {
      co_await stream.async_wait(asio::posix::stream_descriptor::wait_read, asio::use_awaitable);
    } else {
      co_await handle_event(state, container, event, stream.native_handle(), watch);
    }
  }
  if (!watch.exit_seen) {
    co_await handle_lost_exit(state, container);
  } else {
    co_await finish_run(state, container);
  }
}

awaitable<void> handle_lost_exit(EngineState& state, ContainerPtr container) {
  const runtime::ExitRecord lost = co_await blocking(state.disk_pool, [&] {
    Launcher::clean_up_cgroup(cgroup_path(container->record, state.options));
    return make_lost_exit(state, *container);
  });
  co_await handle_exit(state, container, lost);
  co_await finish_run(state, container);
}

awaitable<void> wait_exit_handled(ContainerPtr container) {
  while (!container->exit_handled) co_await container->changed.wait();
}

awaitable<bool> send_signal(EngineState& state, ContainerPtr container, int signal) {
  const std::shared_ptr<runtime::ShimClient> shim = container->shim;
  if (!shim) co_return false;
  try {
    co_return co_await blocking(state.disk_pool, [&] { return shim->kill(signal); });
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::unavailable) throw;
  }
  co_return false;  // the shim has ended meanwhile: so has the container
}

bool ask_freezer(const std::function<void()>& ask) {
  try {
    ask();
    return true;
  } catch (const Error& e) {
    // Its program has ended (conflict), or its shim, too.
    if (e.kind() != ErrorKind::unavailable && e.kind() != ErrorKind::conflict) throw;
    return false;
  }
}

namespace {

/// A frozen process sees no signal but SIGKILL, and on cgroup v1 not even that.
awaitable<void> thaw(EngineState& state, ContainerPtr container) {
  const std::shared_ptr<runtime::ShimClient> shim = container->shim;
  if (container->state != ContainerState::paused || !shim) co_return;
  co_await blocking(state.disk_pool, [&] {
    failpoint("container.thaw");
    ask_freezer([&] { shim->unpause(); });
  });
}

}  // namespace

awaitable<void> kill_now(EngineState& state, ContainerPtr container) {
  if (is_alive(container->state)) {
    co_await send_signal(state, container, SIGKILL);
    co_await thaw(state, container);
  }
  while (is_alive(container->state)) co_await container->changed.wait();
  co_await wait_exit_handled(container);
}

awaitable<void> stop_now(EngineState& state, ContainerPtr container, int signal, int timeout_seconds) {
  if (timeout_seconds != 0) {
    co_await send_signal(state, container, signal);
    publish(state, *container, "kill", {{"signal", std::to_string(signal)}});
    co_await thaw(state, container);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(timeout_seconds);
    while (is_alive(container->state)) {
      if (timeout_seconds < 0) {
        co_await container->changed.wait();
        continue;
      }
      const auto left = deadline - std::chrono::steady_clock::now();
      if (left <= std::chrono::nanoseconds(0) || !co_await container->changed.wait_for(left)) break;
    }
  }
  if (is_alive(container->state)) {
    co_await send_signal(state, container, SIGKILL);
    publish(state, *container, "kill", {{"signal", std::to_string(SIGKILL)}});
    co_await thaw(state, container);
  }
  while (is_alive(container->state)) co_await container->changed.wait();
  co_await wait_exit_handled(container);
}

}  // namespace mydocker::engine
