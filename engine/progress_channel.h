#pragma once

#include <functional>
#include <memory>
#include <stop_token>

#include "engine/engine.h"
#include "engine/engine_state.h"
#include "image/progress.h"

namespace mydocker::engine {

/// Runs `work` on the transfer pool and gives its progress lines to the I/O thread through a bounded queue (a slow
/// client slows the work down). Destroying the stream asks the work to stop. `done` runs on the I/O thread after a
/// success, before the end of the stream. I/O thread.
std::unique_ptr<ProgressStream> start_progress(EngineState& state,
                                               std::function<void(const image::ProgressSink&, std::stop_token)> work,
                                               std::function<void()> done = {});

}  // namespace mydocker::engine
