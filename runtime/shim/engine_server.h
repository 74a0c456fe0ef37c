#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/unique_fd.h"
#include "runtime/shim/event_loop.h"
#include "runtime/shim_protocol.h"

namespace mydocker::shim {

/// The shim's side of its socket: connections of engines, their requests, the events for them (shim_protocol.h).
/// An engine that dies, talks nonsense or does not read loses its connection; nothing else happens.
class EngineServer final : private FdHandler {
 public:
  struct Answer {
    json::object result;
    int fd = -1;  ///< borrowed, sent along
  };
  struct Handler {
    /// Throws Error for what the engine shall be told.
    virtual Answer on_request(std::string_view method, json::object& params, std::vector<UniqueFd>& fds) = 0;
    virtual runtime::ShimSnapshot make_snapshot() = 0;
    virtual void on_acknowledged(std::uint64_t sequence) = 0;
    /// An events connection was made and has got what there is.
    virtual void on_listener() = 0;
    /// The last connection is closed.
    virtual void on_alone() = 0;

   protected:
    ~Handler() = default;
  };

  /// `listener` is a listening SEQPACKET socket; only peers with our own uid are served.
  EngineServer(EventLoop& loop, Handler& handler, UniqueFd listener);
  ~EngineServer();
  EngineServer(const EngineServer&) = delete;
  EngineServer& operator=(const EngineServer&) = delete;

  /// A connection that was there before the socket: the one that the shim was spawned with.
  void add_connection(UniqueFd socket);
  /// To every events connection; for whoever listens now.
  void publish(runtime::ShimEvent event);
  /// To those listeners that keep up: for what a later event says again.
  void publish_if_read(runtime::ShimEvent event);
  /// As publish, but kept and repeated to later events connections until one acknowledges it. Gives its sequence.
  std::uint64_t publish_until_acknowledged(runtime::ShimEvent event);
  /// As publish, but also for every events connection to come.
  void publish_for_ever(runtime::ShimEvent event);
  bool has_listeners() const noexcept;
  bool has_connections() const noexcept;
  /// No further connection is accepted.
  void stop_listening();
  /// Ends the events connections once everything queued is sent.
  void close_events();

 private:
  class Connection;

  void on_ready(std::uint32_t events) override;
  void rest_from_accepting();
  void receive(Connection& connection);
  void greet(Connection& connection, const json::object& hello);
  void answer(Connection& connection, json::object& request, std::vector<UniqueFd>& fds);
  void forget_closed();

  EventLoop& loop_;
  Handler& handler_;
  UniqueFd listener_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::uint64_t next_sequence_ = 1;
  std::deque<runtime::ShimEvent> unacknowledged_;
  std::vector<runtime::ShimEvent> lasting_;
};

}  // namespace mydocker::shim
