#pragma once

#include <string_view>

/// Every fallible step of the system is a failpoint: a test makes it fail, die or wait.
///
///   failpoint("overlay.mount");
///
/// Set by the environment variable MYDOCKER_FAILPOINTS of the program, a comma list of name=action[@n]: action is
/// `error` (throws Error{internal} "failpoint NAME"), `kill` (SIGKILL to this process), `delay:MS`, or
/// `nospace` (throws Error{internal} with ENOSPC); @n acts on the n-th pass only. The engine hands the variable on to
/// its shims and workers. Compiled in unless -DMYDOCKER_FAILPOINTS=OFF; without the variable a pass costs one load. Any
/// thread.
namespace mydocker {

#ifdef MYDOCKER_FAILPOINTS
void failpoint(std::string_view name);
#else
inline void failpoint(std::string_view) {}
#endif

}  // namespace mydocker
