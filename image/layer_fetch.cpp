#include "image/layer_fetch.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <utility>

#include "engine/base/failpoint.h"
#include "image/decompress.h"

namespace mydocker::image {

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto progress_interval = std::chrono::milliseconds(100);
constexpr std::uint64_t worthwhile_bytes = std::uint64_t{1} << 20;
/// Threads beyond the downloads: layers that have come and are still being written.
constexpr std::size_t extra_threads = 4;

Error cancelled() { return Error(ErrorKind::unavailable, "pull was cancelled"); }

/// Sleeps, but wakes up at once when stopped.
void sleep_for(std::chrono::milliseconds duration, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, duration, [] { return false; });
  if (stop.stop_requested()) throw cancelled();
}

/// One layer from the wire into a writer: hashed compressed and plain while it streams.
class LayerDownload {
 public:
  LayerDownload(const PullContext& context, RegistryClient& client, const WantedLayer& layer, LayerTransfer& transfer,
                const std::stop_token& stop)
      : context_(context),
        client_(client),
        layer_(layer),
        transfer_(transfer),
        stop_(stop),
        writer_(context.layers.begin()),
        decompressor_([this](std::string_view plain) { writer_->write(plain); }) {}

  std::unique_ptr<storage::LayerWriter> run() {
    {
      const DownloadSlots::Slot slot = context_.slots.acquire(stop_);
      download();
    }
    transfer_.tell("Verifying Checksum");
    // A blob that cannot be unpacked is first of all a blob with a wrong digest, if it has one.
    if (hash_.finish() != layer_.blob.digest) {
      throw Error(ErrorKind::internal,
                  concat("filesystem layer verification failed for digest ", layer_.blob.digest.text()));
    }
    transfer_.tell("Download complete");
    if (unpack_failure_) std::rethrow_exception(unpack_failure_);
    transfer_.tell("Extracting", {layer_.blob.size, layer_.blob.size});
    failpoint("pull.unpack");
    decompressor_.finish();
    writer_->finish(layer_.diff_id);
    transfer_.tell("Pull complete");
    return std::move(writer_);
  }

 private:
  void download() {
    unsigned failures = 0;
    for (std::uint64_t begin = 0;; begin = position_) {
      try {
        client_.get_blob(layer_.blob, position_, [this](std::string_view data) { take(data); });
        show(true);
        return;
      } catch (const TransportError&) {
        if (stop_.stop_requested()) throw cancelled();
        failures = position_ - begin >= worthwhile_bytes ? 1 : failures + 1;
        if (failures >= context_.options.max_download_attempts) throw;
      }
      wait_before_retry(failures);
    }
  }

  void wait_before_retry(unsigned failures) {
    auto left = context_.options.retry_delay * failures;
    while (left.count() > 0) {
      const auto seconds = std::chrono::ceil<std::chrono::seconds>(left).count();
      transfer_.tell(concat("Retrying in ", seconds, seconds == 1 ? " second" : " seconds"));
      const auto step = std::min<std::chrono::milliseconds>(left, std::chrono::seconds(1));
      sleep_for(step, stop_);
      left -= step;
    }
  }

  void take(std::string_view data) {
    hash_.update(data);
    position_ += data.size();
    if (!unpack_failure_) {
      try {
        decompressor_.write(data);
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::invalid_argument) throw;  // a bomb or a full disk: no reason to go on
        unpack_failure_ = std::current_exception();
      }
    }
    show(false);
  }

  void show(bool always) {
    const Clock::time_point time = Clock::now();
    if (!always && time - shown_ < progress_interval) return;
    shown_ = time;
    transfer_.tell("Downloading", {static_cast<std::int64_t>(position_), layer_.blob.size});
  }

  const PullContext& context_;
  RegistryClient& client_;
  const WantedLayer& layer_;
  LayerTransfer& transfer_;
  const std::stop_token& stop_;
  std::unique_ptr<storage::LayerWriter> writer_;
  Decompressor decompressor_;
  Sha256 hash_;
  std::uint64_t position_ = 0;
  Clock::time_point shown_{};
  std::exception_ptr unpack_failure_;
};

