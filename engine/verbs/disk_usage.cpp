#include "engine/engine.h"
#include "engine/engine_state.h"
#include "engine/lifecycle.h"
#include "engine/tree_sizes.h"

/// GET /system/df (WIRE 28): sums of kept numbers.
namespace mydocker::engine {

awaitable<api::DiskUsage> Engine::disk_usage(DiskUsageOptions options) {
  EngineState& state = *state_;
  api::DiskUsage usage;
  if (options.images) {
    ImageListOptions wanted;
    wanted.shared_size = true;
    usage.images = co_await list_images(std::move(wanted));
    usage.layers_size_bytes = co_await blocking(state.disk_pool, [&] {
      std::int64_t total = 0;
      for (const storage::Layer& layer : state.layers->list()) total += layer.size_bytes;
      return total;
    });
  }
  if (options.containers) {
    ListOptions wanted;
    wanted.all = true;
    wanted.size = true;
    usage.containers = co_await list(std::move(wanted));
  }
  if (options.volumes) {
    Filters none;
    api::VolumeList listed = co_await list_volumes(std::move(none));
    std::vector<std::string> names;
    for (const api::Volume& volume : listed.volumes) names.push_back(volume.name);
    std::map<std::string, std::int64_t> sizes = co_await volume_sizes(state, std::move(names));
    for (api::Volume& volume : listed.volumes) {
      const auto users = static_cast<std::int64_t>(users_of_volume(state, volume.name).size());
      volume.usage_data = api::VolumeUsage{.reference_count = users, .size_bytes = sizes[volume.name]};
    }
    usage.volumes = std::move(listed.volumes);
  }
  if (options.build_cache) usage.build_cache.emplace();
  co_return usage;
}

}  // namespace mydocker::engine
