#include "api/server/registry_auth.h"

#include "engine/base/base64.h"

namespace mydocker::api {
AuthConfig parse_registry_auth(std::string_view header) {
  const std::optional<std::string> text = decode_base64(header);
  if (!text || text->empty()) return {};
  try {
    AuthConfig auth = from_json<AuthConfig>(parse_json(*text));
    if (auth.username.empty() && !auth.auth.empty()) {
      const std::string pair = decode_base64(auth.auth).value_or("");
      const std::size_t colon = pair.find(':');
      if (colon != std::string::npos) {
        auth.username = pair.substr(0, colon);
        auth.password = pair.substr(colon + 1);
      }
    }
    return auth;
  } catch (const Error&) {
    return {};  // Docker quirk: what cannot be decoded is an anonymous request
  }
}

}  // namespace mydocker::api
