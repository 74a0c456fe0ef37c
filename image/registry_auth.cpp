#include "image/registry_auth.h"

#include <cstdint>
#include <optional>
#include <tuple>

#include "engine/base/json.h"

namespace mydocker::image {

namespace {

struct RawAuth {
  std::string username;
  std::string password;
  std::string auth;
  std::string identity_token;
  std::string registry_token;
  std::string server_address;

  static constexpr auto json_fields() {
    return std::tuple(field("username", &RawAuth::username), field("password", &RawAuth::password),
                      field("auth", &RawAuth::auth), field("identitytoken", &RawAuth::identity_token),
                      field("registrytoken", &RawAuth::registry_token),
                      field("serveraddress", &RawAuth::server_address));
  }
};

int sextet(char c) noexcept {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+' || c == '-') return 62;
  if (c == '/' || c == '_') return 63;
  return -1;
}

std::optional<std::string> decode_base64(std::string_view text) {
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    if (c == '\n' || c == '\r') continue;
    const int value = sextet(c);
    if (value < 0) return std::nullopt;
    bits = (bits << 6U) | static_cast<std::uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out += static_cast<char>((bits >> static_cast<unsigned>(count)) & 0xffU);
    }
  }
  return out;
}

}  // namespace

RegistryAuth parse_registry_auth(std::string_view header) {
  const std::optional<std::string> text = decode_base64(header);
  if (!text) return {};
  RawAuth raw;
  try {
    raw = from_json<RawAuth>(parse_json(*text));
  } catch (const Error&) {  // Docker quirk: junk is anonymous, never a 400
    return {};
  }
  RegistryAuth out{raw.username, raw.password, raw.identity_token, raw.registry_token, raw.server_address};
  if (out.username.empty() && !raw.auth.empty()) {
    const std::string pair = decode_base64(raw.auth).value_or("");
    if (const std::size_t colon = pair.find(':'); colon != std::string::npos) {
      out.username = pair.substr(0, colon);
      out.password = pair.substr(colon + 1);
    }
  }
  return out;
}

}  // namespace mydocker::image
