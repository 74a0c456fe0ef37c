#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "image/manifest.h"
#include "image/progress.h"
#include "image/pull.h"
#include "image/registry_client.h"
#include "storage/layer_store.h"

/// Fetching the layers of one image: several at once, shared between pulls (WIRE 19.1).
namespace mydocker::image {

/// How many downloads run at once in the whole engine. Thread-safe.
class DownloadSlots {
 public:
  explicit DownloadSlots(unsigned count) : free_(count == 0 ? 1 : count) {}

  /// Gives its slot back when it goes.
  class Slot {
   public:
    explicit Slot(DownloadSlots* slots) : slots_(slots) {}
    Slot(Slot&& other) noexcept : slots_(std::exchange(other.slots_, nullptr)) {}
    Slot& operator=(Slot&&) = delete;
    ~Slot() {
      if (slots_ != nullptr) slots_->give_back();
    }

   private:
    DownloadSlots* slots_;
  };
  /// Blocks until one is free. Throws Error{unavailable} when stopped.
  Slot acquire(const std::stop_token& stop);

 private:
  void give_back();

  std::mutex mutex_;
  std::condition_variable_any changed_;
  unsigned free_;
};

/// Phase of a layer, told to every pull that waits for it; each puts its own id on the line.
using LayerListener = std::function<void(std::string_view status, const ProgressDetail& detail)>;

/// One layer on its way from a registry into the store, for all pulls that want it. Thread-safe.
class LayerTransfer {
 public:
  /// `listener` is called until unlisten() with the same key has returned.
  void listen(const void* key, LayerListener listener);
  void unlisten(const void* key);
  void tell(std::string_view status, const ProgressDetail& detail = {});

  /// The leader's last words: the unpacked and verified layer, or that it failed.
  void succeed(std::unique_ptr<storage::LayerWriter> writer);
  void fail();
  /// Blocks. true: unpacked; false: whoever led it failed. Throws Error{unavailable} when stopped.
  bool wait(const std::stop_token& stop);

  /// The finished writer; null once some pull has committed it. Only under LayerTransfers::commit_mutex.
  std::unique_ptr<storage::LayerWriter> writer;

 private:
  enum class State { running, unpacked, failed };
  std::mutex mutex_;
  std::condition_variable_any changed_;
  State state_ = State::running;
  std::vector<std::pair<const void*, LayerListener>> listeners_;
};

/// The transfers under way, by chain ID. Thread-safe.
class LayerTransfers {
 public:
  struct Joined {
    std::shared_ptr<LayerTransfer> transfer;
    bool leads = false;  ///< the caller must fetch it, and end it with succeed() or fail()
  };
  Joined join(const Digest& chain_id);
  /// A failed one: the next to join leads a new one.
  void forget(const Digest& chain_id, const LayerTransfer* transfer);

  /// Held while a pull commits its layers: pulls that share layers take turns.
  std::mutex commit_mutex;

 private:
  std::mutex mutex_;
  std::map<Digest, std::weak_ptr<LayerTransfer>> running_;
};

/// What all pulls share.
struct PullContext {
  const PullerOptions& options;
  storage::LayerStore& layers;
  DownloadSlots& slots;
  LayerTransfers& transfers;
};

/// One layer of an image.
struct WantedLayer {
  Descriptor blob;
  Digest diff_id;
  Digest chain_id;
};

/// Brings all layers (bottom first) into the store and retains them for `owner`: blob digest, diff ID and sizes
/// verified, either all or none of the missing ones committed. Blocks; starts threads of its own. `sink` is called by
/// one thread at a time. Throws what the registry, the data or the store throws; Error{unavailable} when stopped.
void fetch_layers(const PullContext& context, RegistryClient& client, const std::vector<WantedLayer>& layers,
                  const std::string& owner, const ProgressSink& sink, const std::stop_token& stop);

}  // namespace mydocker::image
