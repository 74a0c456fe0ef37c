#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/container.h"
#include "engine/engine_state.h"
#include "engine/options.h"
#include "runtime/health_report.h"

/// A container's health in the engine: what the shim is asked to probe, and what its reports lead to (WIRE 29). The
/// shim judges; here its reports become State.Health, events, and `HealthOnFailure`. I/O thread, except the pure
/// functions.
namespace mydocker::engine {

/// The probe's command, or nothing to probe: no test, "NONE", or a first word that is not known. Pure.
std::vector<std::string> find_health_command(const api::ContainerConfig& config);
/// Throws Error{invalid_argument} for a HostConfig.HealthOnFailure that is none of "", none, kill, restart, stop, or
/// that has no probe to act on. Pure.
void check_health_action(const api::HostConfig& host, const api::ContainerConfig& config);
/// nullopt: nothing to probe. Pure but for a seccomp profile that is read from a file.
std::optional<runtime::HealthOptions> plan_health(const ContainerRecord& record, const Options& options);

/// The container starts: "starting" with an empty log, or no State.Health at all.
void begin_health(Container& container);
/// It is paused or has ended: unhealthy, as in Docker.
void suspend_health(Container& container);
/// "health: starting", "healthy", ... for the status text; "" without probes.
std::string health_text(const Container& container);

void handle_probe_start(EngineState& state, Container& container, const std::string& exec_id);
/// Takes the report into the record, announces a change of the status, and acts on a container that has failed.
awaitable<void> handle_probe(EngineState& state, ContainerPtr container, runtime::ShimEvent event);
/// What a shim says about its container when it is taken over, or has just been started.
awaitable<void> adopt_health(EngineState& state, ContainerPtr container, runtime::HealthReport report);

}  // namespace mydocker::engine
