// Disk use: system df and system prune.
#include <algorithm>

#include "api/types/container.h"
#include "api/types/image.h"
#include "api/types/network.h"
#include "api/types/system.h"
#include "cli/command.h"
#include "cli/command/prune.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/units.h"
#include "engine/base/time.h"

namespace mydocker::cli {
namespace {

using enum FlagKind;

// --- system df ---

constexpr Flag df_flags[] = {
    {"format", 0, single, "string", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template"},
    {"verbose", 'v', boolean, "", "Show detailed information on space usage"},
};

struct UsageLine {
  std::string_view type;
  std::size_t total = 0;
  std::size_t active = 0;
  std::int64_t size_bytes = 0;
  std::int64_t reclaimable_bytes = 0;
};

std::vector<UsageLine> usage_lines(const api::DiskUsage& usage) {
  UsageLine images{"Images"};
  const auto image_list = usage.images.value_or(std::vector<api::ImageSummary>{});
  std::int64_t used = 0;
  for (const auto& image : image_list) {
    ++images.total;
    if (image.containers > 0) {
      ++images.active;
      used += image.size_bytes - std::max<std::int64_t>(image.shared_size_bytes, 0);
    }
  }
  images.size_bytes = usage.layers_size_bytes;
  images.reclaimable_bytes = std::max<std::int64_t>(usage.layers_size_bytes - used, 0);
  UsageLine containers{"Containers"};
  for (const auto& container : usage.containers.value_or(std::vector<api::ContainerSummary>{})) {
    ++containers.total;
    containers.size_bytes += container.size_rw_bytes;
    if (container.state == "running" || container.state == "paused" || container.state == "restarting") {
      ++containers.active;
    } else {
      containers.reclaimable_bytes += container.size_rw_bytes;
    }
  }
  UsageLine volumes{"Local Volumes"};
  for (const auto& volume : usage.volumes.value_or(std::vector<api::Volume>{})) {
    ++volumes.total;
    const std::int64_t size = volume.usage_data ? std::max<std::int64_t>(volume.usage_data->size_bytes, 0) : 0;
    volumes.size_bytes += size;
    if (volume.usage_data && volume.usage_data->reference_count > 0) {
      ++volumes.active;
    } else {
      volumes.reclaimable_bytes += size;
    }
  }
  UsageLine cache{"Build Cache"};
  cache.size_bytes = usage.builder_size_bytes;
  return {images, containers, volumes, cache};
}

// --- system df -v ---

std::string size_text(std::int64_t bytes) { return human_size(static_cast<double>(std::max<std::int64_t>(bytes, 0))); }

std::string age_text(std::int64_t created_s) {
  return human_duration(now() - from_unix_nanoseconds(created_s * 1'000'000'000)) + " ago";
}

std::string images_table(const std::vector<api::ImageSummary>& images) {
  std::string text = "REPOSITORY\tTAG\tIMAGE ID\tCREATED\tSIZE\tSHARED SIZE\tUNIQUE SIZE\tCONTAINERS\n";
  for (const api::ImageSummary& image : images) {
    const std::string name = image.repo_tags.empty() ? "<none>:<none>" : image.repo_tags.front();
    const std::size_t colon = name.rfind(':');
    const std::int64_t shared = std::max<std::int64_t>(image.shared_size_bytes, 0);
    text += concat(name.substr(0, colon), "\t", name.substr(colon + 1), "\t", short_id(image.id), "\t",
                   age_text(image.created_s), "\t", human_size(static_cast<double>(image.size_bytes), 3), "\t",
                   size_text(shared), "\t", size_text(image.size_bytes - shared), "\t", image.containers, "\n");
  }
  return align_tabs(text);
}

std::string containers_table(const std::vector<api::ContainerSummary>& containers) {
  std::string text = "CONTAINER ID\tIMAGE\tCOMMAND\tLOCAL VOLUMES\tSIZE\tCREATED\tSTATUS\tNAMES\n";
  for (const api::ContainerSummary& container : containers) {
    const auto volumes = std::count_if(container.mounts.begin(), container.mounts.end(),
                                       [](const api::MountPoint& mount) { return mount.type == "volume"; });
    const std::string name = container.names.empty() ? "" : container.names.front().substr(1);
    text += concat(short_id(container.id), "\t", container.image, "\t\"", ellipsis(container.command, 20), "\"\t",
                   volumes, "\t", size_text(container.size_rw_bytes), "\t", age_text(container.created_s), "\t",
                   container.status, "\t", name, "\n");
  }
  return align_tabs(text);
}

std::string volumes_table(const std::vector<api::Volume>& volumes) {
  std::string text = "VOLUME NAME\tLINKS\tSIZE\n";
  for (const api::Volume& volume : volumes) {
    const api::VolumeUsage usage = volume.usage_data.value_or(api::VolumeUsage{});
    text += concat(volume.name, "\t", usage.reference_count, "\t",
                   usage.size_bytes < 0 ? std::string("N/A") : size_text(usage.size_bytes), "\n");
  }
  return align_tabs(text);
}

void print_details(const api::DiskUsage& usage) {
  print("Images space usage:\n\n" + images_table(usage.images.value_or(std::vector<api::ImageSummary>{})));
  print("\nContainers space usage:\n\n" +
        containers_table(usage.containers.value_or(std::vector<api::ContainerSummary>{})));
  print("\nLocal Volumes space usage:\n\n" + volumes_table(usage.volumes.value_or(std::vector<api::Volume>{})));
  print(concat("\nBuild cache usage: ", size_text(usage.builder_size_bytes), "\n\n"));
  print(align_tabs("CACHE ID\tCACHE TYPE\tSIZE\tCREATED\tLAST USED\tUSAGE\tSHARED\n"));
}

int df(Session& session, const Arguments& arguments) {
  const auto usage = from_json<api::DiskUsage>(session.api().call_json({.path = "/system/df"}));
  if (arguments.enabled("verbose")) {
    if (arguments.has("format")) throw UsageError("--verbose and --format cannot be given together");
    print_details(usage);
    return 0;
  }
  ListFormat format;
  format.format = arguments.text("format");
  format.type_name = "*formatter.diskUsageContext";
  format.default_table = "table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}";
  ListPrinter printer(format, {{"Type", "TYPE"},
                               {"TotalCount", "TOTAL"},
                               {"Active", "ACTIVE"},
                               {"Size", "SIZE"},
                               {"Reclaimable", "RECLAIMABLE"}});
  for (const UsageLine& line : usage_lines(usage)) {
    std::string reclaimable = human_size(static_cast<double>(line.reclaimable_bytes));
    if (line.size_bytes > 0) reclaimable += concat(" (", line.reclaimable_bytes * 100 / line.size_bytes, "%)");
    printer.add({{"Type", json::value(line.type)},
                 {"TotalCount", json::value(std::to_string(line.total))},
                 {"Active", json::value(std::to_string(line.active))},
                 {"Size", json::value(human_size(static_cast<double>(line.size_bytes)))},
                 {"Reclaimable", json::value(reclaimable)}});
  }
  print(printer.render());
  return 0;
}

// --- system prune ---

constexpr Flag prune_flags[] = {
    {"all", 'a', boolean, "", "Remove all unused images, not just dangling ones"},
    {"filter", 0, list, "filter", "Provide filter values (e.g. \"label=<key>=<value>\")", check_filter},
    {"force", 'f', boolean, "", "Do not prompt for confirmation"},
    {"volumes", 0, boolean, "", "Prune anonymous volumes"},
};

std::string prune_warning(const Arguments& arguments) {
  std::string text =
      "This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n";
  if (arguments.enabled("volumes")) text += "  - all anonymous volumes not used by at least one container\n";
  text += arguments.enabled("all") ? "  - all images without at least one container associated to them\n"
                                   : "  - all dangling images\n";
  return text;
}

void print_names(std::string_view title, const std::optional<api::StringList>& names) {
  if (!names || names->empty()) return;
  print(concat(title, "\n"));
  for (const std::string& name : *names) print(name + "\n");
  print("\n");
}

/// One kind of object; nothing where this engine has no such call.
json::value prune_kind(Session& session, const std::string& kind, const std::vector<std::string>& filters) {
  ApiCall call{.method = "POST", .path = concat("/", kind, "/prune")};
  if (const std::string text = make_filters(filters); !text.empty()) call.query.emplace_back("filters", text);
  try {
    return session.api().call_json(call);
  } catch (const ApiError& error) {
    if (error.status() != 404 && error.status() != 501) throw;
    return json::object{};
  }
}

int prune(Session& session, const Arguments& arguments) {
  const std::vector<std::string> filters = arguments.list("filter");
  const bool by_time =
      std::any_of(filters.begin(), filters.end(), [](const auto& f) { return f.starts_with("until="); });
  if (by_time && arguments.enabled("volumes")) {
    throw CommandFailure(1, "ERROR: The \"until\" filter is not supported with \"--volumes\"");
  }
  if (!confirm(arguments, prune_warning(arguments))) return 0;
  const auto containers = from_json<api::ContainersPruneReport>(prune_kind(session, "containers", filters));
  print_names("Deleted Containers:", containers.containers_deleted);
  const json::value networks = prune_kind(session, "networks", filters);
  if (const json::value* names = networks.as_object().if_contains("NetworksDeleted"); names && names->is_array()) {
    print_names("Deleted Networks:", from_json<api::StringList>(*names));
  }
  std::uint64_t freed = containers.space_reclaimed_bytes;
  if (arguments.enabled("volumes")) {
    const auto volumes = from_json<api::VolumesPruneReport>(prune_kind(session, "volumes", filters));
    print_names("Deleted Volumes:", volumes.volumes_deleted);
    freed += volumes.space_reclaimed_bytes;
  }
  std::vector<std::string> image_filters = filters;
  image_filters.push_back(arguments.enabled("all") ? "dangling=false" : "dangling=true");
  const auto images = from_json<api::ImagesPruneReport>(prune_kind(session, "images", image_filters));
  if (images.images_deleted && !images.images_deleted->empty()) {
    print("Deleted Images:\n");
    for (const api::DeleteItem& item : *images.images_deleted) {
      print(item.deleted.empty() ? concat("untagged: ", item.untagged, "\n") : concat("deleted: ", item.deleted, "\n"));
    }
    print("\n");
  }
  freed += images.space_reclaimed_bytes;
  print(concat("Total reclaimed space: ", human_size(static_cast<double>(freed)), "\n"));
  return 0;
}

constexpr Command commands[] = {
    {.name = "system df",
     .usage = "[OPTIONS]",
     .summary = "Show disk usage",
     .most_arguments = 0,
     .flags = df_flags,
     .run = df},
    {.name = "system prune",
     .usage = "[OPTIONS]",
     .summary = "Remove unused data",
     .most_arguments = 0,
     .flags = prune_flags,
     .run = prune},
};

}  // namespace

std::span<const Command> system_disk_commands() { return commands; }

}  // namespace mydocker::cli
