#include "api/server/api_version.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include "api/types/system.h"
#include "engine/base/error.h"

namespace mydocker::api {
namespace {

/// Numbers between dots; what is no number, or too long for one, counts as very large.
std::vector<int> parse_parts(std::string_view text) {
  std::vector<int> parts;
  while (true) {
    const std::size_t dot = text.find('.');
    const std::string_view part = text.substr(0, dot);
    int number = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), number);
    if (part.empty()) number = 0;
    if (!part.empty() && (error != std::errc{} || end != part.data() + part.size())) number = 1 << 30;
    parts.push_back(number);
    if (dot == std::string_view::npos) return parts;
    text.remove_prefix(dot + 1);
  }
}

}  // namespace

VersionedPath split_version(std::string_view path) {
  if (path.starts_with("/v")) {
    const std::size_t end = path.find('/', 1);
    const std::string_view digits = path.substr(2, end == std::string_view::npos ? end : end - 2);
    const bool is_version = !digits.empty() && digits.find_first_not_of("0123456789.") == std::string_view::npos;
    if (is_version && end != std::string_view::npos) return {std::string(digits), std::string(path.substr(end))};
  }
  return {"", std::string(path)};
}

ApiVersion check_version(std::string_view version) {
  if (version.empty()) return newest_version;
  std::vector<int> parts = parse_parts(version);
  parts.resize(std::max<std::size_t>(parts.size(), 2));
  const auto compare = [&](const ApiVersion& other) { return parts <=> std::vector<int>{other.major, other.minor}; };
  if (compare(newest_version) > 0) {
    throw Error(ErrorKind::invalid_argument,
                concat("client version ", version, " is too new. Maximum supported API version is ", max_api_version));
  }
  if (compare(oldest_version) < 0) {
    throw Error(ErrorKind::invalid_argument,
                concat("client version ", version, " is too old. Minimum supported API version is ", min_api_version,
                       ", please upgrade your client to a newer version"));
  }
  return {parts[0], parts[1]};
}

}  // namespace mydocker::api
