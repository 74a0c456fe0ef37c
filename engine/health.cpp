#include "engine/health.h"

#include "engine/base/log.h"
#include "engine/launch_plan.h"
#include "engine/lifecycle.h"

namespace mydocker::engine {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::nanoseconds default_interval = 30s;
constexpr std::chrono::nanoseconds default_timeout = 30s;
constexpr std::chrono::nanoseconds default_start_interval = 5s;
constexpr std::int64_t default_retries = 3;
constexpr const char* unhealthy = "unhealthy";

std::int64_t or_default(std::int64_t value, std::chrono::nanoseconds fallback) {
  return value != 0 ? value : fallback.count();
}

std::int64_t retries_of(const ContainerRecord& record) {
  const std::int64_t wanted = record.config.healthcheck ? record.config.healthcheck->retries : 0;
  return wanted != 0 ? wanted : default_retries;
}

std::string command_text(const ContainerRecord& record) {
  std::string text;
  for (const std::string& word : find_health_command(record.config)) text += (text.empty() ? "" : " ") + word;
  return text;
}

api::HealthLogEntry make_entry(const runtime::HealthProbe& probe) {
  return {.start = from_unix_nanoseconds(probe.start_ns),
          .end = from_unix_nanoseconds(probe.end_ns),
          .exit_code = probe.exit_code,
          .output = probe.output};
}

/// restart and stop; `kill` is the shim's, which needs no engine for it.
awaitable<void> act_on_failure(EngineState& state, ContainerPtr container) {
  const std::string& action = container->record.host_config.health_on_failure;
  log::warn("container is unhealthy", {{"container", container->id()}, {"action", action}});
  const Turn turn = co_await container->turns.take();
  const bool still = container->state == ContainerState::running && container->record.health &&
                     container->record.health->status == unhealthy;
  if (!still || container->removed) co_return;
  if (action == "restart") {
    co_await restart_container(state, container, StopOptions{});
  } else {
    co_await stop_container(state, container, StopOptions{});
  }
}

void act_if_failed(EngineState& state, const ContainerPtr& container) {
  const std::string& action = container->record.host_config.health_on_failure;
  if (action != "restart" && action != "stop") return;
  if (container->state != ContainerState::running || container->record.health->status != unhealthy) return;
  spawn(state.io, "health action " + container->id(), act_on_failure(state, container));
}

/// The row changes with the status only: who asks for the log after a crash gets it from the shim.
awaitable<void> announce_status(EngineState& state, ContainerPtr container, std::string before) {
  const std::string status = container->record.health->status;
  if (status == before) co_return;
  publish(state, *container, "health_status: " + status);
  co_await save_record(state, container);
}

}  // namespace

std::vector<std::string> find_health_command(const api::ContainerConfig& config) {
  if (!config.healthcheck || config.healthcheck->test.size() < 2) return {};
  const api::StringList& test = config.healthcheck->test;
  std::vector<std::string> command;
  if (test.front() == "CMD-SHELL") {
    command = {"/bin/sh", "-c"};
    if (!config.shell.empty()) command = config.shell;
  } else if (test.front() != "CMD") {
    return {};
  }
  command.insert(command.end(), test.begin() + 1, test.end());
  return command;
}

void check_health_action(const api::HostConfig& host, const api::ContainerConfig& config) {
  const std::string& action = host.health_on_failure;
  if (action.empty() || action == "none") return;
  if (action != "kill" && action != "restart" && action != "stop") {
    throw Error(ErrorKind::invalid_argument,
                concat("invalid HealthOnFailure '", action, "': must be one of none, kill, restart, stop"));
  }
  if (find_health_command(config).empty()) {
    throw Error(ErrorKind::invalid_argument,
                concat("HealthOnFailure '", action, "' needs a healthcheck, and this container has none"));
  }
}

std::optional<runtime::HealthOptions> plan_health(const ContainerRecord& record, const Options& options) {
  api::ExecCreateRequest request;
  request.cmd = find_health_command(record.config);
  if (request.cmd.empty()) {
    if (record.config.healthcheck && !record.config.healthcheck->test.empty() &&
        record.config.healthcheck->test.front() != "NONE") {
      log::warn("unknown healthcheck: nothing is probed",
                {{"container", record.id}, {"test", record.config.healthcheck->test.front()}});
    }
    return std::nullopt;
  }
  const api::HealthConfig& wanted = *record.config.healthcheck;
  runtime::HealthOptions health;
  health.process = to_json(plan_exec_process(record, request, options));
  health.interval_ns = or_default(wanted.interval_ns, default_interval);
  health.timeout_ns = or_default(wanted.timeout_ns, default_timeout);
  health.start_period_ns = wanted.start_period_ns;
  health.start_interval_ns = or_default(wanted.start_interval_ns, default_start_interval);
  health.retries = retries_of(record);
  health.kill_when_unhealthy = record.host_config.health_on_failure == "kill";
  return health;
}

void begin_health(Container& container) {
  container.record.health.reset();
  if (!find_health_command(container.record.config).empty()) {
    container.record.health = api::Health{.status = "starting", .failing_streak = 0, .log = {}};
  }
}

void suspend_health(Container& container) {
  if (container.record.health) container.record.health->status = unhealthy;
}

std::string health_text(const Container& container) {
  if (!container.record.health) return "";
  const std::string& status = container.record.health->status;
  return status == "starting" ? "health: starting" : status;
}

void handle_probe_start(EngineState& state, Container& container, const std::string& exec_id) {
  const std::string command = command_text(container.record);
  publish(state, container, "exec_create: " + command, {{"execID", exec_id}});
  publish(state, container, "exec_start: " + command, {{"execID", exec_id}});
}

awaitable<void> handle_probe(EngineState& state, ContainerPtr container, runtime::ShimEvent event) {
  publish(state, *container, "exec_die", {{"execID", event.exec_id}, {"exitCode", std::to_string(event.exit_code)}});
  std::optional<api::Health>& health = container->record.health;
  if (!event.health || event.health->log.empty() || !health) co_return;
  const std::string before = health->status;
  health->status = event.health->status;
  health->failing_streak = event.health->failing_streak;
  health->log.push_back(make_entry(event.health->log.back()));
  if (health->log.size() > runtime::max_health_log) health->log.erase(health->log.begin());
  co_await announce_status(state, container, before);
  if (event.health->failing_streak >= retries_of(container->record)) act_if_failed(state, container);
}

awaitable<void> adopt_health(EngineState& state, ContainerPtr container, runtime::HealthReport report) {
  const std::string before = container->record.health ? container->record.health->status : "starting";
  api::Health health{.status = report.status, .failing_streak = report.failing_streak, .log = {}};
  for (const runtime::HealthProbe& probe : report.log) health.log.push_back(make_entry(probe));
  container->record.health = std::move(health);
  co_await announce_status(state, container, before);
  if (report.failing_streak >= retries_of(container->record)) act_if_failed(state, container);
}

}  // namespace mydocker::engine
