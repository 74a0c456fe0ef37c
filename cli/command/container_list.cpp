#include <algorithm>
#include <ctime>
#include <map>
#include <set>

#include "api/types/container.h"
#include "cli/command.h"
#include "cli/command/lists.h"
#include "cli/options/words.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/units.h"
#include "engine/base/time.h"

namespace mydocker::cli {
namespace {

using text_template::go_quote;

using enum FlagKind;

constexpr Flag ps_flags[] = {
    {"all", 'a', boolean, "", "Show all containers (default shows just running)"},
    {"filter", 'f', list, "filter", "Filter output based on conditions provided", check_filter},
    {"format", 0, single, "string", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template"},
    {"last", 'n', single, "int", "Show n last created containers (includes all states)", check_int},
    {"latest", 'l', boolean, "", "Show the latest created container (includes all states)"},
    {"no-trunc", 0, boolean, "", "Don't truncate output"},
    {"quiet", 'q', boolean, "", "Only display container IDs"},
    {"size", 's', boolean, "", "Display total file sizes"},
};

std::string names_text(const api::ContainerSummary& container, bool truncate) {
  std::vector<std::string> names;
  for (const std::string& name : container.names) names.push_back(name.starts_with('/') ? name.substr(1) : name);
  if (!truncate) return join(names, ",");
  // Links give further names with a slash in them: the one without is the container's own.
  const auto own = std::find_if(names.begin(), names.end(),
                                [](const std::string& name) { return name.find('/') == std::string::npos; });
  return own != names.end() ? *own : join(names, ",");
}

std::string image_text(const api::ContainerSummary& container, bool truncate) {
  if (container.image.empty()) return "<no image>";
  if (!truncate) return container.image;
  const std::string id = container.image.starts_with("sha256:") ? container.image : "sha256:" + container.image;
  if (id == container.image_id || container.image == container.image_id) return short_id(container.image_id);
  // A name with tag and digest shows the tag alone.
  const std::size_t digest = container.image.find('@');
  const std::size_t slash = container.image.rfind('/', digest);
  if (digest == std::string::npos) return container.image;
  const std::size_t colon = container.image.rfind(':', digest - 1);
  const bool tagged = colon != std::string::npos && (slash == std::string::npos || colon > slash);
  return tagged ? container.image.substr(0, digest) : container.image;
}

std::string size_text(const api::ContainerSummary& container) {
  const std::string own = human_size(static_cast<double>(container.size_rw_bytes), 3);
  if (container.size_root_fs_bytes <= 0) return own;
  return concat(own, " (virtual ", human_size(static_cast<double>(container.size_root_fs_bytes), 3), ")");
}

std::string mounts_text(const api::ContainerSummary& container, bool truncate) {
  std::vector<std::string> mounts;
  for (const api::MountPoint& mount : container.mounts) {
    const std::string name = mount.name.empty() ? mount.source : mount.name;
    mounts.push_back(truncate ? ellipsis(name, 15) : name);
  }
  return join(mounts, ",");
}

std::string networks_text(const api::ContainerSummary& container) {
  std::vector<std::string> names;
  for (const auto& [name, endpoint] : container.network_settings.networks) names.push_back(name);
  return join(names, ",");
}

std::string age_text(std::int64_t created_s) {
  return human_duration(std::chrono::seconds(std::time(nullptr) - created_s)) + " ago";
}

std::vector<std::pair<std::string, json::value>> container_fields(const api::ContainerSummary& container,
                                                                  bool truncate) {
  const std::string command = truncate ? ellipsis(container.command, 20) : container.command;
  const auto local = std::count_if(container.mounts.begin(), container.mounts.end(),
                                   [](const api::MountPoint& mount) { return mount.driver == "local"; });
  return {{"ID", json::value(truncate ? short_id(container.id) : container.id)},
          {"Names", json::value(names_text(container, truncate))},
          {"Image", json::value(image_text(container, truncate))},
          {"Command", json::value(go_quote(command))},
          {"CreatedAt", json::value(local_time_text(container.created_s))},
          {"RunningFor", json::value(age_text(container.created_s))},
          {"Platform", json::value(nullptr)},
          {"Ports", json::value(ports_text(container.ports))},
          {"State", json::value(container.state)},
          {"Status", json::value(container.status)},
          {"Size", json::value(size_text(container))},
          {"Labels", json::value(labels_text(container.labels))},
          {"Mounts", json::value(mounts_text(container, truncate))},
          {"LocalVolumes", json::value(std::to_string(local))},
          {"Networks", json::value(networks_text(container))}};
}

int ps(Session& session, const Arguments& arguments) {
  ListFormat format;
  format.format = arguments.text("format", arguments.enabled("quiet") ? "" : session.config.ps_format);
  format.quiet = arguments.enabled("quiet");
  if (format.quiet && arguments.has("format")) {
    print_error("WARNING: Ignoring custom format, because both --format and --quiet are set.\n");
    format.format.clear();
  }
  format.type_name = "*formatter.ContainerContext";
  format.default_table =
      "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";
  if (arguments.enabled("size")) format.default_table += "\t{{.Size}}";

  ApiCall call{.path = "/containers/json"};
  const std::int64_t last = arguments.enabled("latest") && !arguments.has("last") ? 1 : arguments.integer("last", -1);
  if (arguments.enabled("all")) call.query.emplace_back("all", "1");
  if (last != -1) call.query.emplace_back("limit", std::to_string(last));
  const auto names = [&](std::string_view text) { return format.format.find(text) != std::string::npos; };
  const bool names_size = names(".Size") || names("json .}") || names("json . ");
  const bool wants_size = arguments.enabled("size") || (!arguments.has("size") && names_size);
  if (wants_size) call.query.emplace_back("size", "1");
  if (const std::string filters = make_filters(arguments.list("filter")); !filters.empty())
    call.query.emplace_back("filters", filters);

  ListPrinter printer(format, {{"ID", "CONTAINER ID"},
                               {"Names", "NAMES"},
                               {"Image", "IMAGE"},
                               {"Command", "COMMAND"},
                               {"CreatedAt", "CREATED AT"},
                               {"RunningFor", "CREATED"},
                               {"Platform", "PLATFORM"},
                               {"Ports", "PORTS"},
                               {"State", "STATE"},
                               {"Status", "STATUS"},
                               {"Size", "SIZE"},
                               {"Labels", "LABELS"},
                               {"Mounts", "MOUNTS"},
                               {"LocalVolumes", "LOCAL VOLUMES"},
                               {"Networks", "NETWORKS"}});
  const bool truncate = !arguments.enabled("no-trunc");
  for (const auto& container : from_json<std::vector<api::ContainerSummary>>(session.api().call_json(call))) {
    printer.add(container_fields(container, truncate),
                label_method({container.labels.begin(), container.labels.end()}));
  }
  print(printer.render());
  return 0;
}

constexpr Command commands[] = {
    {.name = "ps",
     .usage = "[OPTIONS]",
     .summary = "List containers",
     .most_arguments = 0,
     .flags = ps_flags,
     .run = ps},
};

}  // namespace

std::span<const Command> container_list_commands() { return commands; }

}  // namespace mydocker::cli
