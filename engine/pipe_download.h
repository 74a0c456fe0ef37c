#pragma once

#include <functional>
#include <memory>

#include "engine/engine.h"
#include "engine/engine_state.h"

namespace mydocker::engine {

/// A tar made by `work(out_fd)` on the transfer pool while the caller reads the other end of a pipe. I/O thread.
/// Closing the read end early makes the work fail with EPIPE and end.
std::unique_ptr<Download> start_download(EngineState& state, std::function<void(int out)> work);

}  // namespace mydocker::engine
