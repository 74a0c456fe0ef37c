#pragma once

#include "engine/base/unique_fd.h"
#include "runtime/spec.h"

/// Device nodes below a rootfs, made by descriptors (SECURITY R1, R3). Blocks on nothing; init stage only.
namespace mydocker::runtime {

/// null zero full random urandom tty, the links fd stdin stdout stderr core ptmx, and the spec's devices, all below
/// `root`. Where nodes cannot be made (user namespace, no CAP_MKNOD) the host's are bound instead.
void make_devices(int root, const Spec& spec);
/// Puts the pty's peer onto /dev/console.
void bind_console(int root, int slave);
/// A descriptor of the host's /dev/null, proved to be device 1:3.
UniqueFd open_null_device(int flags);

}  // namespace mydocker::runtime
