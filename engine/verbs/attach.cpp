#include <sys/socket.h>

#include "engine/base/log.h"
#include "engine/base/sys.h"
#include "engine/detach_keys.h"
#include "engine/engine.h"
#include "engine/engine_state.h"
#include "engine/lifecycle.h"
#include "engine/log_plan.h"
#include "engine/log_replay.h"

/// ContainerAttach (WIRE 5): the client's connection goes to the shim; no byte of a session passes the engine twice.
namespace mydocker::engine {
namespace {

/// The run that a client attaches to; until it is over.
struct AttachedRun {
  ContainerPtr container;
  std::shared_ptr<const Ending> ending;

  bool over() const { return container->removed || ending->known; }
};

/// Returns when the shim of the run is known, or that there is none: a start or an exit's bookkeeping may be under way.
awaitable<void> wait_settled(AttachedRun run) {
  const ContainerPtr& container = run.container;
  while (!run.over() && !container->shim && (container->launching || !container->exit_handled)) {
    co_await container->changed.wait();
  }
}

/// The shim holds the client's output back while the engine writes.
class HeldOutput {
 public:
  HeldOutput(UniqueFd gate, LogEnd log_end) : log_end_(std::move(log_end)), gate_(std::move(gate)) {}

  LogEnd take_log_end() { return std::move(log_end_); }
  /// The client takes what we write: told a few times a second, so that there is always room for the last word.
  void tell_progress() {
    const auto moment = std::chrono::steady_clock::now();
    if (moment - told_at_ < progress_interval) return;
    told_at_ = moment;
    tell(runtime::attach_gate_progress);
  }
  void release() { tell(runtime::attach_gate_release); }

 private:
  static constexpr std::chrono::milliseconds progress_interval{300};

  /// A shim that takes no word is stuck: without the last one it drops the client.
  void tell(char word) const { ::send(gate_.get(), &word, 1, MSG_NOSIGNAL | MSG_DONTWAIT); }

  LogEnd log_end_;
  UniqueFd gate_;
  std::chrono::steady_clock::time_point told_at_ = std::chrono::steady_clock::now();
};

/// nullopt: the container has ended and its log is complete. Throws Error{not_implemented} for an older shim.
std::optional<HeldOutput> hold_output(runtime::ShimClient& shim, const runtime::AttachRequest& request, int client) {
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  try {
    runtime::ShimHeld held = shim.attach_held(request, client, theirs.get());
    return HeldOutput(std::move(ours), {.file = std::move(held.log), .offset_bytes = held.log_offset_bytes});
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::not_implemented) throw;
    return std::nullopt;
  }
}

/// Hands the client over, to the shim or to the next start.
awaitable<void> attach_live(EngineState& state, ContainerPtr container, runtime::AttachRequest request,
                            UniqueFd client) {
  const std::shared_ptr<runtime::ShimClient> shim = container->shim;
  if (!shim) {
    container->pending_attaches.push_back(PendingAttach{std::move(request), std::move(client)});
    co_return;
  }
  try {
    co_await blocking(state.disk_pool, [&] { shim->attach(request, client.get()); });
  } catch (const Error& e) {
    // It ended while we attached: the client sees the end of the stream.
    log::debug("attach to an ending container", {{"container", container->id()}, {"error", e.message()}});
  }
}

/// `logs=1&stream=1`: what was written so far, then what is written from there on; nothing twice, nothing left out.
awaitable<void> attach_after_replay(EngineState& state, AttachedRun run, runtime::AttachRequest request,
                                    UniqueFd client, LogReplay replay) {
  const ContainerPtr& container = run.container;
  for (;;) {
    co_await wait_settled(run);
    const bool over = run.over();
    const std::shared_ptr<runtime::ShimClient> shim = over ? nullptr : container->shim;
    std::optional<HeldOutput> held;
    bool old_shim = false;
    if (shim) {
      try {
        held = co_await blocking(state.disk_pool, [&] { return hold_output(*shim, request, client.get()); });
      } catch (const Error&) {
        old_shim = true;
      }
    }
    if (held) {
      co_await replay.write_until(held->take_log_end(), [&] { held->tell_progress(); });
      held->release();
      co_return;
    }
    co_await replay.write_present();
    if (over || (shim && !old_shim)) co_return;
    // A container that is not started yet wrote nothing meanwhile, unless it was started.
    if (old_shim || (!run.over() && !container->shim && !container->launching)) break;
  }
  co_await attach_live(state, container, std::move(request), std::move(client));
}

}  // namespace

awaitable<void> Engine::attach(std::string id, AttachOptions options, Hijack hijack) {
  EngineState& state = *state_;
  const ContainerPtr container = state.containers.get(id);
  const AttachedRun run{.container = container, .ending = container->ending};
  check_allowed(Verb::attach, container->state, container->id(), container->name());
  runtime::AttachRequest request;
  request.stdin_ = options.stdin_;
  request.stdout_ = options.stdout_;
  request.stderr_ = options.stderr_;
  request.framed = !container->record.config.tty && !options.raw;
  request.detach_keys = parse_detach_keys(options.detach_keys);
  request.session_id = random_hex(8);
  ReadableLog log;
  if (options.logs) log = find_readable_log(container->record, state.paths.container(container->id()));
  HijackedClient client = co_await hijack(request.framed);
  request.pending_input = std::move(client.pending_input);
  publish(state, *container, "attach");
  if (options.logs) {
    LogReadOptions read;
    read.want_stdout = options.stdout_;
    read.want_stderr = options.stderr_;
    read.framed = request.framed;
    LogReplay replay(state.disk_pool, std::move(log), read, client.socket.get());
    if (!options.stream) co_return co_await replay.write_present();
    co_return co_await attach_after_replay(state, run, std::move(request), std::move(client.socket), std::move(replay));
  }
  if (!options.stream) co_return;
  // A start that is under way takes the client along, an exit ends its stream; a later run is another one's.
  if (!container->launching) co_await wait_settled(run);
  if (run.over()) co_return;
  co_await attach_live(state, container, std::move(request), std::move(client.socket));
}

}  // namespace mydocker::engine
