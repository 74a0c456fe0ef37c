#include <algorithm>
#include <array>
#include <cstdlib>

#include "api/types/event.h"
#include "api/types/system.h"
#include "cli/command.h"
#include "cli/command/info_text.h"
#include "cli/command/lists.h"
#include "cli/command/prune.h"
#include "cli/options/words.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/time_argument.h"
#include "cli/units.h"
#include "engine/base/template/template.h"
#include "engine/base/time.h"

namespace mydocker::cli {
namespace {

using text_template::Template;
using text_template::TemplateOptions;

using enum FlagKind;

constexpr Flag format_flags[] = {
    {"format", 'f', single, "string", "Format output: 'json' or a Go template"},
};

Template parse_format(const std::string& format, TemplateOptions options) {
  try {
    return Template::parse(format == "json" ? "{{json .}}" : format, std::move(options));
  } catch (Error& error) {
    error.add_context("template parsing error");
    throw;
  }
}

// --- version ---

std::optional<api::Version> ask_version(Session& session, std::string& problem) {
  try {
    return from_json<api::Version>(session.api().call_json({.path = "/version"}));
  } catch (const Error& error) {
    problem = error.message();
    return std::nullopt;
  }
}

int version(Session& session, const Arguments& arguments) {
  const std::string format = arguments.text("format");
  std::string problem;
  const std::optional<api::Version> server = ask_version(session, problem);
  const ClientFacts client = client_facts(session, server ? server->api_version : "");
  if (format.empty()) {
    print(version_text(client, server));
  } else {
    json::object root;
    root["Client"] = to_json(client);
    root["Server"] = server ? server_version_json(*server) : json::value(nullptr);
    const Template parsed = parse_format(format, {.name = "version", .root_type = "system.versionInfo"});
    try {
      print(parsed.execute(json::value(root)) + "\n");
    } catch (const Error& error) {
      print("\n");
      throw CommandFailure(1, error.message());
    }
  }
  if (!problem.empty()) throw CommandFailure(1, problem);
  return 0;
}

// --- info ---

int info(Session& session, const Arguments& arguments) {
  const std::string format = arguments.text("format");
  std::string problem;
  json::value answer;
  try {
    answer = session.api().call_json({.path = "/info"});
  } catch (const Error& error) {
    problem = error.message();
  }
  const ClientFacts client = client_facts(session, "");
  if (!format.empty()) {
    json::value root = answer.is_null() ? json::value(json::object()) : answer;
    root.get_object()["ClientInfo"] = client_info_json(client, session.debug);
    if (!problem.empty()) root.get_object()["ServerErrors"] = json::array{json::value(problem)};
    const Template parsed = parse_format(format, {.root_type = "system.dockerInfo"});
    try {
      print(parsed.execute(root) + "\n");
    } catch (const Error& error) {
      print("\n");
      throw CommandFailure(1, error.message());
    }
    if (!problem.empty()) throw CommandFailure(1, problem);
    return 0;
  }
  print(client_info_text(client, session.debug));
  print("\nServer:\n");
  if (!problem.empty()) {
    print_error(concat(problem, "\n"));
    throw CommandFailure(1, "errors pretty printing info");
  }
  const auto server = from_json<api::Info>(answer);
  print(server_info_text(server) + "\n");
  for (const std::string& warning : server.warnings.value_or(api::StringList{})) print_error(warning + "\n");
  return 0;
}

// --- events ---

constexpr Flag events_flags[] = {
    {"filter", 'f', list, "filter", "Filter output based on conditions provided", check_filter},
    {"format", 0, single, "string", "Format output: 'json' or a Go template"},
    {"since", 0, single, "string", "Show all events created since timestamp"},
    {"until", 0, single, "string", "Stream events until this timestamp"},
};

std::string local_nanoseconds(std::int64_t time_ns) {
  const std::string seconds = local_rfc3339(time_ns / 1'000'000'000);
  std::string fraction = std::to_string(time_ns % 1'000'000'000);
  fraction.insert(0, 9 - fraction.size(), '0');
  return concat(seconds.substr(0, 19), ".", fraction, seconds.substr(19));
}

std::string event_line(const api::Event& event) {
  const std::int64_t time_ns = event.time_ns != 0 ? event.time_ns : event.time_s * 1'000'000'000;
  std::string attributes;
  for (const auto& [name, value] : event.actor.attributes)
    attributes += concat(attributes.empty() ? "" : ", ", name, "=", value);
  return concat(local_nanoseconds(time_ns), " ", event.type, " ", event.action, " ", event.actor.id,
                attributes.empty() ? "" : concat(" (", attributes, ")"), "\n");
}

int events(Session& session, const Arguments& arguments) {
  ApiCall call{.path = "/events"};
  for (const std::string_view bound : {"since", "until"}) {
    if (arguments.has(bound)) call.query.emplace_back(bound, time_argument(arguments.text(bound)));
  }
  if (const std::string filters = make_filters(arguments.list("filter")); !filters.empty())
    call.query.emplace_back("filters", filters);
  std::optional<Template> parsed;
  if (arguments.has("format")) {
    try {
      const std::string format = arguments.text("format");
      parsed = Template::parse(format == "json" ? "{{json .}}" : format, {.root_type = "*events.Message"});
    } catch (const Error& error) {
      throw CommandFailure(64, concat("Error parsing format: ", error.message()));
    }
  }
  ApiStream stream = session.api().open(call);
  JsonSequence sequence;
  for (std::string_view piece = stream.connection.read_body(); !piece.empty(); piece = stream.connection.read_body()) {
    sequence.feed(piece, [&](const json::value& value) {
      print(parsed ? parsed->execute(value) + "\n" : event_line(from_json<api::Event>(value)));
    });
    flush_output();
  }
  return 0;
}

// --- context ls ---

constexpr Flag context_flags[] = {
    {"format", 0, single, "string", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template"},
    {"quiet", 'q', boolean, "", "Only show context names"},
};

int context_ls(Session& session, const Arguments& arguments) {
  ListFormat format;
  format.format = arguments.text("format");
  format.quiet = arguments.enabled("quiet");
  format.quiet_field = "Name";
  format.type_name = "*formatter.clientContextContext";
  format.default_table = "table {{.Name}}{{if .Current}} *{{end}}\t{{.Description}}\t{{.DockerEndpoint}}\t{{.Error}}";
  ListPrinter printer(format, {{"Name", "NAME"},
                               {"Description", "DESCRIPTION"},
                               {"DockerEndpoint", "DOCKER ENDPOINT"},
                               {"Error", "ERROR"},
                               {"Current", ""}});
  const auto add = [&](const std::string& name, const std::string& description, const std::string& host) {
    printer.add({{"Name", json::value(name)},
                 {"Description", json::value(description)},
                 {"DockerEndpoint", json::value(host)},
                 {"Error", json::value("")},
                 {"Current", json::value(name == session.context_name)}});
  };
  const bool is_default = session.context_name == "default";
  add("default", "Current DOCKER_HOST based configuration",
      is_default ? session.api().endpoint().url() : concat("unix://", default_socket));
  for (const Context& context : read_contexts(session.config_directory))
    add(context.name, context.description, context.host);
  print(printer.render());
  if (std::getenv("DOCKER_HOST") != nullptr) {
    print_error(
        "Warning: DOCKER_HOST environment variable overrides the active context. To use a context, either set the "
        "global "
        "--context flag, or unset DOCKER_HOST environment variable.\n");
  }
  return 0;
}

int context_show(Session& session, const Arguments&) {
  print(session.context_name + "\n");
  return 0;
}

// --- prune ---

constexpr Flag prune_flags[] = {
    {"filter", 0, list, "filter", "Provide filter values (e.g. \"until=<timestamp>\")", check_filter},
    {"force", 'f', boolean, "", "Do not prompt for confirmation"},
};

int container_prune(Session& session, const Arguments& arguments) {
  if (!confirm(arguments, "This will remove all stopped containers.")) return 0;
  ApiCall call{.method = "POST", .path = "/containers/prune"};
  if (const std::string filters = make_filters(arguments.list("filter")); !filters.empty())
    call.query.emplace_back("filters", filters);
  const auto report = from_json<api::ContainersPruneReport>(session.api().call_json(call));
  if (report.containers_deleted && !report.containers_deleted->empty()) {
    print("Deleted Containers:\n");
    for (const std::string& id : *report.containers_deleted) print(id + "\n");
    print("\n");
  }
  print(concat("Total reclaimed space: ", human_size(static_cast<double>(report.space_reclaimed_bytes)), "\n"));
  return 0;
}

constexpr Command commands[] = {
    {.name = "events",
     .usage = "[OPTIONS]",
     .summary = "Get real time events from the server",
     .most_arguments = 0,
     .flags = events_flags,
     .run = events},
    {.name = "info",
     .usage = "[OPTIONS]",
     .summary = "Display system-wide information",
     .most_arguments = 0,
     .flags = format_flags,
     .run = info},
    {.name = "version",
     .usage = "[OPTIONS]",
     .summary = "Show the version information",
     .most_arguments = 0,
     .flags = format_flags,
     .run = version},
    {.name = "container prune",
     .usage = "[OPTIONS]",
     .summary = "Remove all stopped containers",
     .most_arguments = 0,
     .flags = prune_flags,
     .run = container_prune},
    {.name = "context ls",
     .usage = "[OPTIONS]",
     .summary = "List contexts",
     .most_arguments = 0,
     .flags = context_flags,
     .run = context_ls},
    {.name = "context show",
     .usage = "",
     .summary = "Print the name of the current context",
     .most_arguments = 0,
     .run = context_show},
};

}  // namespace

std::span<const Command> system_commands() { return commands; }

}  // namespace mydocker::cli
