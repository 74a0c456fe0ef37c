#include "engine/event_gaps.h"

#include <map>

#include "engine/lifecycle.h"

namespace mydocker::engine {
namespace {

std::map<std::string, ToldLife> read_lives(const std::deque<api::Event>& ring) {
  std::map<std::string, ToldLife> lives;
  for (const api::Event& event : ring) {
    if (event.type != "container" || event.actor.id.empty()) continue;
    ToldLife& life = lives[event.actor.id];
    life.newest = &event;
    if (event.action == "create") life.created = true;
    if (event.action == "start") life.start_ns = event.time_ns;
    if (event.action == "die") life.die_ns = event.time_ns;
    if (event.action == "oom") life.oom_ns = event.time_ns;
    if (event.action == "destroy") life.destroyed = true;
  }
  return lives;
}

}  // namespace

std::vector<std::string> missing_actions(const ContainerRecord& record, bool alive, const ToldLife& told,
                                         std::int64_t oldest_ns) {
  std::vector<std::string> missing;
  if (!told.created && record.created >= oldest_ns) missing.emplace_back("create");
  const bool run_is_new = record.started_at >= oldest_ns && record.started_at != 0;
  const bool start_told = told.start_ns >= record.started_at;
  if (run_is_new && !start_told) missing.emplace_back("start");
  const bool ended = !alive && record.finished_at > record.started_at;
  const bool die_told = told.die_ns >= record.started_at;
  if (run_is_new && ended && !die_told) missing.emplace_back("die");
  return missing;
}

void fill_event_gaps(EngineState& state) {
  if (state.events.recent().empty()) return;
  const std::deque<api::Event> ring = state.events.recent();  // a copy: publishing moves the ring
  const std::int64_t oldest_ns = ring.front().time_ns;
  const std::map<std::string, ToldLife> lives = read_lives(ring);
  for (const ContainerPtr& container : state.containers.list()) {
    const auto found = lives.find(container->id());
    const ToldLife told = found == lives.end() ? ToldLife{} : found->second;
    const bool alive = is_alive(container->state);
    container->recovered = true;
    container->die_announced = alive && told.die_ns != 0 && told.die_ns >= container->record.started_at;
    container->oom_announced = told.oom_ns >= container->record.started_at && told.oom_ns != 0;
    for (const std::string& action : missing_actions(container->record, alive, told, oldest_ns)) {
      publish(state, *container, action, action == "die" ? exit_attributes(container->record) : api::StringMap{});
    }
  }
  for (const auto& [id, life] : lives) {
    if (life.destroyed || state.containers.find_by_id(id)) continue;
    api::StringMap attributes = life.newest->actor.attributes;
    for (const char* own : {"exitCode", "execDuration", "execID", "signal", "oldName", "height", "width"}) {
      attributes.erase(own);
    }
    state.events.publish("container", "destroy", id, std::move(attributes), life.newest->from);
  }
}

}  // namespace mydocker::engine
