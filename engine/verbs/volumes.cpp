#include <algorithm>

#include "engine/engine.h"
#include "engine/engine_state.h"
#include "engine/lifecycle.h"
#include "engine/list_filters.h"
#include "engine/prune_filter.h"

/// Volumes (WIRE 25). The data is storage's; who uses a volume is known here.
namespace mydocker::engine {
namespace {

api::Volume to_api(const storage::Volume& volume) {
  api::Volume out;
  out.created_at = volume.created;
  out.driver = "local";
  out.mountpoint = volume.mountpoint;
  out.name = volume.name;
  out.scope = "local";
  if (volume.has_labels) out.labels = volume.labels;
  if (volume.has_options) out.options = volume.options;
  return out;
}

bool accepts(const Filters& filters, const storage::Volume& volume, bool used) {
  for (const auto& [key, values] : filters) {
    if (values.empty()) continue;
    bool good = true;
    if (key == "dangling") {
      good = parse_bool_filter(key, values) != used;
    } else if (key == "name") {
      good = std::any_of(values.begin(), values.end(), [&](const auto& v) { return matches_name(v, volume.name); });
    } else if (key == "driver") {
      good = std::find(values.begin(), values.end(), "local") != values.end();
    } else if (key == "label") {
      good = has_labels(volume.labels, values);
    } else {
      throw Error(ErrorKind::invalid_argument, concat("invalid filter '", key, "'"));
    }
    if (!good) return false;
  }
  return true;
}

}  // namespace

awaitable<api::Volume> Engine::create_volume(api::VolumeCreateRequest request) {
  EngineState& state = *state_;
  const storage::VolumeRequest wanted{.name = request.name,
                                      .driver = request.driver.empty() ? "local" : request.driver,
                                      .labels = request.labels,
                                      .options = request.driver_opts};
  bool existed = false;
  const storage::Volume volume = co_await blocking(state.disk_pool, [&] {
    existed =
        !wanted.name.empty() && storage::is_volume_name(wanted.name) && state.volumes->find(wanted.name).has_value();
    return state.volumes->create(wanted);
  });
  if (!existed) state.events.publish("volume", "create", volume.name, {{"driver", "local"}});
  co_return to_api(volume);
}

awaitable<api::VolumeList> Engine::list_volumes(Filters filters) {
  EngineState& state = *state_;
  const std::vector<storage::Volume> volumes =
      co_await blocking(state.disk_pool, [&] { return state.volumes->list(); });
  api::VolumeList out;
  for (const storage::Volume& volume : volumes) {
    if (accepts(filters, volume, !users_of_volume(state, volume.name).empty())) out.volumes.push_back(to_api(volume));
  }
  co_return out;
}

awaitable<api::Volume> Engine::inspect_volume(std::string name) {
  EngineState& state = *state_;
  co_return to_api(co_await blocking(state.disk_pool, [&] { return state.volumes->get(name); }));
}

awaitable<void> Engine::remove_volume(std::string name, bool force) {
  EngineState& state = *state_;
  const std::vector<std::string> users = users_of_volume(state, name);
  if (!users.empty()) {
    std::string list;
    for (const std::string& id : users) list += (list.empty() ? "" : ", ") + id;
    throw Error(ErrorKind::conflict, concat("remove ", name, ": volume is in use - [", list, "]"));
  }
  bool absent = false;
  try {
    co_await blocking(state.disk_pool, [&] {
      state.volumes->remove(name);
      state.size_ledger->forget({volume_size_key(name)});
    });
    state.tree_sizes->drop(volume_size_key(name));
  } catch (const Error& e) {
    if (!force || e.kind() != ErrorKind::not_found) throw;
    absent = true;
  }
  if (!absent) state.events.publish("volume", "destroy", name, {{"driver", "local"}});
}

awaitable<api::VolumesPruneReport> Engine::prune_volumes(Filters filters, int api_minor) {
  EngineState& state = *state_;
  const PruneFilter filter(filters, {"all"});
  const PruneGuard guard(state.pruning_volumes);
  constexpr int anonymous_only_since = 42;
  const auto all = filters.find("all");
  const bool everything = api_minor < anonymous_only_since ||
                          (all != filters.end() && !all->second.empty() && parse_bool_filter("all", all->second));
  const std::vector<storage::Volume> volumes =
      co_await blocking(state.disk_pool, [&] { return state.volumes->list(); });
  api::VolumesPruneReport report{.volumes_deleted = api::StringList{}};
  for (const storage::Volume& volume : volumes) {
    if (!everything && !volume.anonymous) continue;
    if (!filter.accepts(volume.created, volume.labels) || !users_of_volume(state, volume.name).empty()) continue;
    const std::map<std::string, std::int64_t> sizes = co_await volume_sizes(state, {volume.name});
    // Asked again: somebody may have mounted it meanwhile.
    if (!users_of_volume(state, volume.name).empty()) continue;
    co_await blocking(state.disk_pool, [&] {
      state.volumes->remove(volume.name);
      state.size_ledger->forget({volume_size_key(volume.name)});
    });
    state.tree_sizes->drop(volume_size_key(volume.name));
    if (const auto found = sizes.find(volume.name); found != sizes.end() && found->second > 0) {
      report.space_reclaimed_bytes += static_cast<std::uint64_t>(found->second);
    }
    report.volumes_deleted->push_back(volume.name);
    state.events.publish("volume", "destroy", volume.name, {{"driver", "local"}});
  }
  state.events.publish("volume", "prune", "", {{"reclaimed", std::to_string(report.space_reclaimed_bytes)}});
  co_return report;
}

}  // namespace mydocker::engine
