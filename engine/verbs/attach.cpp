#include <sys/socket.h>
#include <sys/time.h>

#include "engine/base/log.h"
#include "engine/base/sys.h"
#include "engine/detach_keys.h"
#include "engine/engine.h"
#include "engine/engine_state.h"
#include "engine/lifecycle.h"
#include "engine/log_plan.h"
#include "engine/log_reader.h"

/// ContainerAttach (WIRE 5): the client's connection goes to the shim; no byte of a session passes the engine twice.
namespace mydocker::engine {
namespace {

constexpr int replay_timeout_seconds = 30;

/// `logs=1`: what was written so far, before the live stream. On a pool thread; a client that does not read is given
/// up.
void replay_logs(const std::string& path, LogReadOptions options, int client) {
  timeval limit{.tv_sec = replay_timeout_seconds, .tv_usec = 0};
  ::setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  set_nonblocking(client, false);
  LogReader reader(path, options);
  for (LogReadState status = LogReadState::more; status == LogReadState::more;) {
    std::string out;
    status = reader.read_some(out);
    if (!out.empty()) write_all(client, out);
  }
}

}  // namespace

awaitable<void> Engine::attach(std::string id, AttachOptions options, Hijack hijack) {
  EngineState& state = *state_;
  const ContainerPtr container = state.containers.get(id);
  const std::shared_ptr<const Ending> ending = container->ending;
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
    read.compact = log.compact;
    co_await blocking(state.disk_pool, [&] { replay_logs(log.path, read, client.socket.get()); });
  }
  // The connection closes; also when the container has ended meanwhile: a later run is another one's.
  if (!options.stream || container->removed || ending->known) co_return;
  const std::shared_ptr<runtime::ShimClient> shim = container->shim;
  if (!shim) {
    container->pending_attaches.push_back(PendingAttach{std::move(request), std::move(client.socket)});
    co_return;
  }
  try {
    co_await blocking(state.disk_pool, [&] { shim->attach(request, client.socket.get()); });
  } catch (const Error& e) {
    // It ended while we attached: the client sees the end of the stream.
    log::debug("attach to an ending container", {{"container", container->id()}, {"error", e.message()}});
  }
}

}  // namespace mydocker::engine
