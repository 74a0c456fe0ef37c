#pragma once

#include <string>

namespace mydocker::cli {

/// Starts the engine that stands beside this program, detached from our session, and waits until it answers on `socket`
/// (sd_notify's READY=1, or the socket itself). Says so on stderr. Blocks for at most 30 seconds.
/// false: we are not root, MYDOCKER_AUTOSTART=0, there is no engine beside us, or it did not come up (said on stderr).
bool start_engine(const std::string& socket);

}  // namespace mydocker::cli
