#include "engine/events.h"

#include <algorithm>
#include <array>

#include "engine/base/error.h"
#include "engine/base/time.h"

namespace mydocker::engine {
namespace {

constexpr std::array<std::string_view, 14> known_filters = {"config", "container", "daemon", "event",  "image",
                                                            "label",  "network",   "node",   "plugin", "scope",
                                                            "secret", "service",   "type",   "volume"};

using Values = std::vector<std::string>;

template <typename Test>
bool any_of(const Values& values, Test test) {
  return std::any_of(values.begin(), values.end(), test);
}

std::string attribute(const api::Event& event, const std::string& key) {
  const auto found = event.actor.attributes.find(key);
  return found == event.actor.attributes.end() ? std::string() : found->second;
}

/// Docker's FuzzyMatch: one of the values, or something that begins with one.
bool begins_with_any(const Values& values, std::string_view text) {
  return any_of(values, [&](const std::string& v) { return text.starts_with(v); });
}

std::string without_tag(const std::string& name) {
  const std::size_t colon = name.rfind(':');
  return colon == std::string::npos || name.find('/', colon) != std::string::npos ? name : name.substr(0, colon);
}

bool is_image(const api::Event& event, const Values& values) {
  const std::string& id = event.actor.id;
  const std::string name = attribute(event, event.type == "image" ? "name" : "image");
  return any_of(values, [&](const std::string& v) {
    return v == id || v == name || v == without_tag(id) || v == without_tag(name);
  });
}

bool has_action(const api::Event& event, const Values& values) {
  const bool by_prefix = any_of(
      values, [](const std::string& v) { return v == "health_status" || v == "exec_create" || v == "exec_start"; });
  return by_prefix ? begins_with_any(values, event.action)
                   : any_of(values, [&](const std::string& v) { return v == event.action; });
}

bool has_labels(const api::Event& event, const Values& values) {
  return std::all_of(values.begin(), values.end(), [&](const std::string& v) {
    const std::size_t equals = v.find('=');
    const auto found = event.actor.attributes.find(v.substr(0, equals));
    return found != event.actor.attributes.end() &&
           (equals == std::string::npos || found->second == v.substr(equals + 1));
  });
}

bool matches_key(const std::string& key, const Values& values, const api::Event& event) {
  if (key == "type") return any_of(values, [&](const std::string& v) { return v == event.type; });
  if (key == "scope") return any_of(values, [&](const std::string& v) { return v == event.scope; });
  if (key == "event") return has_action(event, values);
  if (key == "label") return has_labels(event, values);
  if (key == "image") return is_image(event, values);
  if (key != event.type) return false;
  return begins_with_any(values, event.actor.id) || begins_with_any(values, attribute(event, "name"));
}

}  // namespace

bool matches(const Filters& filters, const api::Event& event) {
  return std::all_of(filters.begin(), filters.end(), [&](const auto& entry) {
    return entry.second.empty() || matches_key(entry.first, entry.second, event);
  });
}

/// One subscription: where it stands in the ring, and what it wants.
class BusStream : public EventStream {
 public:
  BusStream(EventBus& bus, Filters filters, Timestamp until, std::uint64_t next)
      : bus_(bus), filters_(std::move(filters)), until_(until), next_(next) {
    ++bus_.listeners_;
  }
  ~BusStream() override { --bus_.listeners_; }

  awaitable<std::optional<api::Event>> next() override {
    for (;;) {
      next_ = std::max(next_, bus_.first_number_);  // a reader slower than the ring loses the oldest
      while (next_ < bus_.first_number_ + bus_.ring_.size()) {
        const api::Event& event = bus_.ring_[next_++ - bus_.first_number_];
        if (until_ != Timestamp{} && event.time_ns > to_unix_nanoseconds(until_)) co_return std::nullopt;
        if (matches(filters_, event)) co_return event;
      }
      if (bus_.closed_) co_return std::nullopt;
      if (until_ == Timestamp{}) {
        co_await bus_.changed_.wait();
      } else {
        const auto left = until_ - now();
        if (left <= std::chrono::nanoseconds(0)) co_return std::nullopt;
        co_await bus_.changed_.wait_for(left);
      }
    }
  }

 private:
  EventBus& bus_;
  Filters filters_;
  Timestamp until_;
  std::uint64_t next_;
};

void EventBus::publish(std::string type, std::string action, std::string id, api::StringMap attributes,
                       std::string from) {
  api::Event event;
  last_time_ns_ = std::max(to_unix_nanoseconds(now()), last_time_ns_ + 1);
  event.time_ns = last_time_ns_;
  event.time_s = last_time_ns_ / 1'000'000'000;
  if (type == "container" || type == "image") {
    event.status = action;
    event.id = id;
  }
  event.from = std::move(from);
  event.type = std::move(type);
  event.action = std::move(action);
  event.actor = api::EventActor{std::move(id), std::move(attributes)};
  // Before any client hears of it, and before the verb answers: what was told once is told again after a crash.
  if (journal_) journal_->append(event);
  ++published_;
  keep(std::move(event));
  changed_.notify_all();
}

void EventBus::keep(api::Event event) {
  ring_.push_back(std::move(event));
  if (ring_.size() > kept) {
    ring_.pop_front();
    ++first_number_;
  }
}

void EventBus::keep_in(EventJournal journal) {
  for (api::Event& event : journal.load(kept)) {
    last_time_ns_ = std::max(last_time_ns_, event.time_ns);
    keep(std::move(event));
  }
  journal_.emplace(std::move(journal));
}

std::unique_ptr<EventStream> EventBus::subscribe(const EventOptions& options) {
  for (const auto& [key, values] : options.filters) {
    if (std::find(known_filters.begin(), known_filters.end(), key) == known_filters.end()) {
      throw Error(ErrorKind::invalid_argument, concat("invalid filter '", key, "'"));
    }
  }
  const Timestamp since = parse_unix_timestamp(options.since);
  const Timestamp until = parse_unix_timestamp(options.until);
  if (since != Timestamp{} && until != Timestamp{} && since > until) {
    throw Error(ErrorKind::invalid_argument,
                concat("`since` time (", options.since, ") cannot be after `until` time (", options.until, ")"));
  }
  std::uint64_t next = first_number_ + ring_.size();
  if (since != Timestamp{}) {
    const std::int64_t instant = to_unix_nanoseconds(since);
    const std::int64_t earliest = instant % 1'000'000'000 == 0 ? instant : instant + 1;
    const auto first =
        std::find_if(ring_.begin(), ring_.end(), [&](const api::Event& e) { return e.time_ns >= earliest; });
    next = first_number_ + static_cast<std::uint64_t>(first - ring_.begin());
  }
  return std::make_unique<BusStream>(*this, options.filters, until, next);
}

void EventBus::close() {
  closed_ = true;
  changed_.notify_all();
}

}  // namespace mydocker::engine
