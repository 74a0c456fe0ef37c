#include "api/server/request.h"

#include <algorithm>
#include <cctype>
#include <limits>

#include "api/server/head_check.h"
#include "engine/base/error.h"

namespace mydocker::api {
namespace {

bool equal_without_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](unsigned char x, unsigned char y) {
           return std::tolower(x) == std::tolower(y);
         });
}

/// Values of a document, without parsing it: each one but the first follows '[', '{' or ','.
std::size_t count_json_values(std::string_view text) {
  std::size_t count = 1;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == ',' || c == '[' || c == '{') {
      ++count;
    }
  }
  return count;
}

bool is_json_type(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  while (type.ends_with(' ')) type.remove_suffix(1);
  return equal_without_case(type, "application/json");
}

}  // namespace

const std::string& Request::path_param(std::string_view name) const {
  for (const auto& [key, value] : path_params) {
    if (key == name) return value;
  }
  throw Error(ErrorKind::internal, concat("the route has no {", name, "}"));
}

std::string_view Request::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (equal_without_case(key, name)) return value;
  }
  return {};
}

bool Request::has_header(std::string_view name) const {
  return std::any_of(headers.begin(), headers.end(),
                     [&](const auto& header) { return equal_without_case(header.first, name); });
}

std::optional<std::string> Request::find_query(std::string_view name) const {
  for (const auto& [key, value] : query) {
    if (key == name) return value;
  }
  return std::nullopt;
}

std::string Request::query_text(std::string_view name, std::string_view otherwise) const {
  return find_query(name).value_or(std::string(otherwise));
}

std::vector<std::string> Request::query_list(std::string_view name) const {
  std::vector<std::string> values;
  for (const auto& [key, value] : query) {
    if (key == name) values.push_back(value);
  }
  return values;
}

bool Request::query_bool(std::string_view name, bool otherwise) const {
  const std::optional<std::string> text = find_query(name);
  return text ? parse_query_bool(*text) : otherwise;
}

std::optional<int> Request::query_int(std::string_view name) const {
  const std::optional<std::string> text = find_query(name);
  if (!text || text->empty()) return std::nullopt;
  const std::optional<std::int64_t> number = parse_number(*text);
  if (!number || *number < std::numeric_limits<int>::min() || *number > std::numeric_limits<int>::max()) {
    throw Error(ErrorKind::invalid_argument, concat("invalid value for ", name, ": \"", *text, "\" is not a number"));
  }
  return static_cast<int>(*number);
}

json::value Request::json_body(BodyRule rule) const {
  if (body.empty()) {
    if (rule == BodyRule::optional) return nullptr;
    throw Error(ErrorKind::invalid_argument, "invalid JSON: got EOF while reading request body");
  }
  const std::string_view type = header("Content-Type");
  if (!is_json_type(type)) {
    throw Error(ErrorKind::invalid_argument,
                concat("unsupported Content-Type header (", type, "): must be 'application/json'"));
  }
  const std::size_t limit = ApiLimits{}.json_values;
  if (count_json_values(body) > limit) {
    throw Error(ErrorKind::invalid_argument, concat("invalid JSON: more than ", limit, " values"));
  }
  return parse_json(body);
}

}  // namespace mydocker::api
