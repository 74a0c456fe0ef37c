#include "engine/base/time.h"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <ctime>

#include "engine/base/error.h"

namespace mydocker {
namespace {

using std::chrono::nanoseconds;
constexpr std::int64_t nanos_per_second = 1'000'000'000;

std::string date_and_time(std::int64_t seconds) {
  std::tm parts{};
  const std::time_t value = seconds;
  ::gmtime_r(&value, &parts);
  std::string out(32, '\0');
  const int length = std::snprintf(out.data(), out.size(), "%04d-%02d-%02dT%02d:%02d:%02d", parts.tm_year + 1900,
                                   parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
  out.resize(static_cast<std::size_t>(length));
  return out;
}

std::string nine_digits(std::int64_t nanos) {
  std::string digits = std::to_string(nanos);
  return std::string(9 - digits.size(), '0') + digits;
}

std::pair<std::int64_t, std::int64_t> split(Timestamp time) {
  const std::int64_t total = to_unix_nanoseconds(time);
  std::int64_t seconds = total / nanos_per_second;
  std::int64_t nanos = total % nanos_per_second;
  if (nanos < 0) {
    nanos += nanos_per_second;
    --seconds;
  }
  return {seconds, nanos};
}

std::optional<int> take_digits(std::string_view& text, std::size_t count) {
  if (text.size() < count) return std::nullopt;
  int value = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(count);
  return value;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

/// Up to nine digits of a fraction as nanoseconds; further digits are dropped.
std::optional<std::int64_t> take_fraction(std::string_view& text) {
  std::int64_t nanos = 0;
  int digits = 0;
  while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
    if (digits < 9) nanos = nanos * 10 + (text.front() - '0');
    ++digits;
    text.remove_prefix(1);
  }
  if (digits == 0) return std::nullopt;
  for (; digits < 9; ++digits) nanos *= 10;
  return nanos;
}

}  // namespace

Timestamp now() {
  std::timespec time{};
  ::clock_gettime(CLOCK_REALTIME, &time);
  return Timestamp(nanoseconds(time.tv_sec * nanos_per_second + time.tv_nsec));
}

std::int64_t to_unix_nanoseconds(Timestamp time) { return time.time_since_epoch().count(); }
Timestamp from_unix_nanoseconds(std::int64_t value) { return Timestamp(nanoseconds(value)); }
std::int64_t to_unix_seconds(Timestamp time) { return split(time).first; }

std::string to_rfc3339(Timestamp time) {
  if (time == Timestamp{}) return "0001-01-01T00:00:00Z";
  const auto [seconds, nanos] = split(time);
  std::string out = date_and_time(seconds);
  if (nanos != 0) {
    std::string digits = nine_digits(nanos);
    digits.resize(digits.find_last_not_of('0') + 1);
    out += "." + digits;
  }
  return out + "Z";
}

std::string to_rfc3339_fixed(Timestamp time) {
  const auto [seconds, nanos] = split(time);
  return concat(date_and_time(seconds), ".", nine_digits(nanos), "Z");
}

std::optional<Timestamp> parse_rfc3339(std::string_view text) {
  if (text == "0001-01-01T00:00:00Z") return Timestamp{};
  std::tm parts{};
  const auto year = take_digits(text, 4);
  if (!year || !take(text, '-')) return std::nullopt;
  const auto month = take_digits(text, 2);
  if (!month || !take(text, '-')) return std::nullopt;
  const auto day = take_digits(text, 2);
  if (!day || (!take(text, 'T') && !take(text, 't') && !take(text, ' '))) return std::nullopt;
  const auto hour = take_digits(text, 2);
  if (!hour || !take(text, ':')) return std::nullopt;
  const auto minute = take_digits(text, 2);
  if (!minute || !take(text, ':')) return std::nullopt;
  const auto second = take_digits(text, 2);
  if (!second) return std::nullopt;
  std::int64_t nanos = 0;
  if (take(text, '.')) {
    const auto fraction = take_fraction(text);
    if (!fraction) return std::nullopt;
    nanos = *fraction;
  }
  std::int64_t offset = 0;
  if (!take(text, 'Z') && !take(text, 'z')) {
    if (text.empty() || (text.front() != '+' && text.front() != '-')) return std::nullopt;
    const std::int64_t sign = text.front() == '-' ? -1 : 1;
    text.remove_prefix(1);
    const auto zone_hours = take_digits(text, 2);
    if (!zone_hours || !take(text, ':')) return std::nullopt;
    const auto zone_minutes = take_digits(text, 2);
    if (!zone_minutes) return std::nullopt;
    offset = sign * (*zone_hours * 3600 + *zone_minutes * 60);
  }
  if (!text.empty() || *month < 1 || *month > 12 || *day < 1 || *day > 31 || *hour > 23 || *minute > 59 ||
      *second > 60) {
    return std::nullopt;
  }
  if (*year < 1678 || *year > 2261) return std::nullopt;  // beyond what 64-bit nanoseconds hold
  parts.tm_year = *year - 1900;
  parts.tm_mon = *month - 1;
  parts.tm_mday = *day;
  parts.tm_hour = *hour;
  parts.tm_min = *minute;
  parts.tm_sec = *second;
  const std::int64_t seconds = ::timegm(&parts) - offset;
  return Timestamp(nanoseconds(seconds * nanos_per_second + nanos));
}

Timestamp parse_unix_timestamp(std::string_view text) {
  if (text.empty() || text == "0") return Timestamp{};
  const std::string whole(text);
  const auto fail = [&]() -> Timestamp {
    throw Error(ErrorKind::invalid_argument, concat("invalid timestamp \"", whole, "\""));
  };
  std::int64_t seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc{} || seconds > 9'000'000'000 || seconds < -9'000'000'000) return fail();
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  std::int64_t nanos = 0;
  if (take(text, '.')) {
    const auto fraction = take_fraction(text);
    if (!fraction) return fail();
    nanos = *fraction;
  }
  if (!text.empty()) return fail();
  return Timestamp(nanoseconds(seconds * nanos_per_second + (whole.front() == '-' ? -nanos : nanos)));
}

std::optional<nanoseconds> parse_go_duration(std::string_view text) {
  if (text == "0") return nanoseconds(0);
  bool negative = false;
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) {
    negative = text.front() == '-';
    text.remove_prefix(1);
  }
  if (text.empty()) return std::nullopt;
  double total = 0;
  while (!text.empty()) {
    std::size_t length = 0;
    bool dot = false;
    bool digit = false;
    while (length < text.size() && ((text[length] >= '0' && text[length] <= '9') || (text[length] == '.' && !dot))) {
      dot = dot || text[length] == '.';
      digit = digit || text[length] != '.';
      ++length;
    }
    if (!digit) return std::nullopt;
    double value = 0;
    std::from_chars(text.data(), text.data() + length, value);
    text.remove_prefix(length);
    static constexpr std::pair<std::string_view, double> units[] = {
        {"ns", 1},   {"us", 1e3}, {"\xC2\xB5s", 1e3}, {"\xCE\xBCs", 1e3},
        {"ms", 1e6}, {"s", 1e9},  {"m", 60e9},        {"h", 3600e9}};
    bool matched = false;
    for (const auto& [name, scale] : units) {
      const bool longer = name == "m" && text.starts_with("ms");
      if (!matched && !longer && text.starts_with(name)) {
        total += value * scale;
        text.remove_prefix(name.size());
        matched = true;
      }
    }
    if (!matched || total > 9.2e18) return std::nullopt;
  }
  return nanoseconds(static_cast<std::int64_t>(std::llround(negative ? -total : total)));
}

