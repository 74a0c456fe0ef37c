#pragma once

#include "engine/engine_state.h"

/// The events that surround a run of a container: its networks and volumes (WIRE 17). I/O thread only.
namespace mydocker::engine {

/// Reads the IDs of the networks without links (host, none) once, so that no start needs the database for them.
awaitable<void> load_network_names(EngineState& state);

/// network connect, volume mount; `start` is the caller's.
void publish_connected(EngineState& state, const Container& container);
/// network disconnect and volume unmount, the endpoints as they were while it ran.
void publish_disconnected(EngineState& state, const Container& container);

}  // namespace mydocker::engine
