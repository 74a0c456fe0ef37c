#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace mydocker {

/// Base64 (RFC 4648) in either alphabet, padded or not; line breaks are skipped. nullopt when it is not base64. Pure.
std::optional<std::string> decode_base64(std::string_view text);
/// The standard alphabet with padding. Pure.
std::string encode_base64(std::string_view bytes);
/// The alphabet of URLs and file names ("-", "_") with padding, as the docker client writes X-Registry-Auth. Pure.
std::string encode_base64url(std::string_view bytes);

}  // namespace mydocker
