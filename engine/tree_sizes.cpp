#include "engine/tree_sizes.h"

#include <algorithm>

#include "engine/base/log.h"
#include "engine/engine_state.h"
#include "engine/lifecycle.h"

namespace mydocker::engine {
namespace {

constexpr int most_measurers = 3;  // of the disk pool's threads: starts and stops need the others
constexpr std::chrono::seconds settle_time{1};

std::int64_t nanoseconds_now() { return to_unix_nanoseconds(now()); }

TreeSizes::Tree container_tree(EngineState& state, const Container& container) {
  const ContainerRecord& record = container.record;
  return {.key = container_size_key(record.id),
          .live = is_alive(container.state),
          .changed_at = std::max(record.created, record.finished_at),
          .measure = [&state, id = record.id] { return state.container_layers->size_bytes(id); }};
}

TreeSizes::Tree volume_tree(EngineState& state, const std::string& name, std::int64_t created) {
  TreeSizes::Tree tree{.key = volume_size_key(name), .live = false, .changed_at = created, .measure = [&state, name] {
                         return state.volumes->size_bytes(name);
                       }};
  for (const std::string& id : users_of_volume(state, name)) {
    const ContainerPtr user = state.containers.find_by_id(id);
    if (!user) continue;
    tree.live = tree.live || is_alive(user->state);
    tree.changed_at = std::max({tree.changed_at, user->record.created, user->record.finished_at});
  }
  return tree;
}

}  // namespace

TreeSizes::TreeSizes(asio::any_io_executor io, asio::thread_pool& pool, storage::SizeLedger& ledger)
    : io_(std::move(io)), pool_(pool), ledger_(ledger), measured_(std::make_shared<Signal>(io_)) {}

void TreeSizes::load() {
  for (const auto& [key, size] : ledger_.load()) entries_[key].size = size;
}

bool TreeSizes::holds(const Entry& entry, const Tree& tree) const {
  return entry.size && !tree.live && entry.writers == 0 &&
         entry.size->measured_at > std::max(tree.changed_at, entry.changed_at);
}

awaitable<std::map<std::string, std::int64_t>> TreeSizes::ask(std::vector<Tree> trees) {
  std::vector<const Tree*> awaited;  // measured by a walk that begins after this call
  std::vector<const Tree*> hoped;    // the number before will do when the walk takes long
  const std::int64_t asked_at = nanoseconds_now();
  const std::shared_ptr<Signal> measured = measured_;  // a coroutine may outlive the engine for a moment
  for (const Tree& tree : trees) {
    const Entry& entry = entries_[tree.key];
    if (holds(entry, tree)) continue;
    const bool live = tree.live || entry.writers > 0;
    (live && entry.size ? hoped : awaited).push_back(&tree);
  }
  // A walk that was under way already may have missed what was written last: then another one follows it.
  const auto is_fresh = [&](const Tree* tree) {
    const auto entry = entries_.find(tree->key);
    if (entry == entries_.end() || entry->second.attempted_at >= asked_at) return true;
    start_measuring(*tree);
    return false;
  };
  const auto all_fresh = [&](const std::vector<const Tree*>& some) {
    return std::count_if(some.begin(), some.end(), is_fresh) == static_cast<std::ptrdiff_t>(some.size());
  };
  const auto deadline = std::chrono::steady_clock::now() + live_patience;
  while (!all_fresh(awaited)) co_await measured->wait();
  while (!all_fresh(hoped)) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= std::chrono::nanoseconds(0) || !co_await measured->wait_for(left)) break;
  }
  std::map<std::string, std::int64_t> sizes;
  for (const Tree& tree : trees) {
    const auto entry = entries_.find(tree.key);
    if (entry != entries_.end() && entry->second.size) sizes[tree.key] = entry->second.size->bytes;
  }
  co_return sizes;
}

void TreeSizes::start_measuring(const Tree& tree) {
  Entry& entry = entries_[tree.key];
  if (entry.measuring) return;
  entry.measuring = true;
  queue_.push_back(tree);
  if (measurers_ >= most_measurers) return;
  ++measurers_;
  spawn(io_, "measure trees", measure_queued());
}

