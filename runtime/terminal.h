#pragma once

#include <optional>
#include <string>

#include "engine/base/unique_fd.h"
#include "runtime/spec_process.h"

/// Pseudo terminals (man 4 pts). The peer is always taken by ioctl(TIOCGPTPEER), never by a name that the container may
/// have replaced (SECURITY R3). Nothing blocks.
namespace mydocker::runtime {

struct Terminal {
  UniqueFd master;
  UniqueFd slave;
};

/// A pair from the devpts instance whose root directory is `devpts`. Throws Error{internal} when that is no devpts.
Terminal open_terminal(int devpts);
/// A pair from the devpts at /dev/pts of the calling process's root.
Terminal open_terminal_at_root();
void set_terminal_size(int terminal, const ConsoleSize& size);
/// Makes `slave` the controlling terminal of the calling session leader and its descriptors 0, 1, 2.
void become_terminal(int slave);
/// Sends the master to a Unix socket that somebody listens on (OCI runtime command line, --console-socket).
void send_to_console_socket(const std::string& path, int master);

}  // namespace mydocker::runtime
