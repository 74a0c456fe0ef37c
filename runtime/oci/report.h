#pragma once

#include <string_view>

#include "runtime/oci/command_line.h"

/// What a person reads on standard error and the caller of a runtime in the log file (--log, --log-format).
namespace mydocker::oci {

void report_error(const GlobalOptions& options, std::string_view message);
/// "" says nothing.
void warn(const GlobalOptions& options, std::string_view message);

}  // namespace mydocker::oci
