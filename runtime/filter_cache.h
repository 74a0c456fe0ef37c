#pragma once

#include <string>

#include "runtime/seccomp.h"

namespace mydocker::runtime {

/// The program of a profile, compiled at most once for each machine and kept in `directory` (made 0700):
///
///   <directory>/<16 hex digits of the key's FNV-1a hash>   0600: magic, sizes, the whole key, the instructions
///
/// The key is the profile's text and the identity of the running executable (the linker's build ID, which sealed copies
/// share), so that another version never takes it; a
/// file whose key differs, or that another user could write, is not used (SECURITY R23). A file that cannot be read or
/// written costs the compilation, never the start. Blocks on the disk. Throws as compile_seccomp() does.
FilterProgram load_or_compile(const Seccomp& seccomp, const std::string& directory);

}  // namespace mydocker::runtime
