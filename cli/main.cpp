#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <clocale>
#include <cstdio>
#include <cstdlib>

#include "api/types/system.h"
#include "cli/autostart.h"
#include "cli/command.h"
#include "cli/registry.h"
#include "cli/terminal.h"

namespace mydocker::cli {
namespace {

constexpr int usage_exit_code = 125;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

Endpoint endpoint_of_context(const std::string& directory, const std::string& name) {
  for (const Context& context : read_contexts(directory)) {
    if (context.name == name) return parse_endpoint(context.host);
  }
  throw Error(ErrorKind::not_found,
              concat("unable to resolve docker endpoint: context \"", name, "\": context not found"));
}

bool wants_verification(const Arguments& global) {
  return global.enabled("tlsverify") || !environment("DOCKER_TLS_VERIFY").empty();
}

bool wants_tls(const Arguments& global) {
  return wants_verification(global) || global.enabled("tls") || !environment("DOCKER_TLS").empty();
}

// --tlscacert, --tlscert, --tlskey; without them the files of DOCKER_CERT_PATH, or of the configuration, as far as they
// are there.
TlsSettings choose_tls(const Arguments& global, const Session& session) {
  std::string directory = environment("DOCKER_CERT_PATH");
  if (directory.empty()) directory = session.config_directory;
  const auto choose = [&](const char* flag, const char* file) {
    if (global.has(flag)) return global.text(flag);
    const std::string path = concat(directory, "/", file);
    return ::access(path.c_str(), R_OK) == 0 ? path : std::string();
  };
  TlsSettings settings{.verify = wants_verification(global),
                       .ca = choose("tlscacert", "ca.pem"),
                       .certificate = choose("tlscert", "cert.pem"),
                       .key = choose("tlskey", "key.pem")};
  if (settings.verify && settings.ca.empty()) {
    throw Error(ErrorKind::invalid_argument,
                concat("unable to resolve docker endpoint: open ", directory, "/ca.pem: no such file or directory"));
  }
  return settings;
}

// -H, --context, DOCKER_HOST, DOCKER_CONTEXT, the configured context, our own socket: in this order.
Endpoint choose_endpoint(const Arguments& global, Session& session) {
  const char* const port = wants_tls(global) ? "2376" : "2375";
  const std::string host = environment("DOCKER_HOST");
  if (global.has("host")) return parse_endpoint(global.text("host"), port);
  std::string context = global.text("context");
  if (context.empty() && !host.empty()) return parse_endpoint(host, port);
  if (context.empty()) context = environment("DOCKER_CONTEXT");
  if (context.empty()) context = session.config.current_context;
  if (!context.empty() && context != "default") {
    session.context_name = context;
    return endpoint_of_context(session.config_directory, context);
  }
  if (!host.empty()) return parse_endpoint(host, port);
  Endpoint endpoint;
  endpoint.path = std::string(default_socket);
  endpoint.is_default = true;
  return endpoint;
}

void open_session(const Arguments& global, Session& session) {
  session.config_directory = global.text("config", environment("DOCKER_CONFIG"));
  if (session.config_directory.empty()) session.config_directory = environment("HOME") + "/.docker";
  session.debug = global.enabled("debug");
  try {
    session.config = read_config_file(session.config_directory);
  } catch (const Error& error) {
    print_error(concat(error.message(), "\n"));
  }
  if (global.has("host") && global.has("context")) {
    throw Error(ErrorKind::invalid_argument, "conflicting options: cannot specify both --host and --context");
  }
  Endpoint endpoint;
  try {
    endpoint = choose_endpoint(global, session);
  } catch (Error& error) {
    error.add_context("Failed to initialize");
    throw;
  }
  std::function<bool()> start;
  if (endpoint.is_default) start = [path = endpoint.path] { return start_engine(path); };
  const std::string version = environment("DOCKER_API_VERSION");
  session.client = std::make_unique<Client>(
      std::move(endpoint), version.empty() ? "" : concat("/v", version),
      HeaderList(session.config.http_headers.begin(), session.config.http_headers.end()), std::move(start));
  if (wants_tls(global) && session.client->endpoint().kind == Endpoint::Kind::tcp) {
    session.client->use_tls(choose_tls(global, session));
  }
}

int fail_usage(const Command* command, std::string_view invoked, std::string_view message) {
  const std::string usage = command != nullptr ? usage_line(*command, invoked)
                                               : concat("Usage:  ", program_name, " [OPTIONS] COMMAND [ARG...]");
  const std::string name = invoked.empty() ? std::string(program_name) : concat(program_name, " ", invoked);
  print_error(concat(message, "\n\n", usage, "\n\nRun '", name, " --help' for more information\n"));
  return usage_exit_code;
}

// "" = the number of positionals is right.
std::string count_problem(const Command& command, std::size_t count, std::string_view invoked) {
  const int given = static_cast<int>(count);
  const bool bounded = command.most_arguments != no_limit;
  if (given >= command.least_arguments && (!bounded || given <= command.most_arguments)) return {};
  const std::string name = concat(program_name, ": '", program_name, " ", invoked, "' ");
  const auto plural = [](int number) { return number == 1 ? " argument" : " arguments"; };
  if (bounded && command.most_arguments == 0) return name + "accepts no arguments";
  if (command.least_arguments == command.most_arguments) {
    return concat(name, "requires ", command.least_arguments, plural(command.least_arguments));
  }
  if (!bounded || given < command.least_arguments) {
    if (bounded && command.least_arguments > 0) {
      return concat(name, "requires at least ", command.least_arguments, " and at most ", command.most_arguments,
                    plural(command.most_arguments));
    }
    return concat(name, "requires at least ", command.least_arguments, plural(command.least_arguments));
  }
  return concat(name, "requires at most ", command.most_arguments, plural(command.most_arguments));
}

int run_command(const Command& command, const std::string& invoked, const Arguments& global,
                std::vector<std::string> words) {
  Arguments arguments;
  try {
    arguments = parse_arguments(command.flags, std::move(words), command.grammar);
  } catch (const UsageError& error) {
    return fail_usage(&command, invoked, error.message());
  }
  if (arguments.help) {
    print(command_help(command, invoked));
    return 0;
  }
  if (const std::string problem = count_problem(command, arguments.positionals.size(), invoked); !problem.empty()) {
    const bool at_least = command.most_arguments == no_limit;
    print_error(concat(problem, "\n\n", usage_line(command, invoked), "\n\n", at_least ? "See" : "Run", " '",
                       program_name, " ", invoked, " --help' for more information\n"));
    return 1;
  }
  Session session;
  session.invoked = invoked;
  open_session(global, session);
  return command.run(session, arguments);
}

// What docker has and we have not: said so, for whoever thinks it is a misspelling.
constexpr std::array<std::string_view, 18> missing_commands = {
    "build", "builder", "buildx", "checkpoint", "compose", "config", "login", "logout", "manifest",
    "node",  "plugin",  "search", "secret",     "service", "stack",  "swarm", "trust",  "scout"};

int report_unknown(const FoundCommand& found, const std::vector<std::string>& words) {
  const bool missing = std::find(missing_commands.begin(), missing_commands.end(), words[0]) != missing_commands.end();
  if (found.group.empty() && missing) {
    print_error(concat(program_name, ": '", words[0], "' is not implemented: ", program_name,
                       " has no such command yet\n\nRun '", program_name, " --help' for what there is\n"));
    return 1;
  }
  if (found.group.empty()) {
    print_error(concat(program_name, ": unknown command: ", program_name, " ", words[0], "\n\nRun '", program_name,
                       " --help' for more information\n"));
    return 1;
  }
  print_error(concat(program_name, ": unknown command: ", program_name, " ", found.group, " ", words[1],
                     "\n\nUsage:  ", program_name, " ", found.group, "\n\nRun '", program_name, " ", found.group,
                     " --help' for more information\n"));
  return 1;
}

int run_words(std::vector<std::string> words) {
  Arguments global;
  try {
    global = parse_arguments(global_flags(), std::move(words), Grammar::flags_first);
  } catch (const UsageError& error) {
    return fail_usage(nullptr, "", error.message());
  }
  words = global.positionals;
  if (global.enabled("version")) {
    print(concat("Docker version ", client_version, ", build mydocker\n"));
    return 0;
  }
  const bool wants_help = global.help || (!words.empty() && words[0] == "help");
  if (!words.empty() && words[0] == "help") words.erase(words.begin());
  if (words.empty()) {
    print(main_help());
    return 0;
  }
  const FoundCommand found = find_command(words);
  if (found.command == nullptr && is_group(words[0]) && found.words == 1) {
    print(group_help(words[0]));
    return 0;
  }
  if (found.command == nullptr) return report_unknown(found, words);
  const std::string invoked = found.words == 2 ? concat(words[0], " ", words[1]) : words[0];
  if (wants_help) {
    print(command_help(*found.command, invoked));
    return 0;
  }
  words.erase(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(found.words));
  return run_command(*found.command, invoked, global, std::move(words));
}

// A caller may close them (`<&-`): what we open next must not become our standard streams.
void fill_standard_streams() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", O_RDWR) < 0) std::abort();  // opens the lowest: this one
  }
}

}  // namespace
}  // namespace mydocker::cli

int main(int argc, char** argv) {
  using namespace mydocker::cli;
  fill_standard_streams();
  int code = 1;
  try {
    code = run_words({argv + 1, argv + argc});
  } catch (const CommandFailure& failure) {
    if (!failure.message().empty()) print_error(failure.message() + "\n");
    code = failure.exit_code();
  } catch (const std::exception& error) {
    print_error(mydocker::concat(error.what(), "\n"));
  }
  flush_output();
  // Nothing that destructors of static storage could do matters any more; what was printed is out.
  ::_exit(std::ferror(stdout) != 0 && code == 0 ? 1 : code);
}
