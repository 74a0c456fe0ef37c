#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/base/error.h"
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

/// One prune of a kind at a time.
class PruneGuard {
 public:
  explicit PruneGuard(bool& running) : running_(running) {
    if (running_) throw Error(ErrorKind::conflict, "a prune operation is already running");
    running_ = true;
  }
  PruneGuard(const PruneGuard&) = delete;
  PruneGuard& operator=(const PruneGuard&) = delete;
  ~PruneGuard() { running_ = false; }

 private:
  bool& running_;
};

/// Go durations ("24h": so long ago), RFC 3339, or unix stamps. Throws Error{invalid_argument}.
Timestamp parse_until_filter(const std::string& text);
/// "dangling" and the like: 0, 1, true, false; both, or anything else, throws Error{invalid_argument}.
bool parse_bool_filter(const std::string& key, const std::vector<std::string>& values);

}  // namespace mydocker::engine
