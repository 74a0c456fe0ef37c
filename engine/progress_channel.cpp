#include "engine/progress_channel.h"

#include <condition_variable>
#include <deque>
#include <mutex>

namespace mydocker::engine {
namespace {

constexpr std::size_t longest_queue = 256;

/// Shared by the working threads and the I/O thread.
struct Channel {
  explicit Channel(const asio::any_io_executor& executor) : io(executor), ready(executor) {}

  asio::any_io_executor io;
  Signal ready;  ///< I/O thread only

  std::mutex mutex;
  std::condition_variable room;
  std::deque<api::ProgressMessage> lines;  ///< under mutex
  bool finished = false;                   ///< under mutex
  std::exception_ptr failure;              ///< under mutex
  std::stop_source stop;
};

api::ProgressMessage to_api(const image::ProgressMessage& message) {
  api::ProgressMessage out;
  out.id = message.id;
  out.status = message.status;
  out.stream = message.stream;
  if (message.detail) {
    out.progress_detail = api::ProgressDetail{message.detail->current, message.detail->total};
    out.progress = image::render_bar(*message.detail);
  }
  if (!message.aux_json.empty()) out.aux = parse_json(message.aux_json);
  return out;
}

void push(const std::shared_ptr<Channel>& channel, api::ProgressMessage line) {
  {
    std::unique_lock lock(channel->mutex);
    channel->room.wait(lock, [&] { return channel->lines.size() < longest_queue || channel->stop.stop_requested(); });
    channel->lines.push_back(std::move(line));
  }
  asio::post(channel->io, [channel] { channel->ready.notify_all(); });
}

class ChannelStream : public ProgressStream {
 public:
  ChannelStream(std::shared_ptr<Channel> channel, std::function<void()> done)
      : channel_(std::move(channel)), done_(std::move(done)) {}
  ~ChannelStream() override {
    channel_->stop.request_stop();
    channel_->room.notify_all();
  }

  awaitable<std::optional<api::ProgressMessage>> next() override {
    for (;;) {
      {
        const std::scoped_lock lock(channel_->mutex);
        if (!channel_->lines.empty()) {
          api::ProgressMessage line = std::move(channel_->lines.front());
          channel_->lines.pop_front();
          channel_->room.notify_all();
          co_return line;
        }
        if (channel_->finished) break;
      }
      co_await channel_->ready.wait();
    }
    if (channel_->failure) std::rethrow_exception(std::exchange(channel_->failure, nullptr));
    if (done_) std::exchange(done_, {})();
    co_return std::nullopt;
  }

 private:
  std::shared_ptr<Channel> channel_;
  std::function<void()> done_;
};

}  // namespace

std::unique_ptr<ProgressStream> start_progress(EngineState& state,
                                               std::function<void(const image::ProgressSink&, std::stop_token)> work,
                                               std::function<void()> done) {
  auto channel = std::make_shared<Channel>(state.io);
  asio::post(state.transfer_pool, [channel, work = std::move(work)] {
    std::exception_ptr failure;
    try {
      work([&](const image::ProgressMessage& message) { push(channel, to_api(message)); }, channel->stop.get_token());
    } catch (...) {  // thrown to the reader of the stream
      failure = std::current_exception();
    }
    {
      const std::scoped_lock lock(channel->mutex);
      channel->failure = failure;
      channel->finished = true;
    }
    asio::post(channel->io, [channel] { channel->ready.notify_all(); });
  });
  return std::make_unique<ChannelStream>(std::move(channel), std::move(done));
}

}  // namespace mydocker::engine