/// The layers of one image, fetched by a few threads.
class LayerFetch {
 public:
  LayerFetch(const PullContext& context, RegistryClient& client, const std::vector<WantedLayer>& layers,
             const ProgressSink& sink)
      : context_(context), client_(client), layers_(layers), sink_(sink), transfers_(layers.size()) {}

  ~LayerFetch() {
    for (const auto& transfer : transfers_) {
      if (transfer) transfer->unlisten(this);
    }
  }
  LayerFetch(const LayerFetch&) = delete;
  LayerFetch& operator=(const LayerFetch&) = delete;

  void run(const std::string& owner, const std::stop_token& stop) {
    const std::stop_callback forward(stop, [this] { stop_.request_stop(); });
    // Layers that are there, with all below them. Those that vanish before the commit are fetched in another round.
    constexpr int max_rounds = 4;
    for (int round = 0; round < max_rounds; ++round) {
      const std::size_t present = count_present();
      if (round == 0) announce(present);
      fetch_from(present);
      if (failure_) {
        if (stop.stop_requested()) throw cancelled();
        std::rethrow_exception(failure_);
      }
      if (commit(owner)) return;
    }
    throw Error(ErrorKind::internal, "layers were removed while they were pulled");
  }

 private:
  std::size_t count_present() const {
    // A layer is never there without those below it.
    std::size_t present = layers_.size();
    while (present > 0 && !context_.layers.find(layers_[present - 1].chain_id)) --present;
    return present;
  }

  void announce(std::size_t present) {
    const std::size_t first_waiting = present + context_.options.max_concurrent_downloads;
    for (std::size_t i = 0; i < layers_.size(); ++i) say(i, i < present ? "Already exists" : "Pulling fs layer");
    for (std::size_t i = first_waiting; i < layers_.size(); ++i) say(i, "Waiting");
  }

  void fetch_from(std::size_t first) {
    next_ = first;
    const std::size_t missing = layers_.size() - first;
    const std::size_t count = std::min<std::size_t>(missing, context_.options.max_concurrent_downloads + extra_threads);
    std::vector<std::jthread> threads;
    threads.reserve(count);
    for (std::size_t i = 0; i < count; ++i) threads.emplace_back([this] { work(); });
  }

  void work() {
    for (;;) {
      const std::size_t index = next_.fetch_add(1);
      if (index >= layers_.size() || stop_.stop_requested()) return;
      try {
        fetch(index);
      } catch (...) {  // carried to run(), which throws it
        const std::scoped_lock lock(mutex_);
        if (!failure_) failure_ = std::current_exception();
        stop_.request_stop();
        return;
      }
    }
  }

  void fetch(std::size_t index) {
    const WantedLayer& layer = layers_[index];
    const std::stop_token stop = stop_.get_token();
    for (;;) {
      const LayerTransfers::Joined joined = context_.transfers.join(layer.chain_id);
      transfers_[index] = joined.transfer;
      joined.transfer->listen(
          this, [this, index](std::string_view status, const ProgressDetail& detail) { say(index, status, detail); });
      if (!joined.leads) {
        if (joined.transfer->wait(stop)) return;
        joined.transfer->unlisten(this);
        continue;  // its leader failed: now with our registry and our credentials
      }
      try {
        joined.transfer->succeed(LayerDownload(context_, client_, layer, *joined.transfer, stop).run());
        return;
      } catch (...) {
        context_.transfers.forget(layer.chain_id, joined.transfer.get());
        joined.transfer->fail();
        throw;
      }
    }
  }

