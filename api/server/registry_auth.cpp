#include "api/server/registry_auth.h"

#include <cstdint>

namespace mydocker::api {
namespace {

int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+' || c == '-') return 62;
  if (c == '/' || c == '_') return 63;
  return -1;
}

}  // namespace

std::optional<std::string> decode_base64(std::string_view text) {
  while (text.ends_with('=')) text.remove_suffix(1);
  if (text.size() % 4 == 1) return std::nullopt;
  std::string out;
  out.reserve(text.size() * 3 / 4);
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const int value = base64_value(c);
    if (value < 0) return std::nullopt;
    bits = (bits << 6) | static_cast<std::uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out.push_back(static_cast<char>((bits >> count) & 0xFF));
    }
  }
  return out;
}

std::string encode_base64(std::string_view bytes) {
  constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t bits = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      bits = (bits << 8) | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      out.push_back(i + k > bytes.size() ? '=' : alphabet[(bits >> (18 - 6 * k)) & 63]);
    }
  }
  return out;
}

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
