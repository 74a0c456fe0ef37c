#include "cli/container_session.h"

#include <unistd.h>

#include "api/types/container.h"
#include "api/types/exec.h"
#include "cli/command.h"
#include "cli/options/settings.h"
#include "cli/terminal.h"

namespace mydocker::cli {
namespace {

using enum FlagKind;

api::ContainerInspect inspect(Session& session, const std::string& name) {
  return from_json<api::ContainerInspect>(
      session.api().call_json({.path = concat("/containers/", path_part(name), "/json")}));
}

ApiCall attach_call(const std::string& id, bool input, const std::string& detach_keys) {
  ApiCall call{.method = "POST",
               .path = concat("/containers/", path_part(id), "/attach"),
               .query = {{"stream", "1"}, {"stdout", "1"}, {"stderr", "1"}}};
  if (input) call.query.emplace_back("stdin", "1");
  if (!detach_keys.empty()) call.query.emplace_back("detachKeys", detach_keys);
  return call;
}

// The wait runs on a connection of its own from before the stream on: the exit cannot be missed.
HttpConnection begin_wait(Session& session, const std::string& id, std::string_view condition) {
  HttpConnection connection(session.api().connect());
  return session.api().begin_on(std::move(connection), {.method = "POST",
                                                        .path = concat("/containers/", path_part(id), "/wait"),
                                                        .query = {{"condition", std::string(condition)}}});
}

int wait_code(HttpConnection& connection) {
  const auto response = from_json<api::WaitResponse>(parse_json(connection.read_whole_body()));
  if (response.error && !response.error->message.empty()) throw Error(ErrorKind::internal, response.error->message);
  return static_cast<int>(response.status_code);
}

// --- attach ---

constexpr Flag attach_flags[] = {
    {"detach-keys", 0, single, "string", "Key sequence that detaches"},
    {"no-stdin", 0, boolean, "", "Do not attach STDIN"},
    {"sig-proxy", 0, boolean, "", "Forward received signals to the process"},
};

int attach(Session& session, const Arguments& arguments) {
  const std::string& name = arguments.positionals[0];
  const api::ContainerInspect container = inspect(session, name);
  if (!container.state.running) throw CommandFailure(1, "You cannot attach to a stopped container, start it first");
  if (container.state.paused) throw CommandFailure(1, "You cannot attach to a paused container, unpause it first");
  if (container.state.restarting)
    throw CommandFailure(1, "You cannot attach to a restarting container, wait until it is running");
  const bool input = container.config.open_stdin && !arguments.enabled("no-stdin");
  require_terminal(container.config.tty, input);

  InteractiveOptions options;
  options.tty = container.config.tty;
  options.input = input;
  options.forward_signals = arguments.enabled("sig-proxy", true) && !container.config.tty;
  options.container = container.id;
  options.resize_path = concat("/containers/", container.id, "/resize");
  options.detach_sequence = detach_sequence(session, arguments);
  InteractiveSession interactive(session, options);
  interactive.prepare();
  HttpConnection wait = begin_wait(session, container.id, "not-running");
  HijackedStream stream = session.api().finish_hijack(session.api().begin_hijack(
      attach_call(container.id, input, arguments.text("detach-keys", session.config.detach_keys))));
  session.api().finish(wait);
  if (options.tty) {
    // A program redraws when its terminal changes: one size more and back again shows the prompt of a second attach.
    send_terminal_size(session, options.resize_path, 1);
    send_terminal_size(session, options.resize_path);
  }
  if (interactive.run(std::move(stream)) == PumpEnd::detached) throw CommandFailure(1, "read escape sequence");
  return wait_code(wait);
}

// --- start ---

constexpr Flag start_flags[] = {
    {"attach", 'a', boolean, "", "Attach STDOUT/STDERR and forward signals"},
    {"checkpoint", 0, single, "string", "Restore from this checkpoint", nullptr, true},
    {"checkpoint-dir", 0, single, "string", "Use a custom checkpoint storage directory", nullptr, true},
    {"detach-keys", 0, single, "string", "Key sequence that detaches"},
    {"interactive", 'i', boolean, "", "Attach the container's STDIN"},
};

int start_attached(Session& session, const Arguments& arguments) {
  const api::ContainerInspect container = inspect(session, arguments.positionals[0]);
  const bool input = container.config.open_stdin && arguments.enabled("interactive");
  require_terminal(container.config.tty, input);
  InteractiveOptions options;
  options.tty = container.config.tty;
  options.input = input;
  options.forward_signals = !container.config.tty;
  options.container = container.id;
  options.resize_path = concat("/containers/", container.id, "/resize");
  options.detach_sequence = detach_sequence(session, arguments);
  InteractiveSession interactive(session, options);
  interactive.prepare();
  HttpConnection pending = session.api().begin_hijack(
      attach_call(container.id, input, arguments.text("detach-keys", session.config.detach_keys)));
  HttpConnection wait = begin_wait(session, container.id, container.host_config.auto_remove ? "removed" : "next-exit");
  HijackedStream stream = session.api().finish_hijack(std::move(pending));
  session.api().finish(wait);
  session.api().call({.method = "POST", .path = concat("/containers/", container.id, "/start")});
  if (options.tty) send_terminal_size(session, options.resize_path);
  if (interactive.run(std::move(stream)) == PumpEnd::detached) return 0;
  return wait_code(wait);
}

int start(Session& session, const Arguments& arguments) {
  if (arguments.enabled("attach") || arguments.enabled("interactive")) {
    if (arguments.positionals.size() > 1)
      throw CommandFailure(1, "you cannot start and attach multiple containers at once");
    return start_attached(session, arguments);
  }
  std::string failed;
  const int code = for_each_name(arguments.positionals, [&](const std::string& name) -> std::optional<std::string> {
    try {
      session.api().call({.method = "POST", .path = concat("/containers/", path_part(name), "/start")});
    } catch (const ApiError&) {
      failed += concat(failed.empty() ? "" : ", ", name);
      throw;
    }
    return name;
  });
  if (!failed.empty()) throw CommandFailure(1, concat("Error: failed to start containers: ", failed));
  return code;
}

// --- exec ---

constexpr Flag exec_flags[] = {
    {"detach", 'd', boolean, "", "Run the command in the background"},
    {"detach-keys", 0, single, "string", "Key sequence that detaches"},
    {"env", 'e', list, "list", "Set environment variables", check_environment},
    {"env-file", 0, list, "list", "Read environment variables from a file"},
    {"interactive", 'i', boolean, "", "Keep STDIN open even if not attached"},
    {"privileged", 0, boolean, "", "Give extended privileges to the command"},
    {"tty", 't', boolean, "", "Allocate a pseudo-TTY"},
    {"user", 'u', single, "string", "User name or UID (<name|uid>[:<group|gid>])"},
    {"workdir", 'w', single, "string", "Working directory inside the container"},
};

api::ExecCreateRequest make_exec_request(Session& session, const Arguments& arguments) {
  api::ExecCreateRequest request;
  const bool attach = !arguments.enabled("detach");
  request.user = arguments.text("user");
  request.privileged = arguments.enabled("privileged");
  request.tty = arguments.enabled("tty");
  request.attach_stdin = attach && arguments.enabled("interactive");
  request.attach_stdout = attach;
  request.attach_stderr = attach;
  request.detach_keys = arguments.text("detach-keys", session.config.detach_keys);
  request.working_dir = arguments.text("workdir");
  request.cmd = std::vector<std::string>(arguments.positionals.begin() + 1, arguments.positionals.end());
  for (const std::string& path : arguments.list("env-file")) {
    for (std::string& entry : read_environment_file(path)) request.env.push_back(std::move(entry));
  }
  for (const std::string& entry : arguments.list("env")) request.env.push_back(resolve_environment(entry));
  if (request.tty) {
    if (const auto size = terminal_size(STDOUT_FILENO)) request.console_size = {size->height, size->width};
  }
  return request;
}

int exec(Session& session, const Arguments& arguments) {
  const std::string& name = arguments.positionals[0];
  const api::ExecCreateRequest request = make_exec_request(session, arguments);
  const bool detach = arguments.enabled("detach");
  if (!detach) require_terminal(request.tty, request.attach_stdin);
  const auto created =
      from_json<api::IdResponse>(session.api().call_json({.method = "POST",
                                                          .path = concat("/containers/", path_part(name), "/exec"),
                                                          .body = write_json(to_json(request))}));
  api::ExecStartRequest start_request{detach, request.tty, request.console_size};
  const ApiCall start_call{
      .method = "POST", .path = concat("/exec/", created.id, "/start"), .body = write_json(to_json(start_request))};
  if (detach) {
    session.api().call(start_call);
    return 0;
  }
  InteractiveOptions options;
  options.tty = request.tty;
  options.input = request.attach_stdin;
  options.resize_path = concat("/exec/", created.id, "/resize");
  options.detach_sequence = detach_sequence(session, arguments);
  InteractiveSession interactive(session, options);
  interactive.prepare();
  HijackedStream stream = session.api().finish_hijack(session.api().begin_hijack(start_call));
  if (options.tty) send_terminal_size(session, options.resize_path);
  if (interactive.run(std::move(stream)) == PumpEnd::detached) throw CommandFailure(1, "read escape sequence");
  const auto state =
      from_json<api::ExecInspect>(session.api().call_json({.path = concat("/exec/", created.id, "/json")}));
  return static_cast<int>(state.exit_code.value_or(0));
}

constexpr Command commands[] = {
    {.name = "attach",
     .usage = "[OPTIONS] CONTAINER",
     .summary = "Attach local standard input, output, and error streams to a running container",
     .least_arguments = 1,
     .most_arguments = 1,
     .flags = attach_flags,
     .run = attach},
    {.name = "exec",
     .usage = "[OPTIONS] CONTAINER COMMAND [ARG...]",
     .summary = "Execute a command in a running container",
     .least_arguments = 2,
     .grammar = Grammar::flags_first,
     .flags = exec_flags,
     .run = exec},
    {.name = "start",
     .usage = "[OPTIONS] CONTAINER [CONTAINER...]",
     .summary = "Start one or more stopped containers",
     .least_arguments = 1,
     .flags = start_flags,
     .run = start},
};

}  // namespace

std::span<const Command> container_session_commands() { return commands; }

}  // namespace mydocker::cli
