#include "engine/base/log.h"
#include "engine/engine.h"
#include "engine/engine_state.h"
#include "engine/lifecycle.h"
#include "engine/prune_filter.h"

/// ContainerPrune, ImagePrune.
namespace mydocker::engine {
awaitable<api::ContainersPruneReport> Engine::prune_containers(Filters filters) {
  EngineState& state = *state_;
  const PruneFilter filter(filters);
  const PruneGuard guard(state.pruning_containers);
  api::ContainersPruneReport report;
  for (const ContainerPtr& container : state.containers.list()) {
    if (derive_flags(container->state).running ||
        !filter.accepts(from_unix_nanoseconds(container->record.created), container->record.config.labels)) {
      continue;
    }
    const Turn turn = co_await container->turns.take();
    if (container->removed || derive_flags(container->state).running) continue;
    const std::string id = container->id();
    try {
      const std::map<std::string, std::int64_t> written = co_await container_sizes(state, {container});
      co_await remove_now(state, container, AnonymousVolumes::keep);
      report.space_reclaimed_bytes += static_cast<std::uint64_t>(written.at(id));
      if (!report.containers_deleted) report.containers_deleted.emplace();
      report.containers_deleted->push_back(id);
    } catch (const Error& e) {
      log::warn("prune leaves a container", {{"container", id}, {"error", e.message()}});
    }
  }
  state.events.publish("container", "prune", "", {{"reclaimed", std::to_string(report.space_reclaimed_bytes)}});
  co_return report;
}

awaitable<api::ImagesPruneReport> Engine::prune_images(Filters filters) {
  EngineState& state = *state_;
  const PruneFilter filter(filters, {"dangling"});
  const PruneGuard guard(state.pruning_images);
  const auto dangling = filters.find("dangling");
  const bool only_dangling =
      dangling == filters.end() || dangling->second.empty() || parse_bool_filter("dangling", dangling->second);
  const std::vector<image::ImageUse> uses = list_image_uses(state);
  api::ImagesPruneReport report;
  std::vector<std::pair<std::string, std::string>> told;  // action, image ID
  co_await blocking(state.disk_pool, [&] {
    for (const image::Image& image : state.images->list()) {
      const bool used =
          std::any_of(uses.begin(), uses.end(), [&](const auto& use) { return use.image_id == image.id; });
      if (used || (only_dangling && !image.repo_tags.empty())) continue;
      if (!state.images->children(image.id).empty()) continue;
      if (!filter.accepts(image.created, image.config().labels.value_or(api::StringMap{}))) continue;
      const std::vector<image::DeletedItem> items =
          state.images->remove(image.id.text(), {.force = true, .noprune = false}, uses);
      if (!report.images_deleted) report.images_deleted.emplace();
      for (const image::DeletedItem& item : items) {
        report.images_deleted->push_back(api::DeleteItem{item.untagged, item.deleted});
        if (!item.untagged.empty()) told.emplace_back("untag", image.id.text());
        if (!item.deleted.empty() && !item.is_layer) told.emplace_back("delete", item.deleted);
      }
      report.space_reclaimed_bytes += static_cast<std::uint64_t>(image.size_bytes);
    }
  });
  for (const auto& [action, id] : told) state.events.publish("image", action, id, {{"name", id}});
  state.events.publish("image", "prune", "", {{"reclaimed", std::to_string(report.space_reclaimed_bytes)}});
  co_return report;
}

void Engine::note_build_cache_pruned() { state_->events.publish("builder", "prune", "", {{"reclaimed", "0"}}); }

}  // namespace mydocker::engine
