#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/oci/command_line.h"

/// What a person reads on standard error and the caller of a runtime in the log file (--log, --log-format).
namespace mydocker::oci {

void report_error(const GlobalOptions& options, std::string_view message);
void warn(const GlobalOptions& options, std::string_view message);
void warn(const GlobalOptions& options, const std::vector<std::string>& messages);

}  // namespace mydocker::oci
