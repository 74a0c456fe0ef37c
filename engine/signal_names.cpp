#include "engine/signal_names.h"

#include <signal.h>
#include <string.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>

#include "engine/base/error.h"

namespace mydocker::engine {
namespace {

// The kernel's range as seen by other programs; glibc's SIGRTMIN keeps two of them for itself.
constexpr int first_realtime = 34;
constexpr int last_realtime = 64;

std::optional<int> parse_number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<int> find_realtime(std::string_view name) {
  if (name == "RTMIN") return first_realtime;
  if (name == "RTMAX") return last_realtime;
  std::optional<int> offset;
  if (name.starts_with("RTMIN+")) {
    offset = parse_number(name.substr(6));
    return offset && *offset >= 0 && *offset <= 30 ? std::optional(first_realtime + *offset) : std::nullopt;
  }
  if (name.starts_with("RTMAX-")) {
    offset = parse_number(name.substr(6));
    return offset && *offset >= 0 && *offset <= 30 ? std::optional(last_realtime - *offset) : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

int parse_signal(std::string_view text) {
  if (const std::optional<int> number = parse_number(text)) {
    if (*number > 0 && *number <= last_realtime) return *number;
    throw Error(ErrorKind::invalid_argument, concat("Invalid signal: ", text));
  }
  std::string name(text);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return static_cast<char>(std::toupper(static_cast<unsigned char>(c))); });
  if (name.starts_with("SIG")) name.erase(0, 3);
  if (name == "IOT") return SIGABRT;
  if (name == "CLD") return SIGCHLD;
  for (int number = 1; number < 32; ++number) {
    const char* known = ::sigabbrev_np(number);
    if (known != nullptr && name == known) return number;
  }
  if (const std::optional<int> realtime = find_realtime(name)) return *realtime;
  throw Error(ErrorKind::invalid_argument, concat("Invalid signal: ", text));
}

}  // namespace mydocker::engine
