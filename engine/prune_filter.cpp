#include "engine/prune_filter.h"

#include <algorithm>

#include "engine/base/error.h"
#include "engine/base/time.h"
#include "engine/list_filters.h"

namespace mydocker::engine {

Timestamp parse_until_filter(const std::string& text) {
  if (const auto duration = parse_go_duration(text)) return now() - *duration;
  if (const auto time = parse_rfc3339(text)) return *time;
  return parse_unix_timestamp(text);
}

bool parse_bool_filter(const std::string& key, const std::vector<std::string>& values) {
  bool yes = false;
  bool no = false;
  for (std::string value : values) {
    std::transform(value.begin(), value.end(), value.begin(),
                   [](char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); });
    if (value == "1" || value == "true") {
      yes = true;
    } else if (value == "0" || value == "false") {
      no = true;
    } else {
      throw Error(ErrorKind::invalid_argument, concat("invalid filter '", key, "=", value, "'"));
    }
  }
  if (yes == no) throw Error(ErrorKind::invalid_argument, concat("invalid filter '", key, "'"));
  return yes;
}

PruneFilter::PruneFilter(const Filters& filters, const std::vector<std::string>& others) {
  for (const auto& [key, values] : filters) {
    if (key == "until") {
      if (values.size() > 1) throw Error(ErrorKind::invalid_argument, "more than one until filter specified");
      if (!values.empty()) until = parse_until_filter(values.front());
    } else if (key == "label") {
      labels = values;
    } else if (key == "label!") {
      forbidden_labels = values;
    } else if (std::find(others.begin(), others.end(), key) == others.end()) {
      throw Error(ErrorKind::invalid_argument, concat("invalid filter '", key, "'"));
    }
  }
}

bool PruneFilter::accepts(Timestamp created, const api::StringMap& object_labels) const {
  if (until && created > *until) return false;
  if (!has_labels(object_labels, labels)) return false;
  return std::none_of(forbidden_labels.begin(), forbidden_labels.end(),
                      [&](const std::string& label) { return has_labels(object_labels, {label}); });
}

}  // namespace mydocker::engine
