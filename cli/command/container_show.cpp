#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

#include "api/types/container.h"
#include "api/types/stats.h"
#include "cli/command.h"
#include "cli/command/stats_text.h"
#include "cli/options/words.h"
#include "cli/stream.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/time_argument.h"
#include "cli/units.h"

namespace mydocker::cli {
namespace {

using enum FlagKind;

api::ContainerInspect inspect(Session& session, const std::string& name) {
  return from_json<api::ContainerInspect>(
      session.api().call_json({.path = concat("/containers/", path_part(name), "/json")}));
}

// --- logs ---

constexpr Flag logs_flags[] = {
    {"details", 0, boolean, "", "Show extra details provided to logs"},
    {"follow", 'f', boolean, "", "Follow log output"},
    {"since", 0, single, "string", "Show logs since a time (2013-01-02T13:23:37Z) or a duration ago (42m)"},
    {"tail", 'n', single, "string", "Number of lines to show from the end of the logs"},
    {"timestamps", 't', boolean, "", "Show timestamps"},
    {"until", 0, single, "string", "Show logs before a time (2013-01-02T13:23:37Z) or a duration ago (42m)"},
};

int logs(Session& session, const Arguments& arguments) {
  const std::string& name = arguments.positionals[0];
  ApiCall call{.path = "", .query = {{"stdout", "1"}, {"stderr", "1"}}};
  for (const std::string_view bound : {"since", "until"}) {
    if (!arguments.has(bound)) continue;
    try {
      call.query.emplace_back(bound, time_argument(arguments.text(bound)));
    } catch (Error& error) {
      error.add_context(concat("invalid value for \"", bound, "\""));
      throw;
    }
  }
  const api::ContainerInspect container = inspect(session, name);
  call.path = concat("/containers/", container.id, "/logs");
  for (const std::string_view flag : {"follow", "timestamps", "details"}) {
    if (arguments.enabled(flag)) call.query.emplace_back(flag, "1");
  }
  call.query.emplace_back("tail", arguments.text("tail", "all"));
  ApiStream stream = session.api().open(call);
  FrameDecoder decoder;
  const PumpOptions plain;
  for (std::string_view piece = stream.connection.read_body(); !piece.empty(); piece = stream.connection.read_body()) {
    if (container.config.tty) {
      write_output(STDOUT_FILENO, piece, plain);
    } else {
      decoder.feed(piece, [&](int number, std::string_view bytes) {
        write_output(number == 2 ? STDERR_FILENO : STDOUT_FILENO, bytes, plain);
      });
    }
  }
  return 0;
}

// --- top, port, diff ---

int top(Session& session, const Arguments& arguments) {
  const std::vector<std::string> options(arguments.positionals.begin() + 1, arguments.positionals.end());
  ApiCall call{.path = concat("/containers/", path_part(arguments.positionals[0]), "/top")};
  if (!options.empty()) call.query.emplace_back("ps_args", join(options, " "));
  const auto response = from_json<api::TopResponse>(session.api().call_json(call));
  std::string text = join(response.titles, "\t") + "\n";
  for (const api::StringList& process : response.processes) text += join(process, "\t") + "\n";
  print(align_tabs(text, {.least_width = 20, .padding = 3}));
  return 0;
}

// "80" -> "80/tcp"; ports sort by number, then protocol.
std::pair<int, std::string> port_key(const std::string& port) {
  return {std::atoi(port.c_str()), port.substr(std::min(port.find('/'), port.size()))};
}

std::string binding_text(const api::PortBinding& binding) {
  const bool v6 = binding.host_ip.find(':') != std::string::npos;
  return concat(v6 ? "[" : "", binding.host_ip, v6 ? "]" : "", ":", binding.host_port);
}

int port(Session& session, const Arguments& arguments) {
  const std::string& name = arguments.positionals[0];
  const api::ContainerInspect container = inspect(session, name);
  const api::PortMap& ports = container.network_settings.ports;
  if (arguments.positionals.size() == 2) {
    const std::string& asked = arguments.positionals[1];
    const std::string number = asked.substr(0, asked.find('/'));
    if (number.empty() || number.find_first_not_of("0123456789") != std::string::npos) {
      throw CommandFailure(
          1, concat("Error: invalid port (", number, "): strconv.ParseUint: parsing \"", number, "\": invalid syntax"));
    }
    const auto found = ports.find(asked == number ? concat(number, "/tcp") : asked);
    if (found == ports.end() || !found->second || found->second->empty()) {
      throw CommandFailure(1, concat("Error: No public port '", asked, "' published for ", name));
    }
    for (const api::PortBinding& binding : *found->second) print(binding_text(binding) + "\n");
    return 0;
  }
  std::vector<std::string> keys;
  for (const auto& [key, bindings] : ports) keys.push_back(key);
  std::sort(keys.begin(), keys.end(), [](const auto& a, const auto& b) { return port_key(a) < port_key(b); });
  for (const std::string& key : keys) {
    for (const api::PortBinding& binding : ports.at(key).value_or(std::vector<api::PortBinding>{})) {
      print(concat(key, " -> ", binding_text(binding), "\n"));
    }
  }
  return 0;
}

int diff(Session& session, const Arguments& arguments) {
  const auto changes = from_json<std::optional<std::vector<api::Change>>>(
      session.api().call_json({.path = concat("/containers/", path_part(arguments.positionals[0]), "/changes")}));
  for (const api::Change& change : changes.value_or(std::vector<api::Change>{})) {
    print(concat("CAD"[std::min<std::uint8_t>(change.kind, 2)], " ", change.path, "\n"));
  }
  return 0;
}

// --- stats ---

constexpr Flag stats_flags[] = {
    {"all", 'a', boolean, "", "Show all containers (default shows just running)"},
    {"format", 0, single, "string", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template"},
    {"no-stream", 0, boolean, "", "Only pull the first result"},
    {"no-trunc", 0, boolean, "", "Do not truncate output"},
};

std::vector<std::string> stats_names(Session& session, const Arguments& arguments) {
  if (!arguments.positionals.empty()) return arguments.positionals;
  ApiCall call{.path = "/containers/json"};
  if (arguments.enabled("all")) call.query.emplace_back("all", "1");
  std::vector<std::string> names;
  for (const auto& container : from_json<std::vector<api::ContainerSummary>>(session.api().call_json(call))) {
    names.push_back(container.id);
  }
  return names;
}

// One sample of every container; the calls run at the same time, as each takes the engine a second.
std::string stats_table(Session& session, const Arguments& arguments, const std::vector<std::string>& names) {
  ListFormat format;
  format.format = arguments.text("format", session.config.stats_format);
  format.type_name = "*container.statsContext";
  format.default_table =
      "table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}";
  ListPrinter printer(format, {{"Container", "CONTAINER"},
                               {"ID", "CONTAINER ID"},
                               {"Name", "NAME"},
                               {"CPUPerc", "CPU %"},
                               {"MemUsage", "MEM USAGE / LIMIT"},
                               {"MemPerc", "MEM %"},
                               {"NetIO", "NET I/O"},
                               {"BlockIO", "BLOCK I/O"},
                               {"PIDs", "PIDS"}});
  std::vector<HttpConnection> pending;
  for (const std::string& name : names) {
    pending.push_back(session.api().begin_on(
        HttpConnection(session.api().connect()),
        {.path = concat("/containers/", path_part(name), "/stats"), .query = {{"stream", "0"}}}));
  }
  for (std::size_t at = 0; at < names.size(); ++at) {
    session.api().finish(pending[at]);
    const auto stats = from_json<api::Stats>(parse_json(pending[at].read_whole_body()));
    const bool truncate = !arguments.enabled("no-trunc");
    printer.add(stats_fields(stats, truncate ? short_id(names[at]) : names[at], truncate));
  }
  return printer.render();
}

int stats(Session& session, const Arguments& arguments) {
  if (arguments.enabled("no-stream")) {
    print(stats_table(session, arguments, stats_names(session, arguments)));
    return 0;
  }
  const bool table = arguments.text("format").empty() || arguments.text("format").starts_with("table");
  for (;;) {
    const std::string text = stats_table(session, arguments, stats_names(session, arguments));
    if (table) print("\x1b[H\x1b[J");
    print(text);
    flush_output();
  }
}

constexpr Command commands[] = {
    {.name = "diff",
     .usage = "CONTAINER",
     .summary = "Inspect changes to files or directories on a container's filesystem",
     .least_arguments = 1,
     .most_arguments = 1,
     .run = diff},
    {.name = "logs",
     .usage = "[OPTIONS] CONTAINER",
     .summary = "Fetch the logs of a container",
     .least_arguments = 1,
     .most_arguments = 1,
     .flags = logs_flags,
     .run = logs},
    {.name = "port",
     .usage = "CONTAINER [PRIVATE_PORT[/PROTO]]",
     .summary = "List port mappings or a specific mapping for the container",
     .least_arguments = 1,
     .most_arguments = 2,
     .run = port},
    {.name = "stats",
     .usage = "[OPTIONS] [CONTAINER...]",
     .summary = "Display a live stream of container(s) resource usage statistics",
     .flags = stats_flags,
     .run = stats},
    {.name = "top",
     .usage = "CONTAINER [ps OPTIONS]",
     .summary = "Display the running processes of a container",
     .least_arguments = 1,
     .grammar = Grammar::flags_first,
     .run = top},
};

}  // namespace

std::span<const Command> container_show_commands() { return commands; }

}  // namespace mydocker::cli
