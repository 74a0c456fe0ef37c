#include <algorithm>
#include <ctime>

#include "api/types/image.h"
#include "cli/command.h"
#include "cli/command/lists.h"
#include "cli/options/words.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/units.h"
#include "engine/base/time.h"

namespace mydocker::cli {
namespace {

using enum FlagKind;

constexpr Flag images_flags[] = {
    {"all", 'a', boolean, "", "Show all images (default hides intermediate images)"},
    {"digests", 0, boolean, "", "Show digests"},
    {"filter", 'f', list, "filter", "Filter output based on conditions provided", check_filter},
    {"format", 0, single, "string", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template"},
    {"no-trunc", 0, boolean, "", "Don't truncate output"},
    {"quiet", 'q', boolean, "", "Only show image IDs"},
};

/// One line of the list: an image appears once for each of its tags.
struct ImageLine {
  std::string repository = "<none>";
  std::string tag = "<none>";
  std::string digest = "<none>";
};

std::pair<std::string, std::string> split_tag(const std::string& reference) {
  const std::size_t colon = reference.rfind(':');
  const std::size_t slash = reference.rfind('/');
  if (colon == std::string::npos || (slash != std::string::npos && colon < slash)) return {reference, "<none>"};
  return {reference.substr(0, colon), reference.substr(colon + 1)};
}

std::vector<ImageLine> lines_of(const api::ImageSummary& image, bool with_digests) {
  std::vector<ImageLine> out;
  const auto digests_of = [&](const std::string& repository) {
    std::vector<std::string> digests;
    for (const std::string& entry : image.repo_digests) {
      const std::size_t at = entry.find('@');
      if (at != std::string::npos && entry.substr(0, at) == repository) digests.push_back(entry.substr(at + 1));
    }
    return digests;
  };
  for (const std::string& reference : image.repo_tags) {
    if (reference == "<none>:<none>") continue;
    const auto [repository, tag] = split_tag(reference);
    const std::vector<std::string> digests = digests_of(repository);
    if (!with_digests || digests.empty()) {
      out.push_back({repository, tag, digests.empty() ? "<none>" : digests.front()});
      continue;
    }
    for (const std::string& digest : digests) out.push_back({repository, tag, digest});
  }
  if (!out.empty()) return out;
  for (const std::string& entry : image.repo_digests) {
    const std::size_t at = entry.find('@');
    if (at == std::string::npos || entry == "<none>@<none>") continue;
    out.push_back({entry.substr(0, at), "<none>", entry.substr(at + 1)});
    if (!with_digests) break;
  }
  if (out.empty()) out.emplace_back();
  return out;
}

std::string optional_size(std::int64_t bytes) { return bytes < 0 ? "N/A" : human_size(static_cast<double>(bytes), 4); }

std::vector<std::pair<std::string, json::value>> image_fields(const api::ImageSummary& image, const ImageLine& line,
                                                              bool truncate) {
  const std::int64_t unique = image.shared_size_bytes < 0 ? -1 : image.size_bytes - image.shared_size_bytes;
  return {{"ID", json::value(truncate ? short_id(image.id) : image.id)},
          {"Repository", json::value(line.repository)},
          {"Tag", json::value(line.tag)},
          {"Digest", json::value(line.digest)},
          {"CreatedSince",
           json::value(human_duration(std::chrono::seconds(std::time(nullptr) - image.created_s)) + " ago")},
          {"CreatedAt", json::value(local_time_text(image.created_s))},
          {"Size", json::value(human_size(static_cast<double>(image.size_bytes), 3))},
          {"Containers", json::value(image.containers < 0 ? "N/A" : std::to_string(image.containers))},
          {"VirtualSize", json::value(human_size(static_cast<double>(image.size_bytes), 4))},
          {"SharedSize", json::value(optional_size(image.shared_size_bytes))},
          {"UniqueSize", json::value(optional_size(unique))}};
}

int images(Session& session, const Arguments& arguments) {
  const bool quiet = arguments.enabled("quiet");
  const bool digests = arguments.enabled("digests");
  ListFormat format;
  format.format = arguments.text("format", quiet ? "" : session.config.images_format);
  format.quiet = quiet;
  format.type_name = "*formatter.imageContext";
  format.error_context = "template parsing error";
  format.default_table = digests ? "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}"
                                 : "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
  std::vector<std::string> filters = arguments.list("filter");
  if (!arguments.positionals.empty()) filters.push_back("reference=" + arguments.positionals[0]);
  ApiCall call{.path = "/images/json"};
  if (arguments.enabled("all")) call.query.emplace_back("all", "1");
  if (const std::string text = make_filters(filters); !text.empty()) call.query.emplace_back("filters", text);

  ListPrinter printer(format, {{"ID", "IMAGE ID"},
                               {"Repository", "REPOSITORY"},
                               {"Tag", "TAG"},
                               {"Digest", "DIGEST"},
                               {"CreatedSince", "CREATED"},
                               {"CreatedAt", "CREATED AT"},
                               {"Size", "SIZE"},
                               {"Containers", "CONTAINERS"},
                               {"VirtualSize", "SIZE"},
                               {"SharedSize", "SHARED SIZE"},
                               {"UniqueSize", "UNIQUE SIZE"}});
  const bool digests_wanted = digests || format.format.find(".Digest") != std::string::npos;
  for (const auto& image : from_json<std::vector<api::ImageSummary>>(session.api().call_json(call))) {
    for (const ImageLine& line : lines_of(image, digests_wanted)) {
      printer.add(image_fields(image, line, !arguments.enabled("no-trunc")));
    }
  }
  print(printer.render());
  return 0;
}

constexpr Flag history_flags[] = {
    {"format", 0, single, "string", "Format output: 'table', 'table TEMPLATE', 'json' or a Go template"},
    {"human", 'H', boolean, "", "Print sizes and dates in human readable format"},
    {"no-trunc", 0, boolean, "", "Don't truncate output"},
    {"platform", 0, single, "string", "Show history for the given platform"},
    {"quiet", 'q', boolean, "", "Only show image IDs"},
};

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\t', ' ');
  return std::string(trim(text));
}

int history(Session& session, const Arguments& arguments) {
  const bool human = arguments.enabled("human", true);
  const bool truncate = !arguments.enabled("no-trunc");
  ListFormat format;
  format.format = arguments.text("format");
  format.quiet = arguments.enabled("quiet");
  format.type_name = "*image.historyContext";
  format.default_table = human ? "table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}"
                               : "table {{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";
  ListPrinter printer(format, {{"ID", "IMAGE"},
                               {"CreatedSince", "CREATED"},
                               {"CreatedAt", "CREATED AT"},
                               {"CreatedBy", "CREATED BY"},
                               {"Size", "SIZE"},
                               {"Comment", "COMMENT"}});
  ApiCall call{.path = concat("/images/", path_part(arguments.positionals[0]), "/history")};
  if (arguments.has("platform")) call.query.emplace_back("platform", arguments.text("platform"));
  for (const auto& item : from_json<std::vector<api::HistoryItem>>(session.api().call_json(call))) {
    const std::string created_by = one_line(item.created_by);
    const std::string age = item.created_s <= 0
                                ? "N/A"
                                : human_duration(std::chrono::seconds(std::time(nullptr) - item.created_s)) + " ago";
    printer.add({{"ID", json::value(truncate ? short_id(item.id) : item.id)},
                 {"CreatedSince", json::value(age)},
                 {"CreatedAt", json::value(local_rfc3339(item.created_s))},
                 {"CreatedBy", json::value(truncate ? ellipsis(created_by, 45) : created_by)},
                 {"Size", json::value(human ? human_size(static_cast<double>(item.size_bytes), 3)
                                            : std::to_string(item.size_bytes))},
                 {"Comment", json::value(item.comment)}});
  }
  print(printer.render());
  return 0;
}

constexpr Command commands[] = {
    {.name = "history",
     .usage = "[OPTIONS] IMAGE",
     .summary = "Show the history of an image",
     .least_arguments = 1,
     .most_arguments = 1,
     .flags = history_flags,
     .run = history},
    {.name = "images",
     .usage = "[OPTIONS] [REPOSITORY[:TAG]]",
     .summary = "List images",
     .least_arguments = 0,
     .most_arguments = 1,
     .flags = images_flags,
     .run = images},
};

}  // namespace

std::span<const Command> image_list_commands() { return commands; }

}  // namespace mydocker::cli
