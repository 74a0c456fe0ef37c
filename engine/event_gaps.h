#pragma once

#include <string>
#include <vector>

#include "engine/engine_state.h"

/// An engine that was killed between a commit and the event that tells of it leaves a gap in the event ring. What the
/// records know and the ring lacks is told at the next start. I/O thread; nothing blocks.
namespace mydocker::engine {

/// What a container's events in the ring say of its life.
struct ToldLife {
  bool created = false;
  bool destroyed = false;
  std::int64_t start_ns = 0;  ///< of the newest; 0 = none in the ring
  std::int64_t die_ns = 0;
  std::int64_t oom_ns = 0;
  const api::Event* newest = nullptr;
};

/// Which of create, start and die the ring lacks for this container; `oldest_ns` is where the ring begins: what
/// happened before it is not missing. Pure.
std::vector<std::string> missing_actions(const ContainerRecord& record, bool alive, const ToldLife& told,
                                         std::int64_t oldest_ns);

/// After the records are loaded and the shims found, before anything else is published: publishes what is missing,
/// also the `destroy` of containers that are gone, and marks what need not be told again.
void fill_event_gaps(EngineState& state);

}  // namespace mydocker::engine
