#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/async.h"
#include "engine/container.h"
#include "storage/size_ledger.h"

/// Sizes of what is written at run time: containers' writable layers (SizeRw) and volumes. A tree at rest is measured
/// once, shortly after the last run that could write to it; asking is a look-up then. The kernel tells nobody when a
/// running program changes a file's size, so a live tree is measured when somebody asks, but nobody waits longer than
/// `live_patience` for that: the number before is given, and the new one is there for the next who asks.
/// contrib/decisions/0007-kept-sizes.md has the reasons.
namespace mydocker::engine {

struct EngineState;

inline constexpr std::chrono::milliseconds live_patience{50};

/// The kept numbers and the measuring. I/O thread only.
class TreeSizes {
 public:
  TreeSizes(asio::any_io_executor io, asio::thread_pool& pool, storage::SizeLedger& ledger);

  /// One tree whose size is wanted.
  struct Tree {
    std::string key;
    bool live = false;                      ///< somebody may be writing now
    std::int64_t changed_at = 0;            ///< when somebody could last write; nanoseconds since 1970
    std::function<std::int64_t()> measure;  ///< blocks; runs on the pool
  };
  /// The sizes, by key. A tree that cannot be measured (removed meanwhile) is left out.
  awaitable<std::map<std::string, std::int64_t>> ask(std::vector<Tree> trees);
  /// Somebody is going to write to a tree at rest: its number is forgotten durably. Await it before the writing.
  awaitable<void> begin_change(std::string key);
  /// The writing is over.
  void end_change(const std::string& key);
  /// The tree is gone. Its row is the caller's to remove (SizeLedger::forget).
  void drop(const std::string& key) { entries_.erase(key); }
  /// Reads the kept numbers; at the engine's start. Blocks.
  void load();

 private:
  struct Entry {
    std::optional<storage::TreeSize> size;
    std::int64_t changed_at = 0;  ///< by begin_change and end_change
    int writers = 0;
    bool measuring = false;
    std::int64_t attempted_at = 0;  ///< when the last walk began that has ended
  };
  bool holds(const Entry& entry, const Tree& tree) const;
  void start_measuring(const Tree& tree);
  awaitable<void> measure_queued();

  asio::any_io_executor io_;
  asio::thread_pool& pool_;
  storage::SizeLedger& ledger_;
  std::map<std::string, Entry> entries_;
  std::deque<Tree> queue_;
  int measurers_ = 0;
  std::shared_ptr<Signal> measured_;
};

/// Full ID -> bytes that the container wrote (SizeRw).
awaitable<std::map<std::string, std::int64_t>> container_sizes(EngineState& state,
                                                               std::vector<ContainerPtr> containers);
/// Name -> bytes; -1 for a volume that is a mount of something else (driver options type, o, device).
awaitable<std::map<std::string, std::int64_t>> volume_sizes(EngineState& state, std::vector<std::string> names);
std::string container_size_key(const std::string& id);
std::string volume_size_key(const std::string& name);
/// All that a run of the container may write to.
std::vector<std::string> size_keys(const ContainerRecord& record);
/// Measures what the container's run may have changed, once nothing has started again for a moment. Runs by itself.
awaitable<void> settle_sizes(EngineState& state, ContainerPtr container);

}  // namespace mydocker::engine