std::string to_go_duration(nanoseconds duration) {
  if (duration.count() == 0) return "0s";
  const bool negative = duration.count() < 0;
  const auto total =
      negative ? 0 - static_cast<std::uint64_t>(duration.count()) : static_cast<std::uint64_t>(duration.count());
  const auto with_fraction = [](std::uint64_t whole, std::uint64_t fraction, int digits) {
    std::string text = std::to_string(fraction);
    text.insert(0, static_cast<std::size_t>(digits) - text.size(), '0');
    while (!text.empty() && text.back() == '0') text.pop_back();
    return text.empty() ? std::to_string(whole) : concat(whole, '.', text);
  };
  std::string out = negative ? "-" : "";
  if (total < 1'000) return concat(out, total, "ns");
  if (total < 1'000'000) return concat(out, with_fraction(total / 1'000, total % 1'000, 3), "\xC2\xB5s");
  if (total < nanos_per_second) return concat(out, with_fraction(total / 1'000'000, total % 1'000'000, 6), "ms");
  const std::uint64_t seconds = total / nanos_per_second;
  if (seconds >= 3600) out += concat(seconds / 3600, 'h');
  if (seconds >= 60) out += concat(seconds / 60 % 60, 'm');
  return concat(out, with_fraction(seconds % 60, total % nanos_per_second, 9), 's');
}

std::string human_duration(nanoseconds duration) {
  const double exact_seconds = static_cast<double>(duration.count()) / 1e9;
  const auto seconds = static_cast<std::int64_t>(exact_seconds);
  if (seconds < 1) return "Less than a second";
  if (seconds == 1) return "1 second";
  if (seconds < 60) return concat(seconds, " seconds");
  const std::int64_t minutes = seconds / 60;
  if (minutes == 1) return "About a minute";
  if (minutes < 60) return concat(minutes, " minutes");
  const auto hours = static_cast<std::int64_t>(exact_seconds / 3600 + 0.5);
  if (hours == 1) return "About an hour";
  if (hours < 48) return concat(hours, " hours");
  if (hours < 24 * 7 * 2) return concat(hours / 24, " days");
  if (hours < 24 * 30 * 2) return concat(hours / 24 / 7, " weeks");
  if (hours < 24 * 365 * 2) return concat(hours / 24 / 30, " months");
  return concat(static_cast<std::int64_t>(exact_seconds / 3600) / 24 / 365, " years");
}

}  // namespace mydocker
