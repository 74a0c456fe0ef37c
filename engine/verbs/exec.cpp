#include "engine/base/log.h"
#include "engine/base/sys.h"
#include "engine/detach_keys.h"
#include "engine/engine.h"
#include "engine/engine_state.h"
#include "engine/exec_sessions.h"
#include "engine/launch_plan.h"
#include "engine/lifecycle.h"

/// Exec sessions (WIRE 6).
namespace mydocker::engine {
namespace {

constexpr std::chrono::seconds resize_waits{10};
constexpr int exit_code_exec_failed = 126;  // also for what fails a start with 128: an unknown user, say
constexpr int exit_code_program_missing = 127;

std::shared_ptr<Exec> get_exec(const EngineState& state, const std::string& id) {
  const auto found = state.execs.find(id);
  if (found == state.execs.end()) throw Error(ErrorKind::not_found, concat("No such exec instance: ", id));
  return found->second;
}

std::string command_line(const Exec& exec) {
  std::string text;
  for (const std::string& word : exec.request.cmd) text += (text.empty() ? "" : " ") + word;
  return text;
}

runtime::ExecRequest make_request(const EngineState& state, const Container& container, const Exec& exec,
                                  const api::ExecStartRequest& start) {
  const api::ExecCreateRequest& wanted = exec.request;
  runtime::ExecRequest request;
  request.exec_id = exec.id;
  request.process = to_json(plan_exec_process(container.record, wanted, state.options));
  request.user = effective_user(wanted.user.empty() ? container.record.config.user : wanted.user);
  request.group_add = container.record.host_config.group_add.value_or(api::StringList{});
  request.tty = wanted.tty;
  const api::ConsoleSize size = start.console_size.value_or(wanted.console_size.value_or(api::ConsoleSize{}));
  request.console_height = size.height;
  request.console_width = size.width;
  request.streams.stdin_ = !start.detach && wanted.attach_stdin;
  request.streams.stdout_ = !start.detach && wanted.attach_stdout;
  request.streams.stderr_ = !start.detach && wanted.attach_stderr;
  request.streams.framed = !start.tty;
  request.streams.detach_keys = exec.detach_keys;
  request.streams.session_id = exec.id;
  return request;
}

/// After the hijack an error is text in the stream.
std::string error_text(const std::string& message, bool framed) {
  const std::string text = message + "\r\n";
  if (!framed) return text;
  const auto size = static_cast<std::uint32_t>(text.size());
  std::string frame = {1, 0, 0, 0};  // stdout
  for (const int shift : {24, 16, 8, 0}) frame.push_back(static_cast<char>((size >> shift) & 0xff));
  return frame + text;
}

struct ExecFailure {
  std::string message;
  int exit_code = exit_code_exec_failed;
  ErrorKind kind = ErrorKind::internal;
};

awaitable<std::optional<ExecFailure>> run_exec(EngineState& state, ContainerPtr container, std::shared_ptr<Exec> exec,
                                               runtime::ExecRequest request, int client) {
  const std::shared_ptr<runtime::ShimClient> shim = container->shim;
  ExecFailure failure;
  try {
    if (!shim) throw Error(ErrorKind::conflict, concat("container ", container->id(), " is not running"));
    exec->pid = co_await blocking(state.disk_pool, [&] { return shim->exec(request, client); });
    co_return std::nullopt;
  } catch (const runtime::LaunchError& e) {
    const int code = e.exit_code() == exit_code_program_missing ? e.exit_code() : exit_code_exec_failed;
    failure = {
        concat("OCI runtime exec failed: exec failed: unable to start container process: ", e.message(), ": unknown"),
        code, e.kind()};
  } catch (const Error& e) {
    failure = {concat("OCI runtime exec failed: ", e.message()), exit_code_exec_failed, e.kind()};
  }
  finish_exec(state, *container, exec->id, failure.exit_code);
  co_return failure;
}

}  // namespace

awaitable<std::string> Engine::create_exec(std::string id, api::ExecCreateRequest request) {
  EngineState& state = *state_;
  const ContainerPtr container = state.containers.get(id);
  if (request.cmd.empty()) throw Error(ErrorKind::invalid_argument, "No exec command specified");
  check_allowed(Verb::exec, container->state, container->id(), container->name());
  forget_old_execs(state);
  const auto exec = std::make_shared<Exec>();
  exec->id = make_random_id();
  exec->container_id = container->id();
  exec->detach_keys = parse_detach_keys(request.detach_keys);
  exec->request = std::move(request);
  plan_exec_process(container->record, exec->request, state.options);  // refuses what cannot be
  state.execs[exec->id] = exec;
  container->execs[exec->id] = exec;
  publish(state, *container, concat("exec_create: ", command_line(*exec)), {{"execID", exec->id}});
  co_return exec->id;
}

awaitable<void> Engine::start_exec(std::string exec_id, api::ExecStartRequest start, Hijack hijack) {
  EngineState& state = *state_;
  const std::shared_ptr<Exec> exec = get_exec(state, exec_id);
  const ContainerPtr container = state.containers.get(exec->container_id);
  check_allowed(Verb::exec, container->state, container->id(), container->name());
  if (exec->started) throw Error(ErrorKind::conflict, concat("Error: Exec command ", exec->id, " has already run"));
  exec->started = true;
  exec->running = true;
  Trace trace("exec");
  trace.set_subject(container->id());
  runtime::ExecRequest request = make_request(state, *container, *exec, start);
  HijackedClient client;
  if (!start.detach) {
    client = co_await hijack(request.streams.framed);
    request.streams.pending_input = std::move(client.pending_input);
  }
  publish(state, *container, concat("exec_start: ", command_line(*exec)), {{"execID", exec->id}});
  const bool framed = request.streams.framed;
  const int socket = client.socket ? client.socket.get() : -1;
  trace.mark("plan");
  const std::optional<ExecFailure> failure = co_await run_exec(state, container, exec, std::move(request), socket);
  trace.mark("start");
  state.traces.record(trace);
  container->changed.notify_all();
  if (!failure) co_return;
  if (start.detach) throw Error(failure->kind, failure->message);
  const std::string text = error_text(failure->message, framed);
  co_await blocking(state.disk_pool, [&] {
    set_nonblocking(socket, false);
    write_all(socket, text);
  });
}

awaitable<void> Engine::resize_exec(std::string exec_id, int height, int width) {
  EngineState& state = *state_;
  const std::shared_ptr<Exec> exec = get_exec(state, exec_id);
  const ContainerPtr container = state.containers.get(exec->container_id);
  // A client resizes as soon as it has asked for the start: wait for the process.
  const auto deadline = std::chrono::steady_clock::now() + resize_waits;
  while (exec->pid == 0 && !exec->exit_code) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= std::chrono::nanoseconds(0) || !co_await container->changed.wait_for(left)) {
      throw Error(ErrorKind::internal, "timeout waiting for exec session ready");
    }
  }
  const std::shared_ptr<runtime::ShimClient> shim = container->shim;
  if (exec->exit_code || !shim)
    throw Error(ErrorKind::not_found, concat("No such exec instance: ", exec_id, " (it has ended)"));
  if (!exec->request.tty) co_return;  // as a container's without a terminal
  co_await blocking(state.disk_pool, [&] {
    shim->exec_resize(exec->id, static_cast<std::uint16_t>(height), static_cast<std::uint16_t>(width));
  });
}

awaitable<api::ExecInspect> Engine::inspect_exec(std::string exec_id) {
  const std::shared_ptr<Exec> exec = get_exec(*state_, exec_id);
  api::ExecInspect out;
  out.id = exec->id;
  out.running = exec->running;
  if (exec->exit_code) out.exit_code = *exec->exit_code;
  out.process_config.tty = exec->request.tty;
  out.process_config.entrypoint = exec->request.cmd.front();
  out.process_config.arguments.assign(exec->request.cmd.begin() + 1, exec->request.cmd.end());
  out.process_config.privileged = exec->request.privileged;
  out.process_config.user = exec->request.user;
  out.open_stdin = exec->request.attach_stdin;
  out.open_stderr = exec->request.attach_stderr;
  out.open_stdout = exec->request.attach_stdout;
  out.container_id = exec->container_id;
  out.pid = exec->pid;
  co_return out;
}

}  // namespace mydocker::engine
