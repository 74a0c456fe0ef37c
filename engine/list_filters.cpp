#include "engine/list_filters.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <regex>

#include "engine/container_view.h"
#include "engine/prune_filter.h"

namespace mydocker::engine {
namespace {

constexpr std::array<std::string_view, 15> known_keys = {"ancestor", "before",  "exited",    "expose", "health",
                                                         "id",       "is-task", "isolation", "label",  "name",
                                                         "network",  "publish", "since",     "status", "volume"};

using Values = std::vector<std::string>;

[[noreturn]] void invalid_value(std::string_view key, std::string_view value, std::string_view why) {
  throw Error(ErrorKind::invalid_argument, concat("invalid filter '", key, "=", value, "': ", why));
}

template <typename Test>
bool any_of(const Values& values, Test test) {
  return std::any_of(values.begin(), values.end(), test);
}

bool is_number(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789", text.front() == '-' ? 1 : 0) == std::string::npos;
}

/// "80", "80/tcp", "80-90/udp" against "80/tcp".
bool covers_port(const std::string& wanted, const std::string& port) {
  const auto protocol = [](const std::string& text) {
    const std::size_t slash = text.find('/');
    return slash == std::string::npos ? std::string("tcp") : text.substr(slash + 1);
  };
  if (protocol(wanted) != protocol(port)) return false;
  const auto number = [](const std::string& text) {
    int value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
  };
  const std::string range = wanted.substr(0, wanted.find('/'));
  const std::size_t dash = range.find('-');
  const int first = number(range.substr(0, dash));
  const int last = dash == std::string::npos ? first : number(range.substr(dash + 1));
  const int asked = number(port.substr(0, port.find('/')));
  return asked >= first && asked <= last;
}

bool uses_volume(const std::string& value, const Container& container) {
  const std::vector<PlannedMount> mounts = plan_record_mounts(container.record);
  return std::any_of(mounts.begin(), mounts.end(),
                     [&](const PlannedMount& mount) { return mount.target == value || mount.source == value; });
}

bool on_network(const std::string& value, const Container& container) {
  const ContainerRecord& record = container.record;
  if (record.host_config.network_mode == value) return true;
  return std::any_of(record.endpoints.begin(), record.endpoints.end(), [&](const EndpointRecord& endpoint) {
    return endpoint.network_name == value || (!value.empty() && endpoint.network_id.starts_with(value));
  });
}

void check_values(const std::string& key, const Values& values) {
  if (key == "is-task") parse_bool_filter(key, values);
  for (const std::string& value : values) {
    if (key == "status" && !is_container_state(value)) {
      invalid_value(key, value, "must be one of created, restarting, running, removing, paused, exited, dead");
    }
    if (key == "exited" && !is_number(value)) invalid_value(key, value, "must be an exit code");
    if (key == "health" && value != "starting" && value != "healthy" && value != "unhealthy" && value != "none") {
      invalid_value(key, value, "must be one of starting, healthy, unhealthy, none");
    }
  }
}

}  // namespace

bool matches_name(const std::string& pattern, const std::string& name) {
  try {
    return std::regex_search(name, std::regex(pattern));
  } catch (const std::regex_error&) {
    return pattern == name;
  }
}

bool has_labels(const api::StringMap& labels, const std::vector<std::string>& values) {
  return std::all_of(values.begin(), values.end(), [&](const std::string& value) {
    const std::size_t equals = value.find('=');
    const auto found = labels.find(value.substr(0, equals));
    return found != labels.end() && (equals == std::string::npos || found->second == value.substr(equals + 1));
  });
}

ContainerFilter::ContainerFilter(const Filters& filters, const ContainerStore& containers,
                                 std::set<std::string> ancestors)
    : filters_(filters), ancestors_(std::move(ancestors)) {
  std::erase_if(filters_, [](const auto& entry) { return entry.second.empty(); });
  for (const auto& [key, values] : filters_) {
    if (std::find(known_keys.begin(), known_keys.end(), key) == known_keys.end()) {
      throw Error(ErrorKind::invalid_argument, concat("invalid filter '", key, "'"));
    }
    check_values(key, values);
    for (const std::string& value : values) {
      if (key == "before") {
        const std::int64_t created = containers.get(value)->record.created;
        created_before_ = created_before_ == 0 ? created : std::min(created_before_, created);
      }
      if (key == "since") created_after_ = std::max(created_after_, containers.get(value)->record.created);
    }
  }
}

bool ContainerFilter::accepts(const Container& container) const {
  return std::all_of(filters_.begin(), filters_.end(),
                     [&](const auto& entry) { return accepts_key(entry.first, entry.second, container); });
}

bool ContainerFilter::accepts_key(const std::string& key, const Values& values, const Container& container) const {
  const ContainerRecord& record = container.record;
  if (key == "id") return any_of(values, [&](const std::string& v) { return record.id.starts_with(v); });
  if (key == "name") {
    return any_of(values, [&](const std::string& v) {
      return matches_name(v, record.name) || matches_name(v, "/" + record.name);
    });
  }
  if (key == "label") return has_labels(record.config.labels, values);
  if (key == "status") return any_of(values, [&](const std::string& v) { return v == to_string(container.state); });
  if (key == "exited") {
    return record.started_at != 0 && !is_alive(container.state) &&
           any_of(values, [&](const std::string& v) { return v == std::to_string(record.exit_code); });
  }
  if (key == "ancestor") return ancestors_.contains(record.image_id);
  if (key == "before") return record.created < created_before_;
  if (key == "since") return record.created > created_after_;
  if (key == "volume") return any_of(values, [&](const std::string& v) { return uses_volume(v, container); });
  if (key == "network") return any_of(values, [&](const std::string& v) { return on_network(v, container); });
  if (key == "publish") {
    return any_of(values, [&](const std::string& v) {
      return std::any_of(record.ports.begin(), record.ports.end(), [&](const auto& port) {
        const std::string protocol = port.first.substr(port.first.find('/'));
        return std::any_of(port.second.begin(), port.second.end(), [&](const api::PortBinding& binding) {
          return covers_port(v, binding.host_port + protocol);
        });
      });
    });
  }
  if (key == "expose") {
    return any_of(values, [&](const std::string& v) {
      return std::any_of(record.config.exposed_ports.begin(), record.config.exposed_ports.end(),
                         [&](const auto& p) { return covers_port(v, p.first); });
    });
  }
  if (key == "health") {
    const std::string status = record.health ? record.health->status : "none";
    return any_of(values, [&](const std::string& v) { return v == status; });
  }
  if (key == "is-task") return !parse_bool_filter(key, values);
  return true;  // isolation: the only one there is
}

}  // namespace mydocker::engine
