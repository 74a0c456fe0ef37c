#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// Wall-clock time with nanoseconds, and the text forms that Docker clients expect. Any thread; nothing blocks.
namespace mydocker {

/// Nanoseconds since 1970 UTC. The zero value of `Timestamp{}` here means *never* and prints as "0001-01-01T00:00:00Z".
using Timestamp = std::chrono::time_point<std::chrono::system_clock, std::chrono::nanoseconds>;

Timestamp now();
/// "2026-01-02T03:04:05.123456789Z" as Go's RFC3339Nano: trailing zeros of the fraction cut; never =
/// "0001-01-01T00:00:00Z".
std::string to_rfc3339(Timestamp time);
/// Always nine digits: the prefix of `logs --timestamps`.
std::string to_rfc3339_fixed(Timestamp time);
/// RFC 3339 with any fraction and zone; nullopt when it is not one.
std::optional<Timestamp> parse_rfc3339(std::string_view text);
/// "seconds" or "seconds.nanos" (WIRE 2.7; ".5" = 500 ms); "" and "0" are Timestamp{}. Throws Error{invalid_argument}.
Timestamp parse_unix_timestamp(std::string_view text);
/// Go durations: "1h15m30.5s", "300ms", "-1.5h", "0". nullopt when it is not one.
std::optional<std::chrono::nanoseconds> parse_go_duration(std::string_view text);
/// Go's Duration.String(): "1h15m30.5s", "1m0s", "1.5ms", "0s".
std::string to_go_duration(std::chrono::nanoseconds duration);
std::int64_t to_unix_seconds(Timestamp time);
std::int64_t to_unix_nanoseconds(Timestamp time);
Timestamp from_unix_nanoseconds(std::int64_t nanoseconds);
/// Docker's units.HumanDuration: "Less than a second", "2 minutes", "About an hour", "3 weeks" ... (WIRE 15).
std::string human_duration(std::chrono::nanoseconds duration);

}  // namespace mydocker
