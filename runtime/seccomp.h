#pragma once

#include <string>
#include <string_view>

#include "engine/base/unique_fd.h"
#include "runtime/capabilities.h"
#include "runtime/seccomp_program.h"
#include "runtime/spec.h"

/// System call filters: OCI's linux.seccomp (config-linux.md "Seccomp") as programs, the default profile of
/// SECURITY 6.4, and Docker's profile files. Pure but for install_filter(); any thread.
namespace mydocker::runtime {

/// The default profile for a process with this bounding set, as every OCI runtime understands it. Its rules never
/// overlap, so first-match runtimes and libseccomp agree.
Seccomp make_default_seccomp(CapabilityMask bounding);

/// Docker's profile format (`--security-opt seccomp=file`): archMap, includes and excludes by capability, architecture
/// and kernel are decided here. A plain OCI seccomp object is read as well. `kernel` is "6.1" or "6.1.0-13".
/// Throws Error{invalid_argument} naming the member.
Seccomp parse_seccomp_profile(std::string_view json_text, CapabilityMask bounding, std::string_view kernel);

/// Compiles it for the running machine's ABIs in about 0.2 ms. Names that no ABI knows are skipped, as runc does.
/// Numbers beyond the newest known call get ENOSYS unless the default action lets them pass, so that new C libraries
/// fall back. Of several rules for a call the first one that applies decides.
/// Throws Error{invalid_argument} for unknown actions, operators, architectures, flags, and for a listener that would
/// have to answer before it can be handed over (the default action; sendmsg).
FilterProgram compile_seccomp(const Seccomp& seccomp);

/// Whether a rule or the default action asks a listener.
bool wants_listener(const Seccomp& seccomp);

/// Installs it for the calling thread; gives the listener's descriptor if the profile wants one. Needs CAP_SYS_ADMIN or
/// no_new_privs. Throws Error{internal}: the start fails then (SECURITY R28).
UniqueFd install_filter(const FilterProgram& program, const Seccomp& seccomp);

}  // namespace mydocker::runtime
