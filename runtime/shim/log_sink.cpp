#include "runtime/shim/log_sink.h"

#include "engine/base/error.h"
#include "runtime/shim/log_writer.h"
#include "runtime/shim/socket_log.h"

namespace mydocker::shim {

using runtime::max_log_piece;
using runtime::StreamId;

namespace {

/// A driver whose messages leave this machine, and the copy that is read back. The copy never holds the output up.
class CachedLog final : public LogSink {
 public:
  CachedLog(std::unique_ptr<LogSink> driver, std::unique_ptr<LogSink> cache)
      : driver_(std::move(driver)), cache_(std::move(cache)) {}

  void write(StreamId stream, std::string_view data) override {
    cache_->write(stream, data);
    driver_->write(stream, data);
  }
  void finish(StreamId stream) override {
    cache_->finish(stream);
    driver_->finish(stream);
  }
  std::optional<LogPosition> position() const override { return cache_->position(); }
  bool has_room() const noexcept override { return driver_->has_room(); }
  void close() override {
    cache_->close();
    driver_->close();
  }
  void give_back_memory() override {
    cache_->give_back_memory();
    driver_->give_back_memory();
  }

 private:
  std::unique_ptr<LogSink> driver_;
  std::unique_ptr<LogSink> cache_;
};

}  // namespace

std::unique_ptr<LogSink> open_log(EventLoop& loop, runtime::LogOptions options, std::function<void()> on_room) {
  if (options.driver == "syslog" || options.driver == "journald") {
    auto driver = std::make_unique<SocketLog>(loop, options, std::move(on_room));
    if (options.path.empty()) return driver;
    options.driver = "local";
    return std::make_unique<CachedLog>(std::move(driver), std::make_unique<LogWriter>(std::move(options), &loop));
  }
  return std::make_unique<LogWriter>(std::move(options), &loop);
}

void clear_and_shrink(std::string& buffer) {
  if (buffer.capacity() > 4096) {
    std::string().swap(buffer);
  } else {
    buffer.clear();
  }
}

void LineCutter::write(StreamId stream, std::string_view data, const Take& take) {
  std::string& rest = pending_[index_of(stream)];
  for (std::size_t end = data.find('\n'); end != std::string_view::npos; end = data.find('\n')) {
    if (rest.empty()) {
      cut_line(stream, data.substr(0, end + 1), take);
    } else {
      rest.append(data, 0, end + 1);
      cut_line(stream, rest, take);
      clear_and_shrink(rest);
    }
    data.remove_prefix(end + 1);
  }
  rest += data;
  while (rest.size() > max_log_piece) {
    const std::size_t end = runtime::find_piece_end(rest, max_log_piece);
    take(stream, std::string_view(rest).substr(0, end));
    rest.erase(0, end);
  }
}

void LineCutter::finish(StreamId stream, const Take& take) {
  std::string& rest = pending_[index_of(stream)];
  if (!rest.empty()) take(stream, rest);
  clear_and_shrink(rest);
}

void LineCutter::cut_line(StreamId stream, std::string_view line, const Take& take) {
  while (line.size() > max_log_piece) {
    const std::size_t end = runtime::find_piece_end(line, max_log_piece);
    take(stream, line.substr(0, end));
    line.remove_prefix(end);
  }
  take(stream, line);
}

}  // namespace mydocker::shim
