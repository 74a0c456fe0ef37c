#pragma once

#include <string_view>

#include "api/types/system.h"

namespace mydocker::api {

/// The X-Registry-Auth header (WIRE 22). Empty, "{}" or junk = anonymous; never an error. `auth` ("user:password" in
/// base64) fills in a missing username. The result holds secrets: never logged (SECURITY R24).
AuthConfig parse_registry_auth(std::string_view header);

}  // namespace mydocker::api
