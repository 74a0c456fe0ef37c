#include "cli/units.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <ctime>

#include "engine/base/error.h"
#include "engine/base/template/template.h"

namespace mydocker::cli {
namespace {

using text_template::go_quote;

template <std::size_t Count>
std::string scaled(double value, double base, const std::string_view (&names)[Count], int digits) {
  std::size_t step = 0;
  while (value >= base && step + 1 < Count) {
    value /= base;
    ++step;
  }
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.*g", digits, value);
  return concat(buffer, names[step]);
}

std::int64_t suffix_factor(std::string_view suffix) {
  std::string lower(suffix);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto fail = [&] { return Error(ErrorKind::invalid_argument, concat("invalid suffix: '", suffix, "'")); };
  if (lower.empty() || lower == "b") return 1;
  const std::size_t step = std::string_view("kmgtp").find(lower[0]);
  const std::string_view rest = std::string_view(lower).substr(1);
  if (step == std::string_view::npos || (!rest.empty() && rest != "b" && rest != "ib")) throw fail();
  return std::int64_t{1} << (10 * (step + 1));
}

std::tm local_time(std::int64_t unix_seconds) {
  const auto time = static_cast<std::time_t>(unix_seconds);
  std::tm out{};
  ::localtime_r(&time, &out);
  return out;
}

}  // namespace

std::string human_size(double bytes, int digits) {
  static constexpr std::string_view names[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"};
  return scaled(bytes, 1000, names, digits);
}

std::string binary_size(double bytes) {
  static constexpr std::string_view names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"};
  return scaled(bytes, 1024, names, 4);
}

std::int64_t parse_size_bytes(std::string_view text) {
  const auto invalid = [&] { return Error(ErrorKind::invalid_argument, concat("invalid size: '", text, "'")); };
  const std::size_t last = text.find_last_of("0123456789. ");
  if (last == std::string_view::npos) throw invalid();
  const std::string_view number = text[last] == ' ' ? text.substr(0, last) : text.substr(0, last + 1);
  double value = 0;
  const auto [end, failure] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (failure != std::errc{} || end != number.data() + number.size()) {
    throw Error(ErrorKind::invalid_argument,
                concat("strconv.ParseFloat: parsing ", go_quote(number), ": invalid syntax"));
  }
  if (value < 0 || !std::isfinite(value)) throw invalid();
  const double bytes = value * static_cast<double>(suffix_factor(text.substr(last + 1)));
  if (bytes >= 9.2233720368547758e18) throw invalid();
  return static_cast<std::int64_t>(bytes);
}

std::string short_id(std::string_view id) {
  if (const std::size_t colon = id.find(':'); colon != std::string_view::npos) id.remove_prefix(colon + 1);
  return std::string(id.substr(0, 12));
}

std::size_t count_characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string ellipsis(std::string_view text, std::size_t width) {
  if (count_characters(text) <= width) return std::string(text);
  std::size_t end = 0;
  for (std::size_t characters = 0; end < text.size(); ++end) {
    if ((static_cast<unsigned char>(text[end]) & 0xC0) != 0x80 && characters++ == width - 1) break;
  }
  return concat(text.substr(0, end), "…");
}

std::string local_time_text(std::int64_t unix_seconds) {
  const std::tm time = local_time(unix_seconds);
  char buffer[64];
  std::strftime(buffer, sizeof buffer, "%Y-%m-%d %H:%M:%S %z %Z", &time);
  std::string out = buffer;
  // strftime calls the zone of a machine without one "GMT" or "UTC" by its tz data; Go says UTC.
  if (out.ends_with("+0000 GMT")) out.replace(out.size() - 3, 3, "UTC");
  return out;
}

std::string local_rfc3339(std::int64_t unix_seconds) {
  const std::tm time = local_time(unix_seconds);
  char buffer[64];
  std::strftime(buffer, sizeof buffer, "%Y-%m-%dT%H:%M:%S", &time);
  if (time.tm_gmtoff == 0) return concat(buffer, "Z");
  char zone[16];
  const long minutes = std::labs(time.tm_gmtoff) / 60;
  std::snprintf(zone, sizeof zone, "%c%02ld:%02ld", time.tm_gmtoff < 0 ? '-' : '+', minutes / 60, minutes % 60);
  return concat(buffer, zone);
}

}  // namespace mydocker::cli
