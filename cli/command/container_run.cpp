#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "api/types/container.h"
#include "cli/command.h"
#include "cli/command/pull.h"
#include "cli/container_options.h"
#include "cli/container_session.h"
#include "cli/options/words.h"
#include "cli/reference.h"
#include "cli/terminal.h"
#include "engine/base/sys.h"

namespace mydocker::cli {
namespace {

constexpr int engine_error = 125;
constexpr int cannot_run = 126;
constexpr int not_found = 127;

std::string with_help(std::string_view message, std::string_view command) {
  return concat(program_name, ": ", message, "\n\nRun '", program_name, " ", command, " --help' for more information");
}

// Docker's exit code of a start that failed is read from the engine's words alone (WIRE 23).
int code_of_failed_start(std::string_view text) {
  const std::string lower = to_lower(text);
  const auto says = [&](std::string_view words) { return lower.find(words) != std::string::npos; };
  if (says("executable file not found") || says("no such file or directory") || says("system cannot find the file"))
    return not_found;
  if (says("permission denied") || says("is a directory")) return cannot_run;
  return engine_error;
}

/// The file of --cidfile: exists from before the container is created, removed again if it is not.
class IdFile {
 public:
  explicit IdFile(std::string path) : path_(std::move(path)) {
    if (path_.empty()) return;
    if (path_exists(path_)) {
      throw Error(ErrorKind::conflict,
                  concat("container ID file found, make sure the other container isn't running or delete ", path_));
    }
    try {
      fd_ = open_file(path_, O_WRONLY | O_CREAT | O_EXCL, 0644);
    } catch (const Error& error) {
      throw Error(ErrorKind::internal, concat("failed to create the container ID file: open ", path_, ": ",
                                              to_lower(errno_text(error.errno_value()))));
    }
  }
  ~IdFile() {
    if (fd_ && !written_) ::unlink(path_.c_str());
  }
  IdFile(const IdFile&) = delete;
  IdFile& operator=(const IdFile&) = delete;

  void write(const std::string& id) {
    if (!fd_) return;
    write_all(fd_.get(), id);
    written_ = true;
  }

