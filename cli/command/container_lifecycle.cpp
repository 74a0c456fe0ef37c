#include <algorithm>

#include "api/types/container.h"
#include "cli/command.h"
#include "cli/options/resources.h"
#include "cli/terminal.h"
#include "cli/units.h"

namespace mydocker::cli {
namespace {

using enum FlagKind;

std::string container_path(std::string_view name, std::string_view verb) {
  return concat("/containers/", path_part(name), verb.empty() ? "" : "/", verb);
}

int simple_verb(Session& session, const Arguments& arguments, std::string_view verb, const Query& query) {
  return for_each_name(arguments.positionals, [&](const std::string& name) -> std::optional<std::string> {
    session.api().call({.method = "POST", .path = container_path(name, verb), .query = query});
    return name;
  });
}

constexpr Flag stop_flags[] = {
    {"signal", 's', single, "string", "Signal to send to the container"},
    {"time", 0, single, "int", "Seconds to wait before killing the container", check_int, true},
    {"timeout", 't', single, "int", "Seconds to wait before killing the container", check_int},
};

Query stop_query(const Arguments& arguments) {
  Query query;
  for (const std::string_view name : {"timeout", "time"}) {
    if (arguments.has(name)) {
      query.emplace_back("t", std::to_string(arguments.integer(name)));
      break;
    }
  }
  if (arguments.has("signal")) query.emplace_back("signal", arguments.text("signal"));
  return query;
}

// Several containers stop at the same time; the answers are printed in the order of the names.
int stop_or_restart(Session& session, const Arguments& arguments, std::string_view verb) {
  const Query query = stop_query(arguments);
  std::vector<HttpConnection> pending;
  for (const std::string& name : arguments.positionals) {
    HttpConnection connection(session.api().connect());
    pending.push_back(session.api().begin_on(std::move(connection),
                                             {.method = "POST", .path = container_path(name, verb), .query = query}));
  }
  std::size_t at = 0;
  return for_each_name(arguments.positionals, [&](const std::string& name) -> std::optional<std::string> {
    HttpConnection& connection = pending[at++];
    session.api().finish(connection);
    flush_output();
    return name;
  });
}

int stop(Session& session, const Arguments& arguments) { return stop_or_restart(session, arguments, "stop"); }
int restart(Session& session, const Arguments& arguments) { return stop_or_restart(session, arguments, "restart"); }
int pause(Session& session, const Arguments& arguments) { return simple_verb(session, arguments, "pause", {}); }
int unpause(Session& session, const Arguments& arguments) { return simple_verb(session, arguments, "unpause", {}); }

constexpr Flag kill_flags[] = {{"signal", 's', single, "string", "Signal to send to the container"}};

int kill(Session& session, const Arguments& arguments) {
  Query query;
  if (arguments.has("signal")) query.emplace_back("signal", arguments.text("signal"));
  return simple_verb(session, arguments, "kill", query);
}

constexpr Flag rm_flags[] = {
    {"force", 'f', boolean, "", "Remove a running container (it is killed)"},
    {"link", 'l', boolean, "", "Remove the link"},
    {"volumes", 'v', boolean, "", "Remove its anonymous volumes too"},
};

int rm(Session& session, const Arguments& arguments) {
  Query query;
  if (arguments.enabled("force")) query.emplace_back("force", "1");
  if (arguments.enabled("link")) query.emplace_back("link", "1");
  if (arguments.enabled("volumes")) query.emplace_back("v", "1");
  return for_each_name(arguments.positionals, [&](const std::string& name) -> std::optional<std::string> {
    std::string_view plain = name;
    while (plain.starts_with('/')) plain.remove_prefix(1);
    if (plain.empty()) throw Error(ErrorKind::invalid_argument, "container name cannot be empty");
    try {
      session.api().call({.method = "DELETE", .path = container_path(plain, ""), .query = query});
    } catch (const ApiError& error) {
      // Docker quirk: with --force a container that does not exist is told, but is no failure.
      if (!arguments.enabled("force") || error.status() != 404) throw;
      print_error(concat(error.message(), "\n"));
      return std::nullopt;
    }
    return name;
  });
}

int wait(Session& session, const Arguments& arguments) {
  return for_each_name(arguments.positionals, [&](const std::string& name) -> std::optional<std::string> {
    const auto response = from_json<api::WaitResponse>(session.api().call_json(
        {.method = "POST", .path = container_path(name, "wait"), .query = {{"condition", ""}}}));
    if (response.error && !response.error->message.empty()) throw Error(ErrorKind::internal, response.error->message);
    return std::to_string(response.status_code);
  });
}

int rename(Session& session, const Arguments& arguments) {
  const std::string& old_name = arguments.positionals[0];
  const std::string& new_name = arguments.positionals[1];
  try {
    session.api().call({.method = "POST", .path = container_path(old_name, "rename"), .query = {{"name", new_name}}});
  } catch (const ApiError& error) {
    print_error(concat(error.message(), "\n"));
    throw CommandFailure(1, concat("Error: failed to rename container named ", old_name));
  }
  return 0;
}

constexpr Flag update_flags[] = {
    {"blkio-weight", 0, single, "uint16", "Block IO weight, 10 to 1000, 0 = off", check_uint16},
    {"cpu-period", 0, single, "int", "Period of the CPU quota in microseconds", check_int},
    {"cpu-quota", 0, single, "int", "CPU time in one period, in microseconds", check_int},
    {"cpu-rt-period", 0, single, "int", "Real-time period in microseconds", check_int},
    {"cpu-rt-runtime", 0, single, "int", "Real-time runtime in microseconds", check_int},
    {"cpu-shares", 'c', single, "int", "CPU shares (relative weight)", check_int},
    {"cpus", 0, single, "decimal", "Number of CPUs", check_cpus},
    {"cpuset-cpus", 0, single, "string", "CPUs to run on (0-3, 0,1)"},
    {"cpuset-mems", 0, single, "string", "Memory nodes to use (0-3, 0,1)"},
    {"memory", 'm', single, "bytes", "Memory limit", check_bytes},
    {"memory-reservation", 0, single, "bytes", "Memory soft limit", check_bytes},
    {"memory-swap", 0, single, "bytes", "Limit of memory and swap together, -1 = unlimited swap", check_bytes},
    {"pids-limit", 0, single, "int", "Limit of processes, -1 = unlimited", check_int},
    {"restart", 0, single, "string", "Restart policy"},
};

std::int64_t bytes(const Arguments& arguments, std::string_view name) {
  if (!arguments.has(name)) return 0;
  const std::string value = arguments.text(name);
  return value == "-1" ? -1 : parse_size_bytes(value);
}

int update(Session& session, const Arguments& arguments) {
  if (arguments.values.empty()) throw CommandFailure(1, "you must provide one or more flags when using this command");
  api::UpdateRequest request;
  request.blkio_weight = static_cast<std::uint16_t>(arguments.integer("blkio-weight"));
  request.cpu_period_us = arguments.integer("cpu-period");
  request.cpu_quota_us = arguments.integer("cpu-quota");
  request.cpu_realtime_period_us = arguments.integer("cpu-rt-period");
  request.cpu_realtime_runtime_us = arguments.integer("cpu-rt-runtime");
  request.cpu_shares = arguments.integer("cpu-shares");
  if (arguments.has("cpus")) request.nano_cpus = parse_cpus(arguments.text("cpus"));
  request.cpuset_cpus = arguments.text("cpuset-cpus");
  request.cpuset_mems = arguments.text("cpuset-mems");
  request.memory_bytes = bytes(arguments, "memory");
  request.memory_reservation_bytes = bytes(arguments, "memory-reservation");
  request.memory_swap_bytes = bytes(arguments, "memory-swap");
  if (arguments.has("pids-limit")) request.pids_limit = arguments.integer("pids-limit");
  if (arguments.has("restart")) request.restart_policy = parse_restart_policy(arguments.text("restart"));
  return for_each_name(arguments.positionals, [&](const std::string& name) -> std::optional<std::string> {
    session.api().call(
        {.method = "POST", .path = container_path(name, "update"), .body = write_json(to_json(request))});
    return name;
  });
}

constexpr Command commands[] = {
    {.name = "kill",
     .usage = "[OPTIONS] CONTAINER [CONTAINER...]",
     .summary = "Kill one or more running containers",
     .least_arguments = 1,
     .flags = kill_flags,
     .run = kill},
    {.name = "pause",
     .usage = "CONTAINER [CONTAINER...]",
     .summary = "Pause all processes within one or more containers",
     .least_arguments = 1,
     .run = pause},
    {.name = "rename",
     .usage = "CONTAINER NEW_NAME",
     .summary = "Rename a container",
     .least_arguments = 2,
     .most_arguments = 2,
     .run = rename},
    {.name = "restart",
     .usage = "[OPTIONS] CONTAINER [CONTAINER...]",
     .summary = "Restart one or more containers",
     .least_arguments = 1,
     .flags = stop_flags,
     .run = restart},
    {.name = "rm",
     .usage = "[OPTIONS] CONTAINER [CONTAINER...]",
     .summary = "Remove one or more containers",
     .least_arguments = 1,
     .flags = rm_flags,
     .run = rm},
    {.name = "stop",
     .usage = "[OPTIONS] CONTAINER [CONTAINER...]",
     .summary = "Stop one or more running containers",
     .least_arguments = 1,
     .flags = stop_flags,
     .run = stop},
    {.name = "unpause",
     .usage = "CONTAINER [CONTAINER...]",
     .summary = "Unpause all processes within one or more containers",
     .least_arguments = 1,
     .run = unpause},
    {.name = "update",
     .usage = "[OPTIONS] CONTAINER [CONTAINER...]",
     .summary = "Update configuration of one or more containers",
     .least_arguments = 1,
     .flags = update_flags,
     .run = update},
    {.name = "wait",
     .usage = "CONTAINER [CONTAINER...]",
     .summary = "Block until one or more containers stop, then print their exit codes",
     .least_arguments = 1,
     .run = wait},
};

}  // namespace

std::span<const Command> container_lifecycle_commands() { return commands; }

}  // namespace mydocker::cli
