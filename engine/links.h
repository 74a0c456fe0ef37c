#pragma once

#include <vector>

#include "engine/engine_state.h"
#include "engine/launch_plan.h"

/// HostConfig.Links: names that one container of the default bridge has for others. I/O thread only.
namespace mydocker::engine {

/// What a start must know of those that `record` is linked to. Throws Error{conflict} for one that does not run.
std::vector<LinkedContainer> find_linked(EngineState& state, const ContainerRecord& record);

/// After a start, when the addresses are known: running containers that are linked to `started` get its address into
/// their hosts files; so does `started` itself when one of `known`, its links as they were when the start began, has
/// got another one meanwhile. Other lines of those files stay as they are. Never throws for a file.
awaitable<void> refresh_links(EngineState& state, ContainerPtr started, std::vector<LinkedContainer> known);

}  // namespace mydocker::engine
