#pragma once

#include <string_view>
#include <vector>

#include "engine/base/unique_fd.h"

/// systemd's two small protocols, without its library (man 3 sd_listen_fds, sd_notify). Start-up thread.
namespace mydocker::daemon {

/// The listening sockets that the service manager passed to this process: all of them for "" and "*", else the one with
/// this descriptor number. Throws Error{invalid_argument} when there are none.
std::vector<UniqueFd> take_activated_sockets(std::string_view which);

/// Sends "READY=1" and the like; nothing when no service manager listens. Never throws.
void notify_service_manager(std::string_view state) noexcept;

}  // namespace mydocker::daemon
