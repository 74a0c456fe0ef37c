#pragma once

#include <functional>
#include <string>

#include "engine/engine_state.h"

/// A container's way through start, exit and removal, shared by the verbs, the restart policy and recovery.
/// I/O thread only; the caller of launch, stop_now and remove_now holds the container's turn.
namespace mydocker::engine {

/// Starts it: shim, network, program; records and announces it. On failure nothing is left, the record says why, and
/// the error is thrown.
awaitable<void> launch(EngineState& state, ContainerPtr container);

/// Follows the events of a shim until it is gone and handles the exit. Runs by itself (spawn).
awaitable<void> watch_shim(EngineState& state, ContainerPtr container, UniqueFd events);

/// The exit of a container whose shim was killed, or ended while no engine ran: by its exit record, else as 137.
awaitable<void> handle_lost_exit(EngineState& state, ContainerPtr container);

/// Signal, grace period, SIGKILL; returns when the exit's bookkeeping is done. `timeout` < 0 waits for ever.
awaitable<void> stop_now(EngineState& state, ContainerPtr container, int signal, int timeout_seconds);
/// The verbs stop and restart with their events, for who holds the turn. A stop cancels the restart policy.
awaitable<void> stop_container(EngineState& state, ContainerPtr container, StopOptions options);
awaitable<void> restart_container(EngineState& state, ContainerPtr container, StopOptions options);
/// SIGKILL, and waits for the bookkeeping.
awaitable<void> kill_now(EngineState& state, ContainerPtr container);
/// Asks the shim to freeze or to thaw; false: the container has ended meanwhile. Blocks.
bool ask_freezer(const std::function<void()>& ask);
/// Returns when an exit that has begun is completely handled.
awaitable<void> wait_exit_handled(ContainerPtr container);

enum class AnonymousVolumes { keep, remove };
/// Removes a container that does not run: files, row, layers' reference, name, and its anonymous volumes.
awaitable<void> remove_now(EngineState& state, ContainerPtr container, AnonymousVolumes volumes);
/// IDs of the containers that mount the volume, running or not.
std::vector<std::string> users_of_volume(const EngineState& state, const std::string& name);

/// To those who wait for this run's end (or for its start, which failed); the record holds it.
void tell_ending(Container& container);
/// The attributes of its `die` beside the usual ones.
api::StringMap exit_attributes(const ContainerRecord& record);
/// The bookkeeping of an exit (also of one that happened while no engine ran).
awaitable<void> handle_exit(EngineState& state, ContainerPtr container, runtime::ExitRecord exit);
/// After the exit: waits for the back-off and starts again, if the policy says so. Runs by itself.
awaitable<void> restart_later(EngineState& state, ContainerPtr container);

/// Sends a signal through the shim; false when the process is gone.
awaitable<bool> send_signal(EngineState& state, ContainerPtr container, int signal);

}  // namespace mydocker::engine
