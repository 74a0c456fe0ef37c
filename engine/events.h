#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "api/types/event.h"
#include "engine/engine.h"

/// What happened, for `docker events` (WIRE 17). I/O thread only.
namespace mydocker::engine {

/// Publishes events in strictly increasing timeNano, keeps the last 256, and feeds the subscribers.
class EventBus {
 public:
  explicit EventBus(asio::any_io_executor io) : changed_(std::move(io)) {}

  /// `from` is set for containers only (the image reference).
  void publish(std::string type, std::string action, std::string id, api::StringMap attributes, std::string from = "");

  /// Throws Error{invalid_argument} for unknown filters, malformed times, since > until. The stream must not outlive
  /// the bus.
  std::unique_ptr<EventStream> subscribe(const EventOptions& options);
  /// Ends all streams.
  void close();
  std::size_t listener_count() const { return listeners_; }

 private:
  friend class BusStream;
  static constexpr std::size_t kept = 256;

  Signal changed_;
  std::deque<api::Event> ring_;
  std::uint64_t first_number_ = 0;  ///< number of ring_.front()
  std::int64_t last_time_ns_ = 0;
  std::size_t listeners_ = 0;
  bool closed_ = false;
};

/// Does the event pass the filters? Pure.
bool matches(const Filters& filters, const api::Event& event);

}  // namespace mydocker::engine
