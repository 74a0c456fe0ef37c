#include <algorithm>

#include "api/types/volume.h"
#include "cli/command.h"
#include "cli/command/lists.h"
#include "cli/command/prune.h"
#include "cli/options/settings.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/units.h"

namespace mydocker::cli {
namespace {

using enum FlagKind;

constexpr Flag ls_flags[] = {
    {"filter", 'f', list, "filter", "Provide filter values (e.g. \"dangling=true\")", check_filter},
    {"format", 0, single, "string", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template"},
    {"quiet", 'q', boolean, "", "Only display volume names"},
};

int ls(Session& session, const Arguments& arguments) {
  ListFormat format;
  format.quiet = arguments.enabled("quiet");
  format.quiet_field = "Name";
  format.format = arguments.text("format", format.quiet ? "" : session.config.volumes_format);
  format.type_name = "*formatter.volumeContext";
  format.default_table = "table {{.Driver}}\t{{.Name}}";
  ApiCall call{.path = "/volumes"};
  if (const std::string filters = make_filters(arguments.list("filter")); !filters.empty())
    call.query.emplace_back("filters", filters);
  ListPrinter printer(format, {{"Name", "VOLUME NAME"},
                               {"Driver", "DRIVER"},
                               {"Scope", "SCOPE"},
                               {"Mountpoint", "MOUNTPOINT"},
                               {"Labels", "LABELS"},
                               {"Links", "LINKS"},
                               {"Size", "SIZE"},
                               {"Group", "GROUP"},
                               {"Availability", "AVAILABILITY"},
                               {"Status", "STATUS"}});
  auto volumes = from_json<api::VolumeList>(session.api().call_json(call)).volumes;
  std::sort(volumes.begin(), volumes.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  const json::value unknown("N/A");
  for (const api::Volume& volume : volumes) {
    const api::StringMap labels = volume.labels.value_or(api::StringMap{});
    const bool used = volume.usage_data.has_value();
    printer.add({{"Name", json::value(volume.name)},
                 {"Driver", json::value(volume.driver)},
                 {"Scope", json::value(volume.scope)},
                 {"Mountpoint", json::value(volume.mountpoint)},
                 {"Labels", json::value(labels_text(labels))},
                 {"Links", used ? json::value(std::to_string(volume.usage_data->reference_count)) : unknown},
                 {"Size", used ? json::value(human_size(static_cast<double>(volume.usage_data->size_bytes))) : unknown},
                 {"Group", unknown},
                 {"Availability", unknown},
                 {"Status", unknown}},
                label_method({labels.begin(), labels.end()}));
  }
  print(printer.render());
  return 0;
}

constexpr Flag create_flags[] = {
    {"driver", 'd', single, "string", "Specify volume driver name"},
    {"label", 0, list, "list", "Set metadata for a volume", check_label},
    {"name", 0, single, "string", "Specify volume name", nullptr, true},
    {"opt", 'o', list, "map", "Set driver specific options"},
};

int create(Session& session, const Arguments& arguments) {
  if (!arguments.positionals.empty() && arguments.has("name")) {
    throw CommandFailure(
        1, "conflicting options: cannot specify a volume-name through both --name and as a positional arg");
  }
  api::VolumeCreateRequest request;
  request.name = arguments.positionals.empty() ? arguments.text("name") : arguments.positionals[0];
  request.driver = arguments.text("driver", "local");
  request.driver_opts = to_map(arguments.list("opt"));
  request.labels = to_map(arguments.list("label"));
  const auto volume = from_json<api::Volume>(
      session.api().call_json({.method = "POST", .path = "/volumes/create", .body = write_json(to_json(request))}));
  print(volume.name + "\n");
  return 0;
}

constexpr Flag rm_flags[] = {{"force", 'f', boolean, "", "Force the removal of one or more volumes"}};

int rm(Session& session, const Arguments& arguments) {
  Query query;
  if (arguments.enabled("force")) query.emplace_back("force", "1");
  return for_each_name(arguments.positionals, [&](const std::string& name) -> std::optional<std::string> {
    session.api().call({.method = "DELETE", .path = concat("/volumes/", path_part(name)), .query = query});
    return name;
  });
}

constexpr Flag prune_flags[] = {
    {"all", 'a', boolean, "", "Remove all unused volumes, not just anonymous ones"},
    {"filter", 0, list, "filter", "Provide filter values (e.g. \"label=<label>\")", check_filter},
    {"force", 'f', boolean, "", "Do not prompt for confirmation"},
};

int prune(Session& session, const Arguments& arguments) {
  const bool all = arguments.enabled("all");
  if (!confirm(arguments, all ? "This will remove all local volumes not used by at least one container."
                              : "This will remove anonymous local volumes not used by at least one container.")) {
    return 0;
  }
  std::vector<std::string> filters = arguments.list("filter");
  if (all) filters.emplace_back("all=true");
  ApiCall call{.method = "POST", .path = "/volumes/prune"};
  if (const std::string text = make_filters(filters); !text.empty()) call.query.emplace_back("filters", text);
  const auto report = from_json<api::VolumesPruneReport>(session.api().call_json(call));
  if (report.volumes_deleted && !report.volumes_deleted->empty()) {
    print("Deleted Volumes:\n");
    for (const std::string& name : *report.volumes_deleted) print(name + "\n");
    print("\n");
  }
  print(concat("Total reclaimed space: ", human_size(static_cast<double>(report.space_reclaimed_bytes)), "\n"));
  return 0;
}

constexpr Command commands[] = {
    {.name = "volume create",
     .usage = "[OPTIONS] [VOLUME]",
     .summary = "Create a volume",
     .least_arguments = 0,
     .most_arguments = 1,
     .flags = create_flags,
     .run = create},
    {.name = "volume ls",
     .usage = "[OPTIONS]",
     .summary = "List volumes",
     .most_arguments = 0,
     .flags = ls_flags,
     .run = ls},
    {.name = "volume prune",
     .usage = "[OPTIONS]",
     .summary = "Remove unused local volumes",
     .most_arguments = 0,
     .flags = prune_flags,
     .run = prune},
    {.name = "volume rm",
     .usage = "[OPTIONS] VOLUME [VOLUME...]",
     .summary = "Remove one or more volumes",
     .least_arguments = 1,
     .flags = rm_flags,
     .run = rm},
};

}  // namespace

std::span<const Command> volume_commands() { return commands; }

}  // namespace mydocker::cli
