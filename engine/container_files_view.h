#pragma once

#include "engine/engine_state.h"

namespace mydocker::engine {

/// What the worker needs to see a container's files as the container does: of one that runs its mount namespace, of
/// others their layers and the mounts that a start would make. I/O thread; the caller holds the container's turn when
/// it is going to write to one that does not run.
awaitable<storage::ContainerView> make_files_view(EngineState& state, ContainerPtr container);

}  // namespace mydocker::engine
