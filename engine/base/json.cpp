#include "engine/base/json.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/stream_parser.hpp>
#include <cctype>

namespace mydocker {
namespace {

/// Length of the valid UTF-8 sequence at `text`, or 0 (Unicode 15, table 3-7).
std::size_t sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto tail = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xBF) {
    return i < text.size() && byte(i) >= low && byte(i) <= high;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return tail(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const unsigned low = first == 0xE0 ? 0xA0 : 0x80;
    const unsigned high = first == 0xED ? 0x9F : 0xBF;
    return tail(1, low, high) && tail(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const unsigned low = first == 0xF0 ? 0x90 : 0x80;
    const unsigned high = first == 0xF4 ? 0x8F : 0xBF;
    return tail(1, low, high) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

bool equal_without_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::tolower(static_cast<unsigned char>(a[i])) != std::tolower(static_cast<unsigned char>(b[i]))) return false;
  }
  return true;
}

}  // namespace

json::value parse_json(std::string_view text) {
  json::parse_options options;
  options.max_depth = max_json_depth;
  json::stream_parser parser({}, options);
  json::error_code error;
  std::size_t used = parser.write_some(text, error);
  if (!error && !parser.done()) parser.finish(error);
  if (error) throw Error(ErrorKind::invalid_argument, concat("invalid JSON: ", error.message()));
  while (used < text.size() && std::isspace(static_cast<unsigned char>(text[used])) != 0) ++used;
  if (used < text.size()) throw Error(ErrorKind::invalid_argument, "invalid JSON: unexpected content after JSON");
  return parser.release();
}

std::string to_valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    if (length == 0) {
      out += "\xEF\xBF\xBD";
      text.remove_prefix(1);
    } else {
      out += text.substr(0, length);
      text.remove_prefix(length);
    }
  }
  return out;
}

std::string write_json(const json::value& value) {
  std::string text = json::serialize(value);
  // Only a document with bytes above 0x7F can hold bad UTF-8.
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) return to_valid_utf8(text);
  }
  return text;
}

namespace json_detail {

void throw_expected(const std::string& path, std::string_view what) {
  if (path.empty()) throw Error(ErrorKind::invalid_argument, concat("invalid JSON: expected ", what));
  throw Error(ErrorKind::invalid_argument, concat("invalid JSON: ", path, ": expected ", what));
}

const json::value* find_key(const json::object& object, std::string_view name) {
  if (const json::value* exact = object.if_contains(name)) return exact;
  for (const auto& entry : object) {
    if (equal_without_case(entry.key(), name)) return &entry.value();
  }
  return nullptr;
}

std::int64_t read_integer(const json::value& value, const std::string& path, std::int64_t low, std::int64_t high) {
  json::error_code error;
  std::int64_t number = 0;
  if (value.is_number()) number = value.to_number<std::int64_t>(error);
  if (!value.is_number() || error || number < low || number > high) throw_expected(path, "an integer");
  return number;
}

std::uint64_t read_unsigned(const json::value& value, const std::string& path) {
  json::error_code error;
  std::uint64_t number = 0;
  if (value.is_number()) number = value.to_number<std::uint64_t>(error);
  if (!value.is_number() || error) throw_expected(path, "an unsigned integer");
  return number;
}

double read_double(const json::value& value, const std::string& path) {
  json::error_code error;
  double number = 0;
  if (value.is_number()) number = value.to_number<double>(error);
  if (!value.is_number() || error) throw_expected(path, "a number");
  return number;
}

std::string join_path(const std::string& path, std::string_view name) {
  return path.empty() ? std::string(name) : concat(path, ".", name);
}

}  // namespace json_detail
}  // namespace mydocker
