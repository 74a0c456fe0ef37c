#include "engine/exec_sessions.h"

#include <algorithm>
#include <csignal>

namespace mydocker::engine {
namespace {
constexpr std::chrono::minutes kept_after_end{5};
}

void finish_exec(EngineState& state, Container& container, const std::string& exec_id, int exit_code) {
  const auto found = container.execs.find(exec_id);
  if (found == container.execs.end() || found->second->exit_code) return;
  Exec& exec = *found->second;
  exec.running = false;
  exec.exit_code = exit_code;
  exec.ended = std::chrono::steady_clock::now();
  const auto told = [&](const api::Event& event) {
    const auto id = event.actor.attributes.find("execID");
    return event.action == "exec_die" && id != event.actor.attributes.end() && id->second == exec_id;
  };
  const auto& ring = state.events.recent();
  if (!container.recovered || std::none_of(ring.begin(), ring.end(), told)) {
    publish(state, container, "exec_die", {{"execID", exec_id}, {"exitCode", std::to_string(exit_code)}});
  }
  container.changed.notify_all();
}

void end_execs(EngineState& state, Container& container) {
  for (const auto& [id, exec] : container.execs) {
    if (exec->running) finish_exec(state, container, id, 128 + SIGKILL);
  }
}

void forget_old_execs(EngineState& state) {
  const auto oldest = std::chrono::steady_clock::now() - kept_after_end;
  std::erase_if(state.execs, [&](const auto& entry) {
    const Exec& exec = *entry.second;
    if (!exec.exit_code || exec.ended > oldest) return false;
    if (const ContainerPtr container = state.containers.find_by_id(exec.container_id)) container->execs.erase(exec.id);
    return true;
  });
}

}  // namespace mydocker::engine
