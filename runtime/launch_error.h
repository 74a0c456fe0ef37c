#pragma once

#include <string>
#include <utility>

#include "engine/base/error.h"

namespace mydocker::runtime {

/// A container or exec that could not be started, with the exit code that Docker reports for it (WIRE 23):
/// 127 no such program, 126 it cannot be executed, 128 anything else.
class LaunchError : public Error {
 public:
  LaunchError(ErrorKind kind, std::string message, int exit_code, int errno_value = 0)
      : Error(kind, std::move(message), errno_value), exit_code_(exit_code) {}

  int exit_code() const noexcept { return exit_code_; }

 private:
  int exit_code_;
};

}  // namespace mydocker::runtime