awaitable<void> TreeSizes::measure_queued() {
  while (!queue_.empty()) {
    const Tree tree = std::move(queue_.front());
    queue_.pop_front();
    storage::TreeSize size;
    size.measured_at = nanoseconds_now();
    const bool live = tree.live || entries_[tree.key].writers > 0;
    std::optional<Error> failure;
    try {
      co_await blocking(pool_, [&] {
        size.bytes = tree.measure();
        if (!live) ledger_.keep(tree.key, size);
      });
    } catch (const Error& e) {
      failure = e;
    }
    if (const auto entry = entries_.find(tree.key); entry != entries_.end()) {
      entry->second.measuring = false;
      entry->second.attempted_at = size.measured_at;
      if (!failure) entry->second.size = size;
    }
    if (failure && failure->kind() != ErrorKind::not_found) {
      log::warn("a tree cannot be measured", {{"tree", tree.key}, {"error", failure->message()}});
    }
    measured_->notify_all();
  }
  --measurers_;
}

awaitable<void> TreeSizes::begin_change(std::string key) {
  ++entries_[key].writers;
  co_await blocking(pool_, [&] { ledger_.forget({key}); });
}

void TreeSizes::end_change(const std::string& key) {
  Entry& entry = entries_[key];
  --entry.writers;
  entry.changed_at = nanoseconds_now();
}

std::string container_size_key(const std::string& id) { return "container:" + id; }

std::string volume_size_key(const std::string& name) { return "volume:" + name; }

std::vector<std::string> size_keys(const ContainerRecord& record) {
  std::vector<std::string> keys = {container_size_key(record.id)};
  for (const auto& [target, name] : record.volume_names) keys.push_back(volume_size_key(name));
  return keys;
}

awaitable<std::map<std::string, std::int64_t>> container_sizes(EngineState& state,
                                                               std::vector<ContainerPtr> containers) {
  std::vector<TreeSizes::Tree> trees;
  for (const ContainerPtr& container : containers) trees.push_back(container_tree(state, *container));
  const std::map<std::string, std::int64_t> sizes = co_await state.tree_sizes->ask(std::move(trees));
  std::map<std::string, std::int64_t> out;
  for (const ContainerPtr& container : containers) {
    const auto found = sizes.find(container_size_key(container->id()));
    out[container->id()] = found == sizes.end() ? 0 : found->second;
  }
  co_return out;
}

awaitable<std::map<std::string, std::int64_t>> volume_sizes(EngineState& state, std::vector<std::string> names) {
  const std::vector<storage::Volume> volumes = co_await blocking(state.disk_pool, [&] {
    std::vector<storage::Volume> found;
    for (const std::string& name : names) {
      if (std::optional<storage::Volume> volume = state.volumes->find(name)) found.push_back(std::move(*volume));
    }
    return found;
  });
  std::vector<TreeSizes::Tree> trees;
  std::map<std::string, std::int64_t> out;
  for (const storage::Volume& volume : volumes) {
    if (!volume.options.empty()) {
      out[volume.name] = -1;
    } else {
      trees.push_back(volume_tree(state, volume.name, to_unix_nanoseconds(volume.created)));
    }
  }
  const std::map<std::string, std::int64_t> sizes = co_await state.tree_sizes->ask(std::move(trees));
  for (const storage::Volume& volume : volumes) {
    if (const auto found = sizes.find(volume_size_key(volume.name)); found != sizes.end()) {
      out[volume.name] = found->second;
    }
  }
  co_return out;
}

awaitable<void> settle_sizes(EngineState& state, ContainerPtr container) {
  const std::shared_ptr<const Ending> next_run = container->ending;
  const auto deadline = std::chrono::steady_clock::now() + settle_time;
  for (;;) {
    if (state.stopping || container->removed || next_run->known || is_alive(container->state)) co_return;
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= std::chrono::nanoseconds(0)) break;
    co_await container->changed.wait_for(left);
  }
  co_await container_sizes(state, {container});
  std::vector<std::string> names;
  for (const auto& [target, name] : container->record.volume_names) names.push_back(name);
  if (!names.empty()) co_await volume_sizes(state, names);
}

}  // namespace mydocker::engine
