#include "engine/container_view.h"
#include "engine/engine.h"
#include "engine/engine_state.h"
#include "engine/list_filters.h"

/// ContainerInspect, ContainerList (WIRE 14, 15).
namespace mydocker::engine {
namespace {

ViewContext make_context(const EngineState& state, const std::string& id) {
  return ViewContext{.options = &state.options,
                     .paths = &state.paths,
                     .sandbox_key = sandbox_key(state, id),
                     .now = now(),
                     .plain_networks = &state.plain_networks};
}

/// The names that linked containers gave this one: "/web/db" beside "/db".
void add_link_names(const EngineState& state, std::vector<api::ContainerSummary>& out) {
  std::map<std::string, std::vector<std::string>> names;
  for (const ContainerPtr& container : state.containers.list()) {
    for (const LinkRecord& link : container->record.links) {
      names[link.target_id].push_back(concat("/", container->name(), "/", link.alias));
    }
  }
  for (api::ContainerSummary& summary : out) {
    if (const auto found = names.find(summary.id); found != names.end()) {
      summary.names.insert(summary.names.end(), found->second.begin(), found->second.end());
    }
  }
}

/// What the image's layers take, from their rows. Blocks.
std::int64_t image_bytes(EngineState& state, const std::string& chain_id) {
  std::int64_t sum = 0;
  if (chain_id.empty()) return sum;
  for (const storage::Layer& layer : state.layers->stack(Digest::parse(chain_id))) sum += layer.size_bytes;
  return sum;
}

/// SizeRw and SizeRootFs of the listed containers; layers that many share are looked up once.
awaitable<void> set_sizes(EngineState& state, std::vector<ContainerPtr> containers,
                          std::vector<api::ContainerSummary>& out) {
  const std::map<std::string, std::int64_t> written = co_await container_sizes(state, containers);
  std::map<std::string, std::int64_t> below;
  for (const ContainerPtr& container : containers) below.emplace(container->record.chain_id, 0);
  co_await blocking(state.disk_pool, [&] {
    for (auto& [chain, bytes] : below) bytes = image_bytes(state, chain);
  });
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::int64_t own = written.at(out[i].id);
    out[i].size_rw_bytes = own;
    out[i].size_root_fs_bytes = own + below.at(containers[i]->record.chain_id);
  }
}

std::set<std::string> find_ancestors(EngineState& state, const std::vector<std::string>& names) {
  std::set<std::string> ids;
  std::vector<Digest> open;
  for (const std::string& name : names) {
    try {
      if (const auto image = state.images->find(name)) open.push_back(image->id);
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::invalid_argument) throw;  // no image can have that name
    }
  }
  while (!open.empty()) {
    const Digest id = open.back();
    open.pop_back();
    if (!ids.insert(id.text()).second) continue;
    for (const Digest& child : state.images->children(id)) open.push_back(child);
  }
  return ids;
}

/// The reference of its creation, or the image's ID when that reference means another image by now.
void set_images(EngineState& state, std::vector<api::ContainerSummary>& summaries) {
  std::map<std::string, std::string> meaning;
  for (api::ContainerSummary& summary : summaries) {
    if (summary.image.empty() || summary.image_id.empty()) continue;
    auto known = meaning.find(summary.image);
    if (known == meaning.end()) {
      std::string id;
      try {
        if (const auto image = state.images->find(summary.image)) id = image->id.text();
      } catch (const Error&) {
        // A reference that no longer parses means no image: the ID is shown.
      }
      known = meaning.emplace(summary.image, id).first;
    }
    if (known->second != summary.image_id) summary.image = summary.image_id;
  }
}

}  // namespace

awaitable<api::ContainerInspect> Engine::inspect(std::string id, bool size) {
  EngineState& state = *state_;
  const ContainerPtr container = state.containers.get(id);
  api::ContainerInspect out = make_inspect(*container, make_context(state, container->id()));
  const std::string full_id = container->id();
  const std::string chain = container->record.chain_id;
  if (!chain.empty()) {
    const std::vector<std::string> lower =
        co_await blocking(state.disk_pool, [&] { return state.layers->lower_dirs(Digest::parse(chain)); });
    std::string joined;
    for (const std::string& dir : lower) joined += (joined.empty() ? "" : ":") + dir;
    (*out.graph_driver.data)["LowerDir"] = joined;
  }
  if (size) {
    const std::map<std::string, std::int64_t> written = co_await container_sizes(state, {container});
    out.size_rw_bytes = written.at(full_id);
    out.size_root_fs_bytes =
        written.at(full_id) + co_await blocking(state.disk_pool, [&] { return image_bytes(state, chain); });
  }
  co_return out;
}

awaitable<std::vector<api::ContainerSummary>> Engine::list(ListOptions options) {
  EngineState& state = *state_;
  std::set<std::string> ancestors;
  if (const auto names = options.filters.find("ancestor"); names != options.filters.end()) {
    ancestors = co_await blocking(state.disk_pool, [&] { return find_ancestors(state, names->second); });
  }
  const ContainerFilter filter(options.filters, state.containers, std::move(ancestors));
  const bool all = options.all || options.limit > 0 || filter.looks_at_all();
  std::vector<api::ContainerSummary> out;
  std::vector<ContainerPtr> listed;
  const Timestamp time = now();
  for (const ContainerPtr& container : state.containers.list()) {
    if (options.limit > 0 && out.size() >= static_cast<std::size_t>(options.limit)) break;
    if (!all && !derive_flags(container->state).running) continue;
    if (!filter.accepts(*container)) continue;
    ViewContext context = make_context(state, container->id());
    context.now = time;
    out.push_back(make_summary(*container, context));
    listed.push_back(container);
  }
  if (out.empty()) co_return out;
  add_link_names(state, out);
  co_await blocking(state.disk_pool, [&] { set_images(state, out); });
  if (options.size) co_await set_sizes(state, std::move(listed), out);
  co_return out;
}

}  // namespace mydocker::engine
