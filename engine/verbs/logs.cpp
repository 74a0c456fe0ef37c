#include <charconv>

#include "engine/engine.h"
#include "engine/engine_state.h"
#include "engine/lifecycle.h"
#include "engine/log_plan.h"
#include "engine/log_reader.h"

/// ContainerLogs (WIRE 9).
namespace mydocker::engine {
namespace {

std::int64_t parse_tail(const std::string& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size() && value >= 0 ? value : -1;
}

class LogBytes : public ByteStream {
 public:
  LogBytes(EngineState& state, ContainerPtr container, const std::string& path, const LogReadOptions& options)
      : container_(std::move(container)), follows_(options.follow), ending_(container_->ending), until_(options.until) {
    pool_ = &state.disk_pool;
    if (follows_) subscription_ = state.log_watcher.subscribe(path, [this] { on_growth(); });
  }

  /// Before the first next().
  awaitable<void> open(std::string path, LogReadOptions options) {
    co_await blocking(*pool_, [&] { reader_.emplace(std::move(path), options); });
  }

  awaitable<std::optional<std::string>> next() override {
    for (;;) {
      // The log of an ended container is complete: whether it has ended must be known before reading.
      if (follows_ && has_ended()) reader_->stop_following();
      const std::uint64_t growth = growth_;
      std::string out;
      LogReadState status = LogReadState::more;
      if (reader_->may_block()) {
        status = co_await blocking(*pool_, [&] { return reader_->read_some(out); });
      } else {
        status = reader_->read_some(out);
      }
      if (!out.empty()) co_return out;
      if (status == LogReadState::finished) co_return std::nullopt;
      if (status == LogReadState::waiting && growth == growth_) co_await wait_for_more();
    }
  }

 private:
  /// Growth and end wake the same signal, so that one wait sees both.
  void on_growth() {
    ++growth_;
    container_->changed.notify_all();
  }

  /// The log is complete once the exit was seen; a restarted container's reading ends as well.
  bool has_ended() const { return container_->removed || ending_->known || !derive_flags(container_->state).running; }

  awaitable<void> wait_for_more() {
    if (until_ == Timestamp{}) {
      co_await container_->changed.wait();
    } else if (const auto left = until_ - now(); left > std::chrono::nanoseconds(0)) {
      co_await container_->changed.wait_for(left);
    } else {
      reader_->stop_following();
    }
  }

  asio::thread_pool* pool_ = nullptr;
  ContainerPtr container_;
  bool follows_;
  std::shared_ptr<const Ending> ending_;
  Timestamp until_;
  std::uint64_t growth_ = 0;
  LogWatcher::Subscription subscription_;
  std::optional<LogReader> reader_;
};

}  // namespace

awaitable<LogStream> Engine::logs(std::string id, LogsOptions options) {
  EngineState& state = *state_;
  const ContainerPtr container = state.containers.get(id);
  if (!options.stdout_ && !options.stderr_) {
    throw Error(ErrorKind::invalid_argument, "must specify at least one of 'stdout' or 'stderr'");
  }
  check_allowed(Verb::logs, container->state, container->id(), container->name());
  const ReadableLog log = find_readable_log(container->record, state.paths.container(container->id()));
  LogReadOptions read;
  read.want_stdout = options.stdout_;
  read.want_stderr = options.stderr_;
  read.follow = options.follow;
  read.timestamps = options.timestamps;
  read.details = options.details;
  read.framed = !container->record.config.tty;
  read.compact = log.compact;
  read.tail = parse_tail(options.tail);
  read.since = parse_unix_timestamp(options.since);
  read.until = parse_unix_timestamp(options.until);
  LogStream stream;
  stream.framed = read.framed;
  auto bytes = std::make_unique<LogBytes>(state, container, log.path, read);
  co_await bytes->open(log.path, read);
  stream.bytes = std::move(bytes);
  co_return stream;
}

}  // namespace mydocker::engine
