#pragma once

#include <string>
#include <vector>

#include "engine/base/unique_fd.h"
#include "runtime/spec.h"

namespace mydocker::runtime {

/// The binds of the spec with "idmap", "ridmap" or maps of their own, detached and mapped; one handle for each entry of
/// spec.mounts, empty for all others. Without own maps they follow the container's user namespace. Called on the host's
/// side, before the clone: mapping takes CAP_SYS_ADMIN over the file system, which the root of a user namespace lacks.
/// Relative sources start at the bundle. Blocks on the disk. Throws Error{internal}, Error{invalid_argument}.
std::vector<UniqueFd> open_id_mapped_mounts(const Spec& spec, const std::string& bundle);

}  // namespace mydocker::runtime
