#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/unique_fd.h"
#include "runtime/log_options.h"
#include "runtime/shim/event_loop.h"
#include "runtime/shim/log_sink.h"

namespace mydocker::shim {

/// Sends a container's output to a log server: driver syslog (over udp, tcp, a Unix stream or datagram socket) or
/// journald. Messages that the server does not take at once wait here: the container waits with them
/// (mode=blocking), or what does not fit is lost and counted (mode=non-blocking). A lost connection is made again once
/// a second. Single-threaded; only the constructor and close() block, for seconds at most.
class SocketLog final : public LogSink, private FdHandler {
 public:
  /// Throws Error{unavailable} "failed to initialize logging driver: ..." when the server cannot be reached.
  SocketLog(EventLoop& loop, runtime::LogOptions options, std::function<void()> on_room);
  ~SocketLog() override;
  SocketLog(const SocketLog&) = delete;
  SocketLog& operator=(const SocketLog&) = delete;

  void write(runtime::StreamId stream, std::string_view data) override;
  void finish(runtime::StreamId stream) override;
  bool has_room() const noexcept override;
  void close() override;

 private:
  void on_ready(std::uint32_t events) override;
  void add(runtime::StreamId stream, std::string_view text);
  void send_queue();
  bool send_front();
  void connect();
  void disconnect(int reason);
  void watch_room(bool wanted);
  void tell_room();

  EventLoop& loop_;
  runtime::LogOptions options_;
  std::function<void()> on_room_;
  bool datagrams_ = true;
  LineCutter cutter_;
  UniqueFd socket_;
  bool watched_ = false;
  std::deque<std::string> queue_;
  std::size_t queued_bytes_ = 0;
  std::size_t front_sent_ = 0;  ///< of the first message, on a stream
  std::uint64_t lost_ = 0;
  bool was_full_ = false;
  std::optional<EventLoop::TimerId> reconnect_timer_;
};

}  // namespace mydocker::shim
