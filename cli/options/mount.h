#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/types/container.h"

/// -v, --mount and --tmpfs. Every function throws Error{invalid_argument} in Docker's words.
namespace mydocker::cli {

/// "type=bind,src=/a,dst=/b,ro". Pure.
api::Mount parse_mount(std::string_view specification);
void check_mount(std::string_view specification);

/// "/host:/inside:ro" becomes a bind, "/inside" an anonymous volume. A host part that starts with "." is taken from the
/// working directory.
void add_volume(std::string_view specification, std::vector<std::string>& binds, api::NameSet& volumes);

}  // namespace mydocker::cli
