#pragma once

#include <string>

#include "engine/base/unique_fd.h"

namespace mydocker::daemon {

/// Holds a file under an exclusive record lock (fcntl(2) F_SETLK) until destroyed or the process ends, however it ends.
/// The lock is the process's alone: a child between fork and exec that outlives a killed engine does not hold it on, as
/// it would one of flock(2). Nothing else in the process may open the file.
class InstanceLock {
 public:
  /// Waits a second for one that is just ending; then throws Error{conflict} naming the process that holds it. `what`
  /// is for that message: "data-root /x".
  InstanceLock(const std::string& path, const std::string& what);

  /// Replaces the file's content by "<pid>\n".
  void write_pid() const;

 private:
  std::string path_;
  UniqueFd fd_;
};

}  // namespace mydocker::daemon
