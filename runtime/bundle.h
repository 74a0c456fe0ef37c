#pragma once

#include <string>

#include "runtime/spec.h"

namespace mydocker::runtime {

/// Reads and validates <bundle>/config.json (at most 8 MiB). Blocks on the disk. Throws Error{invalid_argument} that
/// names file and member, Error{not_found} without the file.
Spec read_bundle(const std::string& bundle);
/// Writes <bundle>/config.json.
void write_bundle(const std::string& bundle, const Spec& spec);
/// A `process` object from a file (exec --process).
Process read_process(const std::string& path);

}  // namespace mydocker::runtime
