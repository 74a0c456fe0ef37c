#include "engine/lifecycle.h"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "engine/base/failpoint.h"
#include "engine/base/log.h"
#include "engine/base/sys.h"
#include "engine/exec_sessions.h"
#include "engine/health.h"
#include "engine/launcher.h"
#include "engine/restart_policy.h"
#include "engine/run_events.h"

namespace mydocker::engine {
namespace {

constexpr int exit_code_killed = 128 + SIGKILL;
constexpr int exit_code_start_failed = 128;

std::vector<LinkedContainer> find_linked(EngineState& state, const ContainerRecord& record) {
  std::vector<LinkedContainer> links;
  for (const LinkRecord& link : record.links) {
    const ContainerPtr target = state.containers.find_by_id(link.target_id);
    if (!target) continue;  // removed: the link went with it
    if (!is_alive(target->state) || target->record.endpoints.empty()) {
      throw Error(ErrorKind::conflict, concat("Cannot link to a non running container: /", target->name(), " AS /",
                                              record.name, "/", link.alias));
    }
    LinkedContainer out{.alias = link.alias,
                        .name = target->name(),
                        .hostname = target->record.config.hostname,
                        .address = target->record.endpoints.front().address,
                        .ports = {},
                        .env = target->record.config.env.value_or(api::StringList{})};
    for (const auto& [port, nothing] : target->record.config.exposed_ports) out.ports.push_back(port);
    links.push_back(std::move(out));
  }
  return links;
}

LaunchInput make_launch_input(EngineState& state, const Container& container) {
  LaunchInput input;
  const ContainerRecord& record = container.record;
  input.record = record;
  input.options = &state.options;
  input.facts = &state.facts;
  input.paths = &state.paths;
  input.shim_dir = shim_dir(state, record.id);
  input.sandbox_key = sandbox_key(state, record.id);
  input.init_program = state.options.programs_dir + "/mydocker-init";
  input.shims_cgroup = shims_cgroup(state.options);
  const auto owner_of = [&](const std::string& mode) {
    const ContainerPtr owner = state.containers.get(mode.substr(std::string_view("container:").size()));
    if (!is_alive(owner->state)) {
      throw Error(ErrorKind::conflict, concat("cannot join namespace of a non running container: container ",
                                              owner->id(), " is ", to_string(owner->state)));
    }
    return owner;
  };
  if (record.host_config.network_mode.starts_with("container:")) {
    const ContainerPtr owner = owner_of(record.host_config.network_mode);
    input.network_owner_pid = owner->record.pid;
    input.network_owner_id = owner->id();
  }
  if (record.host_config.pid_mode.starts_with("container:")) {
    input.pid_owner_pid = owner_of(record.host_config.pid_mode)->record.pid;
  }
  if (record.host_config.ipc_mode.starts_with("container:")) {
    const ContainerPtr owner = owner_of(record.host_config.ipc_mode);
    if (owner->record.host_config.ipc_mode == "private" || owner->record.host_config.ipc_mode == "none") {
      throw Error(ErrorKind::conflict,
                  concat("can't join IPC of container ", owner->id(),
                         ": non-shareable IPC (hint: use IpcMode:shareable for the donor container)"));
    }
    input.ipc_owner_pid = owner->record.pid;
  }
  input.links = find_linked(state, record);
  return input;
}

void record_started(EngineState& state, Container& container, const Launched& launched) {
  ContainerRecord& record = container.record;
  record.pid = launched.pid;
  record.started_at = launched.started_at_ns;
  record.exit_code = 0;
  record.error.clear();
  record.oom_killed = false;
  record.boot_id = state.facts.boot_id;
  record.endpoints = launched.endpoints;
  record.ports = launched.ports;
  container.start_failed = false;
  container.exit_handled = false;
  container.oom_announced = false;
  begin_health(container);
  container.die_announced = false;
  container.recovered = false;
  set_state(container, ContainerState::running);
}

void record_failed_start(Container& container, const std::string& message, int exit_code) {
  container.record.error = message;
  container.record.exit_code = exit_code;
  container.start_failed = true;
  container.exit_handled = true;
  container.pending_attaches.clear();  // their clients see the end of the stream
}

/// To those who wait for this run's end; the record holds it.
void tell_ending(Container& container) {
  const std::shared_ptr<Ending> ending = std::exchange(container.ending, std::make_shared<Ending>());
  ending->exit_code = container.record.exit_code;
  if (container.start_failed) ending->error = container.record.error;
  ending->known = true;
  container.changed.notify_all();
}

/// What a failed start leaves to say: message and exit code.
struct StartFailure {
  std::exception_ptr error;
  std::string message;
  int exit_code = exit_code_start_failed;
};

StartFailure describe_failure(const std::exception_ptr& error) {
  StartFailure failure{.error = error, .message = "", .exit_code = exit_code_start_failed};
  try {
    std::rethrow_exception(error);
  } catch (const runtime::LaunchError& e) {
    failure.message =
        concat("failed to create task for container: OCI runtime create failed: unable to start container process: ",
               e.message());
    failure.exit_code = e.exit_code();
    failure.error = std::make_exception_ptr(Error(e.kind(), failure.message, e.errno_value()));
  } catch (const std::exception& e) {
    failure.message = e.what();
  }
  return failure;
}

/// The shim is our child until we end; init takes it over then. Its descriptor can be readable a moment before it can
/// be waited for (seen under load), and tells an end only once: then we ask again.
awaitable<void> reap(asio::any_io_executor io, UniqueFd pidfd) {
  constexpr std::chrono::milliseconds ask_again{10};
  asio::posix::stream_descriptor descriptor(io, pidfd.release());
  co_await descriptor.async_wait(asio::posix::stream_descriptor::wait_read, asio::use_awaitable);
  asio::steady_timer timer(io);
  for (;;) {
    siginfo_t info{};
    const int result = retry_on_eintr(
        [&] { return ::waitid(P_PIDFD, static_cast<id_t>(descriptor.native_handle()), &info, WEXITED | WNOHANG); });
    if (info.si_pid != 0 || (result != 0 && errno != EAGAIN)) co_return;
    timer.expires_after(ask_again);
    co_await timer.async_wait(asio::use_awaitable);
  }
}

awaitable<void> do_launch(EngineState& state, ContainerPtr container, Trace& trace) {
  LaunchInput input = make_launch_input(state, *container);
  input.rootfs = state.container_layers->mount(
      container->id(), container->record.chain_id.empty() ? Digest() : Digest::parse(container->record.chain_id));
  if (!container->record.image_mounts.empty()) {
    co_await blocking(state.disk_pool, [&] {
      for (const auto& [target, chain] : container->record.image_mounts) {
        input.image_layers[target] = state.layers->lower_dirs(Digest::parse(chain));
      }
    });
  }
  trace.mark("input");
  Launcher launcher(*state.networks, state.shim_program->path());
  auto prepared = co_await blocking(state.disk_pool, [&] { return launcher.prepare(input, trace); });
  trace.mark("prepare");
  std::vector<PendingAttach> attaches = std::move(container->pending_attaches);
  container->pending_attaches.clear();
  Launched launched = co_await blocking(state.disk_pool, [&] { return launcher.run(prepared, attaches, trace); });
  trace.mark("run");
  spawn(state.io, "reap " + container->id(), reap(state.io, std::move(prepared.shim_pidfd)));
  container->shim = prepared.shim;
  record_started(state, *container, launched);
  co_await save_record(state, container);
  trace.mark("record");
  failpoint("start.events");
  publish_connected(state, *container);
  publish(state, *container, "start");
  container->changed.notify_all();
  spawn(state.io, "watch " + container->id(), watch_shim(state, container, std::move(launched.events)));
  // Who attached while the program was being started.
  for (PendingAttach& late : std::exchange(container->pending_attaches, {})) {
    try {
      co_await blocking(state.disk_pool, [&] { prepared.shim->attach(late.request, late.client.get()); });
    } catch (const Error& e) {  // the program may have ended by now, which is no failure of its start
      log::warn("a late client is not attached", {{"container", container->id()}, {"error", e.message()}});
    }
  }
}

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

api::StringMap exit_attributes(const ContainerRecord& record) {
  return {{"exitCode", std::to_string(record.exit_code)},
          {"execDuration", std::to_string((record.finished_at - record.started_at) / 1'000'000'000)}};
}

awaitable<void> launch(EngineState& state, ContainerPtr container) {
  Trace trace("start");
  trace.set_subject(container->id());
  std::optional<StartFailure> failure;
  try {
    co_await do_launch(state, container, trace);
  } catch (...) {  // described and thrown again below: co_await is not allowed in a handler
    failure = describe_failure(std::current_exception());
  }
  state.traces.record(trace);
  if (!failure) co_return;
  log::warn("start failed", {{"container", container->id()}, {"error", failure->message}});
  container->shim.reset();
  record_failed_start(*container, failure->message, failure->exit_code);
  set_state(*container, container->record.started_at == 0 ? ContainerState::created : ContainerState::exited);
  co_await save_record(state, container);
  tell_ending(*container);
  if (container->record.host_config.auto_remove) co_await remove_now(state, container, AnonymousVolumes::remove);
  std::rethrow_exception(failure->error);
}

awaitable<void> handle_exit(EngineState& state, ContainerPtr container, runtime::ExitRecord exit) {
  ContainerRecord& record = container->record;
  record.last_exit = exit;
  record.exit_code = exit.exit_code;
  record.oom_killed = exit.oom_killed;
  record.finished_at = exit.finished_at_ns;
  record.pid = 0;
  suspend_health(*container);
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

namespace {

/// A frozen process sees no signal but SIGKILL, and on cgroup v1 not even that.
awaitable<void> thaw(EngineState& state, ContainerPtr container) {
  const std::shared_ptr<runtime::ShimClient> shim = container->shim;
  if (container->state != ContainerState::paused || !shim) co_return;
  try {
    co_await blocking(state.disk_pool, [&] { shim->unpause(); });
  } catch (const Error& e) {
    // The signal was enough: on cgroup v2 a frozen process dies of SIGKILL, and its shim with it.
    if (e.kind() != ErrorKind::unavailable) throw;
  }
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

/// After the container is gone: its anonymous volumes that nobody else mounts.
awaitable<void> remove_anonymous_volumes(EngineState& state, std::map<std::string, std::string> names) {
  std::vector<std::string> unused;
  for (const auto& [target, name] : names) {
    if (users_of_volume(state, name).empty()) unused.push_back(name);
  }
  if (unused.empty()) co_return;
  const std::vector<std::string> removed = co_await blocking(state.disk_pool, [&] {
    std::vector<std::string> gone;
    for (const std::string& name : unused) {
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
  std::optional<std::string> failure;
  try {
    co_await blocking(state.disk_pool, [&] {
      failpoint("remove.files");
      state.container_layers->remove(id);
    });
    co_await blocking(state.database_pool, [&] {
      state.database->transaction([&](Connection&) {
        ContainerStore::delete_row(*state.database, id);
        state.layers->release_owner("container:" + id);
        state.size_ledger->forget(trees);
      });
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
  if (volumes == AnonymousVolumes::remove) co_await remove_anonymous_volumes(state, container->record.volume_names);
  container->removed = true;
  container->changed.notify_all();
  publish(state, *container, "destroy");
}

}  // namespace mydocker::engine
