#pragma once

#include <span>
#include <string>

#include "api/types/container.h"
#include "cli/arguments.h"
#include "cli/config_file.h"

/// The flags that `run` and `create` share, and the request they amount to.
namespace mydocker::cli {

std::span<const Flag> container_flags();

/// Reads the files that flags name. `image` and `command` are the positionals. Throws Error{invalid_argument} in
/// Docker's words.
api::ContainerCreateRequest make_create_request(const Arguments& arguments, const ConfigFile& config);

}  // namespace mydocker::cli
