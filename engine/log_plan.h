#pragma once

#include <string>

#include "api/types/host_config.h"
#include "engine/container.h"
#include "engine/options.h"
#include "runtime/log_options.h"

/// LogConfig: its checks, and what the shim is told about a container's log (WIRE 9, 12.2). Pure, except for the names
/// that plan_log resolves.
namespace mydocker::engine {

/// Fills in the engine's defaults and refuses in Docker's words what the driver does not know. Throws
/// Error{invalid_argument}.
void check_log_config(api::LogConfig& config, const Options& options);

/// `directory`: the container's. Resolves a syslog server's name, which may block for seconds; throws
/// Error{unavailable} when that fails.
runtime::LogOptions plan_log(const ContainerRecord& record, const std::string& directory);

/// The log's newest file. Throws Error{not_implemented} in Docker's words for a driver that cannot be read.
std::string readable_log_path(const ContainerRecord& record, const std::string& directory);

}  // namespace mydocker::engine
