#pragma once

#include <string>
#include <vector>

#include "storage/limits.h"

namespace mydocker::storage {

/// How the store reaches its confined program `mydocker-worker` (SECURITY R7, R27).
struct WorkerOptions {
  std::string program;                   ///< absolute path of mydocker-worker
  std::vector<std::string> environment;  ///< its complete environment (failpoints in tests; else empty)
  UnpackLimits limits;
};

}  // namespace mydocker::storage
