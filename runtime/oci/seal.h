#pragma once

namespace mydocker::oci {

/// Starts this program again from a sealed memory copy unless it runs from one: a container that is made to execute
/// /proc/self/exe then finds nothing that it could overwrite (CVE-2019-5736, SECURITY R6). Throws Error{internal}.
void run_from_sealed_copy(char** arguments, char** environment);

}  // namespace mydocker::oci
