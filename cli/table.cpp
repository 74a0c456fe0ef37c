#include "cli/table.h"

#include <algorithm>

#include "cli/units.h"
#include "engine/base/error.h"

namespace mydocker::cli {
namespace {

using text_template::Template;
using text_template::TemplateOptions;

struct Line {
  std::vector<std::string_view> cells;
};

std::vector<Line> split_lines(std::string_view text) {
  std::vector<Line> lines(1);
  std::size_t start = 0;
  for (std::size_t at = 0; at <= text.size(); ++at) {
    const char c = at < text.size() ? text[at] : '\0';
    if (at < text.size() && c != '\t' && c != '\n') continue;
    lines.back().cells.push_back(text.substr(start, at - start));
    start = at + 1;
    if (c == '\n' && at < text.size()) lines.emplace_back();
  }
  return lines;
}

// A column is a block of consecutive lines that all have a tab-terminated cell there; its width holds for the block.
class Aligner {
 public:
  Aligner(const std::vector<Line>& lines, TabOptions options) : lines_(lines), options_(options) {}

  std::string run() {
    format(0, lines_.size());
    return std::move(out_);
  }

 private:
  const std::vector<Line>& lines_;
  TabOptions options_;
  std::vector<std::size_t> widths_;
  std::string out_;

  void format(std::size_t first, std::size_t last) {
    const std::size_t column = widths_.size();
    std::size_t done = first;
    for (std::size_t line = first; line < last; ++line) {
      if (column + 1 >= lines_[line].cells.size()) continue;
      write_lines(done, line);
      std::size_t width = options_.least_width;
      std::size_t end = line;
      for (; end < last && column + 1 < lines_[end].cells.size(); ++end) {
        width = std::max(width, count_characters(lines_[end].cells[column]) + options_.padding);
      }
      widths_.push_back(width);
      format(line, end);
      widths_.pop_back();
      done = end;
      line = end - 1;
    }
    write_lines(done, last);
  }

  void write_lines(std::size_t first, std::size_t last) {
    for (std::size_t line = first; line < last; ++line) {
      const auto& cells = lines_[line].cells;
      for (std::size_t column = 0; column < cells.size(); ++column) {
        out_ += cells[column];
        if (column < widths_.size() && column + 1 < cells.size()) {
          out_.append(widths_[column] - std::min(widths_[column], count_characters(cells[column])), ' ');
        }
      }
      if (line + 1 < lines_.size()) out_ += '\n';
    }
  }
};

// In --format, the two characters \t and \n stand for tab and newline.
std::string expand_escapes(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const std::string_view two = text.substr(at, 2);
    if (two == "\\t" || two == "\\n") {
      out += two == "\\t" ? '\t' : '\n';
      ++at;
    } else {
      out += text[at];
    }
  }
  return out;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n";
  const std::size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

// A label's header is the last part of its name: "com.example.build-date" -> "build date".
std::string label_title(std::string_view name) {
  if (const std::size_t dot = name.rfind('.'); dot != std::string_view::npos) name.remove_prefix(dot + 1);
  std::string out(name);
  std::replace_if(out.begin(), out.end(), [](char c) { return c == '-' || c == '_'; }, ' ');
  return out;
}

}  // namespace

std::string align_tabs(std::string_view text, TabOptions options) { return Aligner(split_lines(text), options).run(); }

std::optional<json::value> ListRow::call(std::string_view name, std::span<const json::value> arguments) const {
  if (!arguments.empty()) return method ? method(name, arguments) : std::nullopt;
  const auto found = std::find_if(fields.begin(), fields.end(), [name](const auto& row) { return row.first == name; });
  if (found == fields.end()) return std::nullopt;
  return found->second;
}

json::value ListRow::to_json() const {
  json::object out;
  for (const auto& [name, value] : fields) out[name] = value;
  return out;
}

ListPrinter::ListPrinter(ListFormat format, std::vector<std::pair<std::string, std::string>> titles)
    : format_(std::move(format)), titles_(std::move(titles)) {}

void ListPrinter::add(std::vector<std::pair<std::string, json::value>> fields, RowMethod method) {
  ListRow row;
  row.type = format_.type_name;
  row.fields = std::move(fields);
  std::sort(row.fields.begin(), row.fields.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  row.method = std::move(method);
  rows_.push_back(std::move(row));
}

std::string ListPrinter::header(const Template& parsed) const {
  ListRow row;
  row.type = format_.type_name;
  for (const auto& [name, title] : titles_) row.fields.emplace_back(name, json::value(title));
  row.method = [](std::string_view, std::span<const json::value> arguments) -> std::optional<json::value> {
    if (arguments.size() != 1 || !arguments[0].is_string()) return std::nullopt;
    return json::value(label_title(arguments[0].get_string()));
  };
  return parsed.execute(row);
}

std::string ListPrinter::render() const {
  std::string chosen = format_.format;
  if (chosen == "json") chosen = "{{json .}}";
  if (chosen.empty() || chosen == "table")
    chosen = format_.quiet ? concat("{{.", format_.quiet_field, "}}") : format_.default_table;
  else if (format_.quiet && chosen.starts_with("table"))
    chosen = concat("{{.", format_.quiet_field, "}}");
  const bool table = chosen.starts_with("table");
  const std::string source = expand_escapes(trim(table ? std::string_view(chosen).substr(5) : chosen));

  TemplateOptions options;
  Template parsed;
  try {
    parsed = Template::parse(source, options);
  } catch (Error& error) {
    error.add_context("failed to parse template");
    throw;
  }
  std::string body;
  try {
    for (const ListRow& row : rows_) body += parsed.execute(row) + '\n';
  } catch (Error& error) {
    error.add_context(format_.error_context);
    throw;
  }
  if (!table) return body;
  options.header = true;
  return align_tabs(concat(header(Template::parse(source, options)), "\n", body));
}

RowMethod label_method(std::vector<std::pair<std::string, std::string>> labels) {
  return [labels = std::move(labels)](std::string_view name,
                                      std::span<const json::value> arguments) -> std::optional<json::value> {
    if (name != "Label" || arguments.size() != 1 || !arguments[0].is_string()) return std::nullopt;
    const std::string_view key = arguments[0].get_string();
    for (const auto& [label, value] : labels) {
      if (label == key) return json::value(value);
    }
    return json::value("");
  };
}

}  // namespace mydocker::cli
