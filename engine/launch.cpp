#include <sys/wait.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "engine/base/failpoint.h"
#include "engine/base/log.h"
#include "engine/base/sys.h"
#include "engine/health.h"
#include "engine/launcher.h"
#include "engine/lifecycle.h"
#include "engine/links.h"
#include "engine/run_events.h"

/// The start of a container, from its record to the running program.
namespace mydocker::engine {
namespace {

constexpr int exit_code_start_failed = 128;

ContainerPtr get_owner(EngineState& state, const std::string& mode) {
  ContainerPtr owner = state.containers.get(mode.substr(std::string_view("container:").size()));
  if (!is_alive(owner->state)) {
    throw Error(ErrorKind::conflict, concat("cannot join namespace of a non running container: container ", owner->id(),
                                            " is ", to_string(owner->state)));
  }
  return owner;
}

/// Who shares a container's network goes by its name: it has the files below /etc that say so, too.
void adopt_hostname(EngineState& state, ContainerRecord& record) {
  const api::HostConfig& host = record.host_config;
  if (!host.network_mode.starts_with("container:") || host.uts_mode == "host") return;
  const ContainerPtr owner = get_owner(state, host.network_mode);
  record.config.hostname = owner->record.config.hostname;
  record.config.domainname = owner->record.config.domainname;
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
  if (record.host_config.network_mode.starts_with("container:")) {
    const ContainerPtr owner = get_owner(state, record.host_config.network_mode);
    input.network_owner_pid = owner->record.pid;
    input.network_owner_id = owner->id();
  }
  if (record.host_config.pid_mode.starts_with("container:")) {
    input.pid_owner_pid = get_owner(state, record.host_config.pid_mode)->record.pid;
  }
  if (record.host_config.ipc_mode.starts_with("container:")) {
    const ContainerPtr owner = get_owner(state, record.host_config.ipc_mode);
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

/// Container::launching for as long as it lives.
class Launching {
 public:
  explicit Launching(Container& container) : container_(container) { container_.launching = true; }
  Launching(const Launching&) = delete;
  Launching& operator=(const Launching&) = delete;
  ~Launching() {
    container_.launching = false;
    container_.changed.notify_all();
  }

 private:
  Container& container_;
};

awaitable<void> do_launch(EngineState& state, ContainerPtr container, Trace& trace) {
  adopt_hostname(state, container->record);
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
  co_await refresh_links(state, container, input.links);
  trace.mark("record");
  failpoint("start.events");
  publish_connected(state, *container);
  publish(state, *container, "start");
  container->changed.notify_all();
  spawn(state.io, "watch " + container->id(), watch_shim(state, container, std::move(launched.events)));
  // Who attached while the program was being started; whose program has ended meanwhile sees the end of the stream.
  for (PendingAttach& late : std::exchange(container->pending_attaches, {})) {
    try {
      co_await blocking(state.disk_pool, [&] { prepared.shim->attach(late.request, late.client.get()); });
    } catch (const Error& e) {
      log::debug("attach to an ending container", {{"container", container->id()}, {"error", e.message()}});
    }
  }
}

}  // namespace

awaitable<void> launch(EngineState& state, ContainerPtr container) {
  const Launching launching(*container);
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

}  // namespace mydocker::engine
