#pragma once

#include <sys/types.h>

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "api/server/head_check.h"
#include "api/server/router.h"
#include "api/server/writer.h"

namespace mydocker::api {

/// Who connected (SO_PEERCRED); -1 where the socket has none (TCP).
struct Peer {
  pid_t pid = -1;
  uid_t uid = static_cast<uid_t>(-1);
};

/// How long a client may take (SECURITY 7).
struct ApiTimeouts {
  std::chrono::milliseconds head{10'000};   ///< from the first byte of a request to the end of its head
  std::chrono::milliseconds idle{120'000};  ///< between requests
  std::chrono::milliseconds body{30'000};   ///< window in which a whole body must bring `body_bytes`
  std::size_t body_bytes = 64 * 30;         ///< 64 B/s
  std::chrono::milliseconds drain{30'000};  ///< for reading what a client still sends after its answer
  std::size_t drain_bytes = std::size_t{1} << 30;
};

/// One client's connection: reads requests, one after the other, and runs their handlers. HTTP/1.1 and 1.0, strictly
/// (SECURITY R16): what is malformed gets a JSON error and the connection closes. I/O thread.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Clock = std::chrono::steady_clock;

  Connection(Socket socket, Peer peer, const Router& router, const ApiLimits& limits, const ApiTimeouts& timeouts);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  /// Serves until the client goes, errs, or the connection was given away. Never throws.
  awaitable<void> run();

  /// Ends after the running request; at once when none is running.
  void stop() noexcept;
  /// Ends now: its handler fails at its next write.
  void abort() noexcept;
  bool aborted() const noexcept { return aborted_; }
  /// A handler is at work.
  bool busy() const noexcept { return busy_; }
  /// Since when it has been waiting for (the rest of) a request.
  Clock::time_point waiting_since() const noexcept { return waiting_since_; }
  const Peer& peer() const noexcept { return peer_; }

 private:
  struct Exchange;
  class Deadline;
  enum class Next { keep_alive, close };

  awaitable<bool> wait_for_request();
  awaitable<Next> serve_one();
  awaitable<std::optional<Status>> read_head(Exchange& exchange);
  awaitable<std::optional<Status>> read_whole_body(Exchange& exchange);
  awaitable<std::size_t> read_body_some(Exchange& exchange, char* out, std::size_t size);
  awaitable<bool> read_input(std::size_t most);
  awaitable<void> send_continue(Exchange& exchange);
  void prepare(Exchange& exchange);
  awaitable<void> dispatch(Exchange& exchange);
  awaitable<void> run_handler(Exchange& exchange);
  awaitable<void> guard(Exchange& exchange);
  awaitable<void> pump_upload(Exchange& exchange);
  awaitable<void> answer_failure(Exchange& exchange);
  awaitable<void> refuse(Exchange& exchange, Status status, std::string message);
  awaitable<Next> finish(Exchange& exchange);
  awaitable<void> drain(Exchange& exchange);
  awaitable<void> linger();

  Socket socket_;
  Peer peer_;
  const Router& router_;
  const ApiLimits& limits_;
  const ApiTimeouts& timeouts_;
  asio::steady_timer timer_;
  std::uint64_t timer_generation_ = 0;
  bool timed_out_ = false;
  bool input_ended_ = false;
  bool read_aborted_ = false;  ///< the last read was cancelled, not ended by the client
  bool busy_ = false;
  bool stopping_ = false;
  bool aborted_ = false;
  Clock::time_point waiting_since_ = Clock::now();
  std::string input_;  ///< read from the socket, not yet consumed
};

}  // namespace mydocker::api
