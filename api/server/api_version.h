#pragma once

#include <string>
#include <string_view>

namespace mydocker::api {

/// A dialect of the API, "1.51". Only its minor number varies.
struct ApiVersion {
  int major = 1;
  int minor = 51;

  auto operator<=>(const ApiVersion&) const = default;
};

inline constexpr ApiVersion newest_version{1, 51};
inline constexpr ApiVersion oldest_version{1, 24};

/// What a request path says about the version.
struct VersionedPath {
  std::string version;  ///< "1.47"; "" = no prefix
  std::string path;     ///< without the prefix, with the leading slash
};

/// Splits "/v1.47/containers/json" (WIRE 1.3: "/v", digits and dots, "/"). Pure.
VersionedPath split_version(std::string_view path);

/// The dialect that `version` names ("" = the newest). Parts are compared as numbers (1.9 < 1.24).
/// Throws Error{invalid_argument} "client version 1.99 is too new. ..." or "... is too old. ...".
ApiVersion check_version(std::string_view version);

}  // namespace mydocker::api