 private:
  std::string path_;
  UniqueFd fd_;
  bool written_ = false;
};

bool is_localhost_dns(std::string_view address) { return address.starts_with("127.") || address == "::1"; }

void warn_about(const api::ContainerCreateRequest& request) {
  for (const std::string& server : request.host_config.dns.value_or(api::StringList{})) {
    if (is_localhost_dns(server))
      print_error(concat("WARNING: Localhost DNS (", server, ") may fail in containers.\n"));
  }
}

// An ID or its beginning is no reference and goes to the engine as it is.
bool is_image_id(std::string_view text) {
  if (text.starts_with("sha256:")) text.remove_prefix(7);
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string create_container(Session& session, const Arguments& arguments, const api::ContainerCreateRequest& request) {
  const std::string pull = arguments.text("pull", "missing");
  if (pull != "always" && pull != "missing" && pull != "never") {
    throw CommandFailure(engine_error, with_help(concat("invalid pull option: '", pull,
                                                        "': must be one of \"always\", \"missing\" or \"never\""),
                                                 session.invoked));
  }
  warn_about(request);
  IdFile id_file(arguments.text("cidfile"));
  std::optional<ImageReference> reference;
  if (!is_image_id(request.image)) reference = parse_reference(request.image);

  const PullRequest pull_request{request.image, arguments.text("platform"), arguments.enabled("quiet"), STDERR_FILENO};
  if (pull == "always" && reference) pull_image(session, pull_request);
  ApiCall call{.method = "POST", .path = "/containers/create"};
  if (const std::string name = arguments.text("name"); !name.empty()) call.query.emplace_back("name", name);
  if (const std::string platform = arguments.text("platform"); !platform.empty())
    call.query.emplace_back("platform", platform);
  call.body = write_json(to_json(request));
  json::value answer;
  try {
    answer = session.api().call_json(call);
  } catch (const ApiError& error) {
    if (error.status() != 404 || pull != "missing" || !reference) throw;
    if (!arguments.enabled("quiet")) {
      print_error(concat("Unable to find image '", reference->familiar(), "' locally\n"));
    }
    pull_image(session, pull_request);
    answer = session.api().call_json(call);
  }
  const auto response = from_json<api::ContainerCreateResponse>(answer);
  for (const std::string& warning : response.warnings) print_error(concat("WARNING: ", warning, "\n"));
  id_file.write(response.id);
  return response.id;
}

int create(Session& session, const Arguments& arguments) {
  api::ContainerCreateRequest request;
  try {
    request = make_create_request(arguments, session.config);
  } catch (const Error& error) {
    throw CommandFailure(engine_error, with_help(error.message(), session.invoked));
  }
  print(concat(create_container(session, arguments, request), "\n"));
  return 0;
}

// The engine may have been killed and started again meanwhile, while the container ran on: then it is asked once more.
std::string read_wait(Session& session, const std::string& id, HttpConnection& connection) {
  try {
    return connection.read_whole_body();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::unavailable) throw;
  }
  return session.api().call(
      {.method = "POST", .path = concat("/containers/", id, "/wait"), .query = {{"condition", "not-running"}}});
}

int wait_result(Session& session, const std::string& id, HttpConnection& connection) {
  const auto response = from_json<api::WaitResponse>(parse_json(read_wait(session, id, connection)));
  if (response.error && !response.error->message.empty()) {
    throw Error(ErrorKind::internal, concat("Error waiting for container: ", response.error->message));
  }
  return static_cast<int>(response.status_code);
}

ApiCall attach_call(const std::string& id, const api::ContainerConfig& config, const std::string& detach_keys) {
  ApiCall call{.method = "POST", .path = concat("/containers/", id, "/attach"), .query = {{"stream", "1"}}};
  if (config.attach_stdin) call.query.emplace_back("stdin", "1");
  if (config.attach_stdout) call.query.emplace_back("stdout", "1");
  if (config.attach_stderr) call.query.emplace_back("stderr", "1");
  if (!detach_keys.empty()) call.query.emplace_back("detachKeys", detach_keys);
  return call;
}

ApiCall wait_call(const std::string& id, bool removed) {
  return {.method = "POST",
          .path = concat("/containers/", id, "/wait"),
          .query = {{"condition", removed ? "removed" : "next-exit"}}};
}

void start_container(Session& session, const std::string& id) {
  session.api().call({.method = "POST", .path = concat("/containers/", id, "/start")});
}

// The ID comes first: a container whose start fails is there, and can be looked at or removed by it.
int run_detached(Session& session, const std::string& id) {
  print(concat(id, "\n"));
  flush_output();
  start_container(session, id);
  return 0;
}

// Attach and wait are asked at the same time and both must have answered before start: no output and no exit is missed.
int run_attached(Session& session, const Arguments& arguments, const api::ContainerCreateRequest& request,
                 const std::string& id) {
  InteractiveOptions options;
  options.tty = request.tty;
  options.input = request.attach_stdin;
  options.forward_signals = arguments.enabled("sig-proxy", true) && !request.tty;
  options.container = id;
  options.resize_path = concat("/containers/", id, "/resize");
  options.detach_sequence = detach_sequence(session, arguments);
  InteractiveSession interactive(session, options);
  interactive.prepare();
  const bool streams = request.attach_stdin || request.attach_stdout || request.attach_stderr;
  std::optional<HttpConnection> attach;
  if (streams)
    attach =
        session.api().begin_hijack(attach_call(id, request, arguments.text("detach-keys", session.config.detach_keys)));
  HttpConnection wait(session.api().connect());
  wait = session.api().begin_on(std::move(wait), wait_call(id, request.host_config.auto_remove));
  std::optional<HijackedStream> stream;
  if (attach) stream = session.api().finish_hijack(std::move(*attach));
  session.api().finish(wait);

  try {
    start_container(session, id);
  } catch (const Error&) {
    // With --rm the engine removes the container itself: its removal is waited for, so that the name is free again.
    if (request.host_config.auto_remove) wait.read_whole_body();
    throw;
  }
  if (request.tty) send_terminal_size(session, options.resize_path);
  if (!stream) {
    print(concat(id, "\n"));
    flush_output();
    return wait_result(session, id, wait);
  }
  if (interactive.run(std::move(*stream)) == PumpEnd::detached) return 0;
  return wait_result(session, id, wait);
}

int run(Session& session, const Arguments& arguments) {
  const auto failure = [&](const Error& error, int code) {
    return CommandFailure(code, with_help(error.message(), session.invoked));
  };
  api::ContainerCreateRequest request;
  try {
    request = make_create_request(arguments, session.config);
    detach_sequence(session, arguments);
  } catch (const Error& error) {
    throw failure(error, engine_error);
  }
  const bool detach = arguments.enabled("detach");
  if (detach) {
    if (arguments.has("attach"))
      throw CommandFailure(1, "conflicting options: cannot specify both --attach and --detach");
    request.attach_stdin = request.attach_stdout = request.attach_stderr = request.stdin_once = false;
  } else {
    require_terminal(request.tty, request.attach_stdin);
  }
  try {
    const std::string id = create_container(session, arguments, request);
    return detach ? run_detached(session, id) : run_attached(session, arguments, request, id);
  } catch (const CommandFailure&) {
    throw;
  } catch (const Error& error) {
    throw failure(error, code_of_failed_start(error.message()));
  }
}

constexpr Command commands[] = {
    {.name = "run",
     .usage = "[OPTIONS] IMAGE [COMMAND] [ARG...]",
     .summary = "Create and run a new container from an image",
     .least_arguments = 1,
     .grammar = Grammar::flags_first,
     .run = run},
    {.name = "create",
     .usage = "[OPTIONS] IMAGE [COMMAND] [ARG...]",
     .summary = "Create a new container",
     .least_arguments = 1,
     .grammar = Grammar::flags_first,
     .run = create},
};

}  // namespace

std::span<const Command> container_run_commands() {
  static const std::array<Command, 2> with_flags = [] {
    std::array<Command, 2> out{commands[0], commands[1]};
    for (Command& command : out) command.flags = container_flags();
    return out;
  }();
  return with_flags;
}

}  // namespace mydocker::cli
