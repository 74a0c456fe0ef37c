#pragma once

#include <string>

#include "engine/base/unique_fd.h"

namespace mydocker::daemon {

/// Holds a file under an exclusive lock (flock(2)) until destroyed or the process ends, however it ends. Children do
/// not inherit it.
class InstanceLock {
 public:
  /// Throws Error{conflict} naming the process that holds it. `what` is for that message: "data-root /x".
  InstanceLock(const std::string& path, const std::string& what);

  /// Replaces the file's content by "<pid>\n".
  void write_pid() const;

 private:
  std::string path_;
  UniqueFd fd_;
};

}  // namespace mydocker::daemon
