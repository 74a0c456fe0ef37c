#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace mydocker::engine {

/// The filters that every prune shares: `until`, `label`, `label!` (WIRE 2.7, 3).
struct PruneFilter {
  /// Throws Error{invalid_argument} for other keys than these and those in `others`.
  explicit PruneFilter(const Filters& filters, const std::vector<std::string>& others = {});
  bool accepts(Timestamp created, const api::StringMap& labels) const;

  std::optional<Timestamp> until;
  std::vector<std::string> labels;
  std::vector<std::string> forbidden_labels;
};

/// Go durations ("24h": so long ago), RFC 3339, or unix stamps. Throws Error{invalid_argument}.
Timestamp parse_until_filter(const std::string& text);
/// "dangling" and the like: 0, 1, true, false; both, or anything else, throws Error{invalid_argument}.
bool parse_bool_filter(const std::string& key, const std::vector<std::string>& values);

}  // namespace mydocker::engine
