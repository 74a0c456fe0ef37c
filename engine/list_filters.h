#pragma once

#include <set>
#include <string>

#include "engine/container_store.h"
#include "engine/engine.h"

namespace mydocker::engine {

/// The filters of GET /containers/json (WIRE 15), checked once, then asked for each container. I/O thread.
class ContainerFilter {
 public:
  /// Throws Error{invalid_argument} for unknown keys and bad values, Error{not_found} when before/since name nothing.
  /// `ancestors`: IDs of the images that the `ancestor` values mean, with their descendants.
  ContainerFilter(const Filters& filters, const ContainerStore& containers, std::set<std::string> ancestors);

  /// A `status` filter looks at containers in all states.
  bool looks_at_all() const { return filters_.contains("status") || filters_.contains("exited"); }
  bool accepts(const Container& container) const;

 private:
  bool accepts_key(const std::string& key, const std::vector<std::string>& values, const Container& container) const;

  Filters filters_;
  std::set<std::string> ancestors_;
  std::int64_t created_before_ = 0;
  std::int64_t created_after_ = 0;
};

/// `label` values: all must match; "k" = the key exists, "k=v" = exact.
bool has_labels(const api::StringMap& labels, const std::vector<std::string>& values);
/// An unanchored regular expression, or the literal text when it is none.
bool matches_name(const std::string& pattern, const std::string& name);

}  // namespace mydocker::engine
