#include "image/progress.h"

#include <array>
#include <cstdio>

#include "engine/base/error.h"
#include "engine/base/json.h"

namespace mydocker::image {

namespace {

constexpr int bar_width = 50;

}  // namespace

std::string human_size(std::int64_t bytes) {
  static constexpr std::array<const char*, 7> units{"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1000.0 && unit + 1 < units.size()) {
    value /= 1000.0;
    ++unit;
  }
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.4g%s", value, units[unit]);
  return text.data();
}

std::string render_bar(const ProgressDetail& detail) {
  if (detail.current <= 0 && detail.total <= 0) return "";
  std::array<char, 32> current{};
  std::snprintf(current.data(), current.size(), "%8s", human_size(detail.current).c_str());
  if (detail.total <= 0) return current.data();
  const double fraction = static_cast<double>(detail.current) / static_cast<double>(detail.total);
  const int filled = std::min(bar_width, static_cast<int>(fraction * 100.0) / 2);
  std::string out = concat('[', std::string(static_cast<std::size_t>(filled), '='), '>',
                           std::string(static_cast<std::size_t>(bar_width - filled), ' '), "] ", current.data());
  if (detail.current <= detail.total) out += concat('/', human_size(detail.total));
  return out;
}

std::string to_wire(const ProgressMessage& message) {
  json::object out;
  if (!message.stream.empty()) out["stream"] = message.stream;
  if (!message.status.empty()) out["status"] = message.status;
  if (message.detail) {
    json::object detail;
    if (message.detail->current > 0) detail["current"] = message.detail->current;
    if (message.detail->total > 0) detail["total"] = message.detail->total;
    const std::string bar = render_bar(*message.detail);
    out["progressDetail"] = std::move(detail);
    if (!bar.empty()) out["progress"] = bar;
  }
  if (!message.id.empty()) out["id"] = message.id;
  if (!message.aux_json.empty()) out["aux"] = parse_json(message.aux_json);
  return write_json(out) + "\r\n";
}

std::string to_wire_error(std::string_view text) {
  json::object out;
  out["errorDetail"] = json::object{{"message", text}};
  out["error"] = text;
  return write_json(out) + "\r\n";
}

}  // namespace mydocker::image
