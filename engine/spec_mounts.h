#pragma once

#include <string_view>
#include <vector>

#include "engine/launch_plan.h"

/// The mounts of a container, as its OCI spec says them. Pure.
namespace mydocker::engine {

/// Where `--init` finds its program.
inline constexpr std::string_view init_in_container = "/sbin/docker-init";

/// Docker's default mounts as the HostConfig changes them, the name files, then those of `plan.mounts`. Throws
/// Error{invalid_argument} for a volume whose driver options are no mount.
std::vector<runtime::Mount> plan_all_mounts(const LaunchInput& input, const LaunchPlan& plan);

}  // namespace mydocker::engine
