#include "engine/log_replay.h"

#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "engine/base/sys.h"

namespace mydocker::engine {
namespace {

/// As the shim grants a client after the container's end: somebody reads with a pager.
constexpr std::chrono::minutes stall_limit{10};

}  // namespace

LogReplay::LogReplay(asio::thread_pool& pool, ReadableLog log, LogReadOptions options, int client)
    : pool_(pool), log_(std::move(log)), options_(options), client_(client) {
  options_.compact = log_.compact;
}

awaitable<void> LogReplay::write_until(LogEnd end, std::function<void()> on_progress) {
  co_await blocking(pool_, [&] {
    if (reader_) return reader_->read_on(std::move(end));
    reader_.emplace(log_.path, options_, std::move(end));
  });
  for (LogReadState status = LogReadState::more; status != LogReadState::finished;) {
    std::string out;
    if (reader_->may_block()) {
      status = co_await blocking(pool_, [&] { return reader_->read_some(out); });
    } else {
      status = reader_->read_some(out);
    }
    if (out.empty()) continue;
    co_await send(out);
    if (on_progress) on_progress();
  }
}

awaitable<void> LogReplay::write_present() {
  LogEnd end = co_await blocking(pool_, [&] { return find_log_end(log_.path); });
  co_await write_until(std::move(end));
}

awaitable<void> LogReplay::send(std::string_view data) {
  while (!data.empty()) {
    const ssize_t sent =
        retry_on_eintr([&] { return ::send(client_, data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL); });
    if (sent >= 0) {
      data.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      co_await wait_writable();
    } else {
      throw Error(ErrorKind::unavailable, concat("the client is gone: ", errno_text(errno)));
    }
  }
}

awaitable<void> LogReplay::wait_writable() {
  const asio::any_io_executor io = co_await asio::this_coro::executor;
  asio::posix::stream_descriptor descriptor(io, duplicate_fd(client_).release());
  asio::steady_timer timer(io, stall_limit);
  bool stalled = false;
  timer.async_wait([&](const boost::system::error_code& error) {
    if (error) return;
    stalled = true;
    descriptor.cancel();
  });
  co_await descriptor.async_wait(asio::posix::stream_descriptor::wait_write, asio::as_tuple(asio::use_awaitable));
  // The handler refers to this frame: it has to have run, or to be cancelled before it could.
  if (timer.cancel() == 0 && !stalled) co_await asio::post(io, asio::use_awaitable);
  if (stalled) throw Error(ErrorKind::unavailable, "the client takes nothing");
}

}  // namespace mydocker::engine
