#include "engine/base/template/literals.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace mydocker::text_template {
namespace {

void append_code_point(std::string& out, std::uint32_t code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (code >> 18));
    out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

}  // namespace

std::optional<json::value> parse_number(std::string_view text) {
  std::string digits(text);
  std::erase(digits, '_');
  const bool negative = !digits.empty() && digits[0] == '-';
  std::string_view rest = digits;
  if (!rest.empty() && (rest[0] == '-' || rest[0] == '+')) rest.remove_prefix(1);
  int base = 10;
  if (rest.size() > 2 && rest[0] == '0') {
    const char kind = static_cast<char>(rest[1] | 0x20);
    base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 10;
    if (base != 10) rest.remove_prefix(2);
  }
  std::uint64_t magnitude = 0;
  const auto [end, failure] = std::from_chars(rest.data(), rest.data() + rest.size(), magnitude, base);
  if (failure == std::errc{} && end == rest.data() + rest.size()) {
    if (!negative && magnitude <= INT64_MAX) return json::value(static_cast<std::int64_t>(magnitude));
    if (!negative) return json::value(magnitude);
    if (magnitude <= std::uint64_t{1} << 63) return json::value(static_cast<std::int64_t>(~magnitude + 1));
  }
  double real = 0;
  const auto [stop, bad] = std::from_chars(rest.data(), rest.data() + rest.size(), real);
  if (bad == std::errc{} && stop == rest.data() + rest.size() && base == 10)
    return json::value(negative ? -real : real);
  return std::nullopt;
}

std::optional<std::string> unquote(std::string_view text) {
  std::string out;
  const auto take_digits = [&](std::size_t& index, int count, int base) -> std::optional<std::uint32_t> {
    if (index + static_cast<std::size_t>(count) > text.size()) return std::nullopt;
    std::uint32_t code = 0;
    const char* first = text.data() + index;
    const auto [end, failure] = std::from_chars(first, first + count, code, base);
    if (failure != std::errc{} || end != first + count || code > 0x10FFFF) return std::nullopt;
    index += static_cast<std::size_t>(count);
    return code;
  };
  for (std::size_t index = 0; index < text.size();) {
    const char c = text[index++];
    if (c != '\\') {
      out += c;
      continue;
    }
    if (index >= text.size()) return std::nullopt;
    const char escape = text[index++];
    static constexpr std::string_view names = "abfnrtv\\\"'";
    static constexpr std::string_view values = "\a\b\f\n\r\t\v\\\"'";
    if (const std::size_t found = names.find(escape); found != std::string_view::npos) {
      out += values[found];
    } else if (escape == 'x') {
      const auto code = take_digits(index, 2, 16);
      if (!code) return std::nullopt;
      out += static_cast<char>(*code);
    } else if (escape == 'u' || escape == 'U') {
      const auto code = take_digits(index, escape == 'u' ? 4 : 8, 16);
      if (!code) return std::nullopt;
      append_code_point(out, *code);
    } else if (escape >= '0' && escape <= '7') {
      --index;
      const auto code = take_digits(index, 3, 8);
      if (!code || *code > 255) return std::nullopt;
      out += static_cast<char>(*code);
    } else {
      return std::nullopt;
    }
  }
  return out;
}

std::optional<std::int64_t> decode_single_character(std::string_view text) {
  if (text.size() == 1) return static_cast<unsigned char>(text[0]);
  if (text.empty()) return std::nullopt;
  const auto lead = static_cast<unsigned char>(text[0]);
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC0 || text.size() != length) return std::nullopt;
  std::int64_t code = lead & (0xFF >> (length + 1));
  for (const char c : text.substr(1)) code = code << 6 | (static_cast<unsigned char>(c) & 0x3F);
  return code;
}

}  // namespace mydocker::text_template
