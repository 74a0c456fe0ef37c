#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "engine/base/database.h"

namespace mydocker::storage {

/// What a writable tree measured when it was last walked.
struct TreeSize {
  std::int64_t bytes = 0;        ///< contents of its files, each file with several names once
  std::int64_t measured_at = 0;  ///< nanoseconds since 1970, taken before the walk began
};

/// The kept sizes of trees at rest (table `tree_sizes`): "container:<id>" and "volume:<name>". Whether a number still
/// holds is the caller's knowledge: it knows when somebody wrote last. Thread-safe; blocks on the disk.
/// Numbers survive a crash of the engine, not a power cut: a lost one is measured again.
class SizeLedger {
 public:
  explicit SizeLedger(Database& database);

  std::map<std::string, TreeSize> load();
  void keep(const std::string& key, const TreeSize& size);
  /// Before something may write, and when the tree goes. A power cut cannot bring the number back. Absence is fine.
  /// Inside a transaction of the caller it joins that one.
  void forget(const std::vector<std::string>& keys);

 private:
  Database& database_;
};

}  // namespace mydocker::storage
