#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/template/template.h"

/// Lists as Docker prints them: aligned tables, `--format` templates, `--format json`, `--quiet`.
namespace mydocker::cli {

struct TabOptions {
  std::size_t least_width = 10;
  std::size_t padding = 3;
};

/// Aligns tab-separated cells: Go's text/tabwriter (elastic tab stops; the last cell of a line belongs to no column).
std::string align_tabs(std::string_view text, TabOptions options = {});

/// How a list shall look.
struct ListFormat {
  std::string format;         ///< --format as given; "" = the object's default table
  std::string default_table;  ///< "table {{.ID}}\t{{.Names}}"
  std::string type_name;      ///< "*formatter.ContainerContext"
  bool quiet = false;
  std::string quiet_field = "ID";
  std::string_view error_context = "failed to execute template";  ///< ahead of the error of a template that fails
};

/// A row of a list, as the template engine sees it.
struct ListRow : text_template::TemplateRecord {
  std::string type;
  std::vector<std::pair<std::string, json::value>> fields;  ///< in alphabetical order of the names
  std::function<std::optional<json::value>(std::string_view, std::span<const json::value>)> method;

  std::string_view type_name() const override { return type; }
  std::optional<json::value> call(std::string_view name, std::span<const json::value> arguments) const override;
  json::value to_json() const override;
};

using RowMethod = std::function<std::optional<json::value>(std::string_view, std::span<const json::value>)>;

/// Renders rows. `titles`: field name -> header. Throws Error with Docker's texts about a bad template.
class ListPrinter {
 public:
  ListPrinter(ListFormat format, std::vector<std::pair<std::string, std::string>> titles);

  /// `fields` in any order; `method` serves calls with arguments ("Label").
  void add(std::vector<std::pair<std::string, json::value>> fields, RowMethod method = {});
  std::string render() const;

 private:
  ListFormat format_;
  std::vector<std::pair<std::string, std::string>> titles_;
  std::vector<ListRow> rows_;

  std::string header(const text_template::Template& parsed) const;
};

/// Adds {"Label", argument} support for a map of labels.
RowMethod label_method(std::vector<std::pair<std::string, std::string>> labels);

}  // namespace mydocker::cli
