#pragma once

#include "api/types/host_config.h"
#include "runtime/spec.h"

/// HostConfig's limits and devices as OCI resources. Reads device numbers from the host's /dev; any thread.
namespace mydocker::engine {

/// The limits, without device rules (create and update). Throws Error{invalid_argument} for a block device that is
/// none.
runtime::Resources plan_limits(const api::Resources& limits);

/// Device nodes and device rules into `spec` (SECURITY 6.3); --privileged gets all of the host's. Throws
/// Error{internal} for a device that is not there, Error{invalid_argument} for a malformed rule.
void plan_devices(const api::HostConfig& host, runtime::Spec& spec);

/// "c 1:3 rwm". Throws Error{invalid_argument} `invalid device cgroup rule format: 'x'`. Pure.
runtime::DeviceRule parse_device_rule(const std::string& text);

}  // namespace mydocker::engine
