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
#include "engine/event_journal.h"

/// What happened, for `docker events` (WIRE 17). I/O thread only.
namespace mydocker::engine {

/// Publishes events in strictly increasing timeNano (over restarts of the engine, too), keeps the last 1024, and feeds
/// the subscribers.
class EventBus {
 public:
  static constexpr std::size_t kept = 1024;

  explicit EventBus(asio::any_io_executor io) : changed_(std::move(io)) {}

  /// Goes on with what `journal` holds and writes to it from now on. Before the first publish; blocks.
  void keep_in(EventJournal journal);

  /// `from` is set for containers only (the image reference).
  void publish(std::string type, std::string action, std::string id, api::StringMap attributes, std::string from = "");

  /// Throws Error{invalid_argument} for unknown filters, malformed times, since > until. `since` in whole seconds
  /// includes its instant, as Docker's; with a fraction it stands for an event that the client has seen: what comes
  /// after it follows, so that a client which reconnects with its last timeNano sees each event once. The stream must
  /// not outlive the bus.
  std::unique_ptr<EventStream> subscribe(const EventOptions& options);
  /// Ends all streams.
  void close();
  std::size_t listener_count() const { return listeners_; }
  std::uint64_t published_count() const { return published_; }
  /// The ring, oldest first.
  const std::deque<api::Event>& recent() const { return ring_; }

 private:
  friend class BusStream;
  void keep(api::Event event);

  Signal changed_;
  std::deque<api::Event> ring_;
  std::optional<EventJournal> journal_;
  std::uint64_t published_ = 0;
  std::uint64_t first_number_ = 0;  ///< number of ring_.front()
  std::int64_t last_time_ns_ = 0;
  std::size_t listeners_ = 0;
  bool closed_ = false;
};

/// Does the event pass the filters? Docker's rules: containers, volumes, networks, plugins and daemons by a prefix of
/// ID or name, images (also those of containers) by exact ID or name with or without tag, `label` all of them, else
/// equality; `event` by prefix where an action with an argument (health_status, exec_create, exec_start) is asked for.
/// Pure.
bool matches(const Filters& filters, const api::Event& event);

}  // namespace mydocker::engine
