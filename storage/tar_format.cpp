#include "storage/tar_format.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>

#include "engine/base/error.h"

namespace mydocker::storage {
namespace {

std::string_view raw_field(const TarBlock& block, TarField field) {
  return std::string_view(block.data() + field.offset, field.length);
}

std::optional<std::int64_t> base256(std::string_view bytes) {
  // Two's complement, big-endian; the first byte's top bit only marks the form.
  const auto first = static_cast<unsigned char>(bytes[0]);
  const bool negative = (first & 0x40) != 0;
  std::uint64_t value = negative ? ~std::uint64_t{0} : 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    auto byte = static_cast<unsigned char>(bytes[i]);
    if (i == 0) byte = static_cast<unsigned char>(negative ? byte | 0x80 : byte & 0x7F);
    const std::uint64_t top = value >> 55;  // what the shift below must not lose: sign bits only
    if (top != (negative ? 0x1FFU : 0U)) return std::nullopt;
    value = (value << 8) | byte;
  }
  return static_cast<std::int64_t>(value);
}

std::pair<std::int64_t, std::int64_t> checksums(const TarBlock& block) {
  std::int64_t as_unsigned = 0;
  std::int64_t as_signed = 0;
  for (std::size_t i = 0; i < block.size(); ++i) {
    const bool own = i >= tar_field::checksum.offset && i < tar_field::checksum.offset + tar_field::checksum.length;
    const char c = own ? ' ' : block[i];
    as_unsigned += static_cast<unsigned char>(c);
    as_signed += static_cast<signed char>(c);
  }
  return {as_unsigned, as_signed};
}

}  // namespace

std::string_view text_field(const TarBlock& block, TarField field) {
  const std::string_view raw = raw_field(block, field);
  return raw.substr(0, raw.find('\0'));
}

std::optional<std::int64_t> number_field(const TarBlock& block, TarField field) {
  std::string_view raw = raw_field(block, field);
  if ((static_cast<unsigned char>(raw[0]) & 0x80) != 0) return base256(raw);
  const auto is_blank = [](char c) { return c == ' ' || c == '\0'; };
  while (!raw.empty() && is_blank(raw.front())) raw.remove_prefix(1);
  while (!raw.empty() && is_blank(raw.back())) raw.remove_suffix(1);
  std::int64_t value = 0;
  for (const char c : raw) {
    if (c < '0' || c > '7') return std::nullopt;
    value = value * 8 + (c - '0');  // at most twelve digits: 36 bits
  }
  return value;
}

bool checksum_matches(const TarBlock& block) {
  const std::optional<std::int64_t> stored = number_field(block, tar_field::checksum);
  const auto [as_unsigned, as_signed] = checksums(block);
  return stored && (*stored == as_unsigned || *stored == as_signed);
}

bool is_zero(const TarBlock& block) {
  return std::all_of(block.begin(), block.end(), [](char c) { return c == '\0'; });
}

void set_number(TarBlock& block, TarField field, std::uint64_t value) {
  char* const out = block.data() + field.offset;
  const std::size_t digits = field.length - 1;
  if (digits * 3 >= 64 || value < (std::uint64_t{1} << (digits * 3))) {
    for (std::size_t i = digits; i-- > 0; value >>= 3) out[i] = static_cast<char>('0' + (value & 7));
    out[digits] = '\0';
    return;
  }
  for (std::size_t i = field.length; i-- > 1; value >>= 8) out[i] = static_cast<char>(value & 0xFF);
  out[0] = static_cast<char>(0x80);
}

void set_text(TarBlock& block, TarField field, std::string_view text) {
  std::memcpy(block.data() + field.offset, text.data(), std::min(text.size(), field.length));
}

void set_checksum(TarBlock& block) {
  const std::int64_t sum = checksums(block).first;
  set_number(block, TarField{tar_field::checksum.offset, 7}, static_cast<std::uint64_t>(sum));
  block[tar_field::checksum.offset + 7] = ' ';
}

std::optional<std::uint64_t> parse_decimal(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::string make_pax_record(std::string_view key, std::string_view value) {
  const std::size_t rest = key.size() + value.size() + 3;  // blank, '=', newline
  std::size_t length = rest + std::to_string(rest).size();
  if (std::to_string(length).size() != std::to_string(rest).size()) length = rest + std::to_string(length).size();
  return concat(length, " ", key, "=", value, "\n");
}

}  // namespace mydocker::storage
