#pragma once

#include <string>

#include "engine/engine_state.h"

/// Exec sessions' bookkeeping (WIRE 6.3). I/O thread only.
namespace mydocker::engine {

/// The process of a session has ended: visible in inspect from now on, announced.
void finish_exec(EngineState& state, Container& container, const std::string& exec_id, int exit_code);
/// The container has ended: so have its sessions (exit code 137).
void end_execs(EngineState& state, Container& container);
/// Forgets sessions that ended more than five minutes ago.
void forget_old_execs(EngineState& state);

}  // namespace mydocker::engine