  /// false: a layer that was there, or that another pull has committed, went away meanwhile.
  bool commit(const std::string& owner) {
    const std::scoped_lock lock(context_.transfers.commit_mutex);
    failpoint("pull.commit");
    const std::size_t present = count_present();
    try {
      if (present > 0) context_.layers.retain(layers_[present - 1].chain_id, owner);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::not_found) throw;
      return false;
    }
    std::vector<storage::LayerWriter*> writers;
    for (std::size_t i = present; i < layers_.size(); ++i) {
      if (!transfers_[i] || !transfers_[i]->writer) return false;
      writers.push_back(transfers_[i]->writer.get());
    }
    if (writers.empty()) return true;
    try {
      context_.layers.commit_all(writers, present > 0 ? layers_[present - 1].chain_id : Digest(), owner);
    } catch (...) {
      drop_writers(present);
      throw;
    }
    drop_writers(present);
    return true;
  }

  /// They were used up; whoever else wanted them finds the layers in the store, or fetches anew.
  void drop_writers(std::size_t first) {
    for (std::size_t i = first; i < layers_.size(); ++i) {
      context_.transfers.forget(layers_[i].chain_id, transfers_[i].get());
      transfers_[i]->writer.reset();
    }
  }

  void say(std::size_t index, std::string_view status, const ProgressDetail& detail = {}) {
    ProgressMessage message;
    message.id = layers_[index].blob.digest.short_hex();
    message.status = status;
    message.detail = detail;
    const std::scoped_lock lock(sink_mutex_);
    sink_(message);
  }

  const PullContext& context_;
  RegistryClient& client_;
  const std::vector<WantedLayer>& layers_;
  const ProgressSink& sink_;
  std::vector<std::shared_ptr<LayerTransfer>> transfers_;
  std::atomic<std::size_t> next_ = 0;
  std::stop_source stop_;
  std::mutex mutex_;
  std::exception_ptr failure_;  ///< under mutex_
  std::mutex sink_mutex_;
};

}  // namespace

DownloadSlots::Slot DownloadSlots::acquire(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait(lock, stop, [this] { return free_ > 0; })) throw cancelled();
  --free_;
  return Slot(this);
}

void DownloadSlots::give_back() {
  const std::scoped_lock lock(mutex_);
  ++free_;
  changed_.notify_one();
}

void LayerTransfer::listen(const void* key, LayerListener listener) {
  const std::scoped_lock lock(mutex_);
  listeners_.emplace_back(key, std::move(listener));
}

void LayerTransfer::unlisten(const void* key) {
  const std::scoped_lock lock(mutex_);
  std::erase_if(listeners_, [&](const auto& one) { return one.first == key; });
}

void LayerTransfer::tell(std::string_view status, const ProgressDetail& detail) {
  const std::scoped_lock lock(mutex_);
  for (const auto& [key, listener] : listeners_) listener(status, detail);
}

void LayerTransfer::succeed(std::unique_ptr<storage::LayerWriter> finished) {
  const std::scoped_lock lock(mutex_);
  writer = std::move(finished);
  state_ = State::unpacked;
  changed_.notify_all();
}

void LayerTransfer::fail() {
  const std::scoped_lock lock(mutex_);
  state_ = State::failed;
  changed_.notify_all();
}

bool LayerTransfer::wait(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait(lock, stop, [this] { return state_ != State::running; })) throw cancelled();
  return state_ == State::unpacked;
}

LayerTransfers::Joined LayerTransfers::join(const Digest& chain_id) {
  const std::scoped_lock lock(mutex_);
  std::erase_if(running_, [](const auto& one) { return one.second.expired(); });
  if (const auto found = running_.find(chain_id); found != running_.end()) {
    if (auto transfer = found->second.lock()) return {std::move(transfer), false};
  }
  auto transfer = std::make_shared<LayerTransfer>();
  running_[chain_id] = transfer;
  return {std::move(transfer), true};
}

void LayerTransfers::forget(const Digest& chain_id, const LayerTransfer* transfer) {
  const std::scoped_lock lock(mutex_);
  const auto found = running_.find(chain_id);
  if (found != running_.end() && found->second.lock().get() == transfer) running_.erase(found);
}

void fetch_layers(const PullContext& context, RegistryClient& client, const std::vector<WantedLayer>& layers,
                  const std::string& owner, const ProgressSink& sink, const std::stop_token& stop) {
  if (layers.empty()) return;
  LayerFetch(context, client, layers, sink).run(owner, stop);
}

}  // namespace mydocker::image
