#pragma once

namespace mydocker::oci {

/// Starts this program again from a copy of itself that nobody can write to, unless it runs from one: a container that
/// is made to execute /proc/self/exe then finds nothing that it could overwrite (CVE-2019-5736, SECURITY R6). The copy
/// is a read-only mount of the own file that is unmounted as soon as it executes, so that no capability makes it
/// writable again; without the right to mount, a sealed memory file. Throws Error{internal}.
void run_from_sealed_copy(char** arguments, char** environment);

}  // namespace mydocker::oci
