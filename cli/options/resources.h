#pragma once

#include <cstdint>
#include <string_view>

#include "api/types/container.h"

/// --ulimit, --device, --cpus, --blkio-*, --gpus, --restart. Pure; every function throws Error{invalid_argument} in
/// Docker's words.
namespace mydocker::cli {

/// "nofile=1024:2048".
api::Ulimit parse_ulimit(std::string_view text);
/// "/dev/null:/dev/x:rwm".
api::DeviceMapping parse_device(std::string_view text);
/// "/dev/sda:1mb" and "/dev/sda:1000".
api::ThrottleDevice parse_throttle_bytes(std::string_view text);
api::ThrottleDevice parse_throttle_operations(std::string_view text);
/// "/dev/sda:100".
api::WeightDevice parse_weight(std::string_view text);
/// "1.5", ".5", "1e-1", "1/2" in billionths.
std::int64_t parse_cpus(std::string_view text);
/// "on-failure:3".
api::RestartPolicy parse_restart_policy(std::string_view text);
/// "all", "2", "device=0,capabilities=utility".
api::DeviceRequest parse_gpus(std::string_view text);

void check_ulimit(std::string_view text);
void check_cpus(std::string_view text);
void check_throttle_bytes(std::string_view text);
void check_throttle_operations(std::string_view text);
void check_weight(std::string_view text);
/// "c 1:3 rwm".
void check_device_rule(std::string_view text);
void check_gpus(std::string_view text);

}  // namespace mydocker::cli
