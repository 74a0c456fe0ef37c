#include "api/server/filters.h"

#include <algorithm>

#include "engine/base/json.h"

namespace mydocker::api {
namespace {

using Values = std::vector<std::string>;

void add_unique(Values& values, std::string_view value) {
  if (std::find(values.begin(), values.end(), value) == values.end()) values.emplace_back(value);
}

Values read_values(const json::value& value) {
  Values values;
  if (value.is_object()) {
    // Presence selects: Go clients send {"x":true}, and {"x":false} means the same to Go's decoder.
    for (const auto& entry : value.get_object()) {
      if (!entry.value().is_bool()) throw Error(ErrorKind::invalid_argument, "invalid filter");
      add_unique(values, entry.key());
    }
    return values;
  }
  if (!value.is_array()) throw Error(ErrorKind::invalid_argument, "invalid filter");
  for (const json::value& item : value.get_array()) {
    if (!item.is_string()) throw Error(ErrorKind::invalid_argument, "invalid filter");
    add_unique(values, item.get_string());
  }
  return values;
}

}  // namespace

std::map<std::string, std::vector<std::string>> parse_filters(std::string_view text) {
  std::map<std::string, Values> filters;
  if (text.empty()) return filters;
  json::value document;
  try {
    document = parse_json(text);
  } catch (const Error& error) {
    throw Error(ErrorKind::invalid_argument, concat("invalid filter: ", error.message()));
  }
  if (document.is_null()) return filters;
  if (!document.is_object()) throw Error(ErrorKind::invalid_argument, "invalid filter");
  for (const auto& entry : document.get_object()) {
    if (entry.value().is_null()) continue;
    Values values = read_values(entry.value());
    if (!values.empty()) filters[std::string(entry.key())] = std::move(values);
  }
  return filters;
}

}  // namespace mydocker::api
