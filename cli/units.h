#pragma once

#include <cstdint>
#include <string>
#include <string_view>

/// Sizes as Docker prints and reads them. Pure.
namespace mydocker::cli {

/// Powers of 1000, `digits` significant ones: 1984210 -> "1.98MB" (3), "1.984MB" (4).
std::string human_size(double bytes, int digits = 4);
/// Powers of 1024: "484KiB", "23.54GiB".
std::string binary_size(double bytes);
/// "512m", "1.5 GiB", "100": powers of 1024 whatever the spelling. Throws Error{invalid_argument} "invalid size: 'x'".
std::int64_t parse_size_bytes(std::string_view text);
/// The first 12 digits of an ID, without "sha256:".
std::string short_id(std::string_view id);
/// Cut to `width` characters with a trailing "…" when longer.
std::string ellipsis(std::string_view text, std::size_t width);
/// Characters (not bytes) of UTF-8 text.
std::size_t count_characters(std::string_view text);
/// "2026-11-23 15:58:14 +0000 UTC" in the local zone, as Go's time.Time.String().
std::string local_time_text(std::int64_t unix_seconds);
/// RFC 3339 with the local zone: "2026-11-23T15:56:06Z" or "...+02:00".
std::string local_rfc3339(std::int64_t unix_seconds);

}  // namespace mydocker::cli
