#include "cli/json_indent.h"

namespace mydocker::cli {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

}  // namespace

std::string indent_json(std::string_view text, std::string_view step) {
  std::string out;
  std::size_t depth = 0;
  bool in_string = false;
  bool escaped = false;
  bool opened = false;  // an opening bracket waits: an empty object stays "{}"
  const auto new_line = [&] {
    out += '\n';
    for (std::size_t level = 0; level < depth; ++level) out += step;
  };
  for (const char c : text) {
    if (in_string) {
      out += c;
      if (escaped) {
        escaped = false;
      } else if (c == '\\') {
        escaped = true;
      } else if (c == '"') {
        in_string = false;
      }
      continue;
    }
    if (is_blank(c)) continue;
    const bool closes = c == '}' || c == ']';
    if (opened && !closes) {
      ++depth;
      new_line();
    }
    if (closes && !opened) {
      if (depth > 0) --depth;
      new_line();
    }
    opened = c == '{' || c == '[';
    in_string = c == '"';
    out += c;
    if (c == ',') new_line();
    if (c == ':') out += ' ';
  }
  return out;
}

}  // namespace mydocker::cli
