#include "api/types/image.h"
#include "cli/command.h"
#include "cli/command/prune.h"
#include "cli/reference.h"
#include "cli/terminal.h"
#include "cli/units.h"

namespace mydocker::cli {
namespace {

using enum FlagKind;

int tag(Session& session, const Arguments& arguments) {
  ImageReference target;
  try {
    target = parse_reference(arguments.positionals[1]);
  } catch (Error& error) {
    error.add_context(
        concat("Error parsing reference: \"", arguments.positionals[1], "\" is not a valid repository/tag"));
    throw;
  }
  if (!target.digest.empty()) throw CommandFailure(1, "refusing to create a tag with a digest reference");
  session.api().call(
      {.method = "POST",
       .path = concat("/images/", path_part(arguments.positionals[0]), "/tag"),
       .query = {{"repo", target.familiar_name()}, {"tag", target.tag.empty() ? "latest" : target.tag}}});
  return 0;
}

void print_deleted(const std::vector<api::DeleteItem>& items) {
  for (const api::DeleteItem& item : items) {
    print(item.deleted.empty() ? concat("Untagged: ", item.untagged, "\n") : concat("Deleted: ", item.deleted, "\n"));
  }
}

constexpr Flag rmi_flags[] = {
    {"force", 'f', boolean, "", "Force removal of the image"},
    {"no-prune", 0, boolean, "", "Do not delete untagged parents"},
    {"platform", 0, list, "list", "Remove only the given platform variant"},
};

int rmi(Session& session, const Arguments& arguments) {
  Query query;
  if (arguments.enabled("force")) query.emplace_back("force", "1");
  if (arguments.enabled("no-prune")) query.emplace_back("noprune", "1");
  std::string errors;
  bool failed = false;
  for (const std::string& name : arguments.positionals) {
    try {
      const auto items = from_json<std::vector<api::DeleteItem>>(
          session.api().call_json({.method = "DELETE", .path = concat("/images/", path_part(name)), .query = query}));
      print_deleted(items);
    } catch (const ApiError& error) {
      errors += concat(errors.empty() ? "" : "\n", error.message());
      // Docker quirk: with --force an image that does not exist is told, but is no failure.
      failed = failed || !arguments.enabled("force") || error.status() != 404;
    }
  }
  if (failed) throw CommandFailure(1, errors);
  if (!errors.empty()) print_error(errors + "\n");
  return 0;
}

constexpr Flag prune_flags[] = {
    {"all", 'a', boolean, "", "Remove all unused images, not just dangling ones"},
    {"filter", 0, list, "filter", "Provide filter values (e.g. \"until=<timestamp>\")", check_filter},
    {"force", 'f', boolean, "", "Do not prompt for confirmation"},
};

int prune(Session& session, const Arguments& arguments) {
  const bool all = arguments.enabled("all");
  const std::string_view warning =
      all ? "This will remove all images without at least one container associated to them."
          : "This will remove all dangling images.";
  if (!confirm(arguments, warning)) return 0;
  std::vector<std::string> filters = arguments.list("filter");
  filters.push_back(all ? "dangling=false" : "dangling=true");
  const auto report = from_json<api::ImagesPruneReport>(session.api().call_json(
      {.method = "POST", .path = "/images/prune", .query = {{"filters", make_filters(filters)}}}));
  if (report.images_deleted && !report.images_deleted->empty()) {
    print("Deleted Images:\n");
    for (const api::DeleteItem& item : *report.images_deleted) {
      print(item.untagged.empty() ? concat("deleted: ", item.deleted, "\n")
                                  : concat("untagged: ", item.untagged, "\n"));
    }
    print("\n");
  }
  print(concat("Total reclaimed space: ", human_size(static_cast<double>(report.space_reclaimed_bytes)), "\n"));
  return 0;
}

constexpr Command commands[] = {
    {.name = "rmi",
     .usage = "[OPTIONS] IMAGE [IMAGE...]",
     .summary = "Remove one or more images",
     .least_arguments = 1,
     .flags = rmi_flags,
     .run = rmi},
    {.name = "tag",
     .usage = "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
     .summary = "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
     .least_arguments = 2,
     .most_arguments = 2,
     .run = tag},
    {.name = "image prune",
     .usage = "[OPTIONS]",
     .summary = "Remove unused images",
     .most_arguments = 0,
     .flags = prune_flags,
     .run = prune},
};

}  // namespace

std::span<const Command> image_change_commands() { return commands; }

}  // namespace mydocker::cli
