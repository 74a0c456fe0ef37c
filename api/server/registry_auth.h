#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "api/types/system.h"

namespace mydocker::api {

/// Base64 in either alphabet, padded or not, mixed line breaks refused; nullopt when it is not base64.
std::optional<std::string> decode_base64(std::string_view text);
/// Standard alphabet with padding.
std::string encode_base64(std::string_view bytes);

/// The X-Registry-Auth header (WIRE 22). Empty, "{}" or junk = anonymous; never an error. `auth` ("user:password" in
/// base64) fills in a missing username. The result holds secrets: never logged (SECURITY R24).
AuthConfig parse_registry_auth(std::string_view header);

}  // namespace mydocker::api
