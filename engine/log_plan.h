#pragma once

#include <string>
#include <vector>

#include "api/types/host_config.h"
#include "engine/container.h"
#include "engine/options.h"
#include "runtime/log_options.h"

/// LogConfig: its checks, and what the shim is told about a container's log (WIRE 9, 12.2). Pure, except for the names
/// that plan_log resolves.
namespace mydocker::engine {

/// The drivers that there are, `none` too; sorted.
std::vector<std::string> log_driver_names();

/// Fills in the engine's defaults and refuses in Docker's words what the driver does not know. Throws
/// Error{invalid_argument}.
void check_log_config(api::LogConfig& config, const Options& options);

/// `directory`: the container's. Resolves a syslog server's name, which may block for seconds; throws
/// Error{unavailable} when that fails.
runtime::LogOptions plan_log(const ContainerRecord& record, const std::string& directory);

struct ReadableLog {
  std::string path;      ///< of the newest file
  bool compact = false;  ///< runtime/log_compact.h; else runtime/log_format.h
};
/// What the driver writes, or the cache beside a driver that keeps nothing here. Throws Error{not_implemented} in
/// Docker's words for `none` and for a driver whose cache is disabled.
ReadableLog find_readable_log(const ContainerRecord& record, const std::string& directory);

}  // namespace mydocker::engine
