// What the engine says of itself and of its containers: explain, system trace.
#include <cstdio>

#include "api/types/explain.h"
#include "cli/command.h"
#include "cli/reference.h"
#include "cli/terminal.h"
#include "cli/units.h"

namespace mydocker::cli {
namespace {

using enum FlagKind;

constexpr Flag json_flags[] = {
    {"format", 'f', single, "string", "Format output: 'json'"},
};

bool wants_json(const Arguments& arguments) {
  const std::string format = arguments.text("format");
  if (!format.empty() && format != "json") throw UsageError(concat("unknown format: ", format, ": only 'json' is"));
  return !format.empty();
}

// --- explain ---

std::string explanation_text(const api::Explanation& why) {
  std::string text = concat(why.name, " (", short_id(why.id), "): ", why.status, "\n", why.verdict, "\n");
  for (const std::string& reason : why.reasons) text += concat("  - ", reason, "\n");
  if (!why.log.empty()) text += "The last lines of its output:\n";
  for (const std::string& line : why.log) text += concat("  | ", line, "\n");
  return text;
}

int explain(Session& session, const Arguments& arguments) {
  const bool json = wants_json(arguments);
  return for_each_name(arguments.positionals, [&](const std::string& name) -> std::optional<std::string> {
    const json::value answer = session.api().call_json({.path = concat("/containers/", path_part(name), "/explain")});
    if (json) return write_json(answer);
    std::string text = explanation_text(from_json<api::Explanation>(answer));
    text.pop_back();
    return text;
  });
}

// --- system trace ---

struct TracedPhase {
  std::string name;
  std::int64_t duration_ns = 0;

  static constexpr auto json_fields() {
    return std::tuple(field("Name", &TracedPhase::name), field("Duration", &TracedPhase::duration_ns));
  }
};

/// One element of GET /system/trace.
struct TracedOperation {
  std::string operation;
  std::string subject;
  std::int64_t duration_ns = 0;
  std::vector<TracedPhase> phases;

  static constexpr auto json_fields() {
    using T = TracedOperation;
    return std::tuple(field("Operation", &T::operation), field("Subject", &T::subject),
                      field("Duration", &T::duration_ns), field("Phases", &T::phases));
  }
};

constexpr Flag trace_flags[] = {
    {"format", 'f', single, "string", "Format output: 'json'"},
    {"last", 'n', single, "int", "How many operations, the newest ones (default 5)", check_uint},
    {"operation", 0, single, "string", "Which operations: start (default), create, exec, all"},
};

std::string milliseconds(std::int64_t nanoseconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%9.3f ms", static_cast<double>(nanoseconds) / 1e6);
  return text;
}

std::string trace_text(const TracedOperation& traced) {
  std::string text = concat(traced.operation, traced.subject.empty() ? "" : " " + short_id(traced.subject), "\n");
  for (const TracedPhase& phase : traced.phases) {
    char line[160];
    const std::int64_t percent = traced.duration_ns > 0 ? phase.duration_ns * 100 / traced.duration_ns : 0;
    std::snprintf(line, sizeof line, "  %-28s %s  %3lld %%\n", phase.name.c_str(),
                  milliseconds(phase.duration_ns).c_str(), static_cast<long long>(percent));
    text += line;
  }
  char line[160];
  std::snprintf(line, sizeof line, "  %-28s %s\n", "total", milliseconds(traced.duration_ns).c_str());
  return text + line;
}

int trace(Session& session, const Arguments& arguments) {
  const bool json = wants_json(arguments);
  const std::string operation = arguments.text("operation", "start");
  const auto last = static_cast<std::size_t>(arguments.integer("last", 5));
  const json::value answer = session.api().call_json({.path = "/system/trace"});
  std::vector<json::value> chosen;
  for (const json::value& item : answer.as_array()) {
    if (operation == "all" || from_json<TracedOperation>(item).operation == operation) chosen.push_back(item);
  }
  if (chosen.size() > last) chosen.erase(chosen.begin(), chosen.end() - static_cast<std::ptrdiff_t>(last));
  for (const json::value& item : chosen) {
    print(json ? write_json(item) + "\n" : trace_text(from_json<TracedOperation>(item)));
  }
  if (chosen.empty() && !json) print_error(concat("no ", operation, " since the engine was started\n"));
  return 0;
}

constexpr Command commands[] = {
    {.name = "explain",
     .usage = "[OPTIONS] CONTAINER [CONTAINER...]",
     .summary = "Say why a container ended, did not start or is unhealthy",
     .least_arguments = 1,
     .flags = json_flags,
     .run = explain},
    {.name = "system trace",
     .usage = "[OPTIONS]",
     .summary = "Show where the time of the last starts went",
     .most_arguments = 0,
     .flags = trace_flags,
     .run = trace},
};

}  // namespace

std::span<const Command> diagnose_commands() { return commands; }

}  // namespace mydocker::cli
