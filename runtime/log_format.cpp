#include "runtime/log_format.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <ctime>

#include "engine/base/error.h"
#include "engine/base/json.h"

namespace mydocker::runtime {
namespace {

constexpr std::string_view log_key = R"({"log":")";
constexpr std::string_view stream_key = R"(","stream":"std)";
constexpr std::string_view attributes_key = R"(,"attrs":)";
constexpr std::string_view time_key = R"(,"time":")";

/// Bytes that cannot stand in a JSON string as they are.
constexpr std::array<bool, 256> must_escape = [] {
  std::array<bool, 256> out{};
  for (std::size_t i = 0; i < 0x20; ++i) out[i] = true;
  out['"'] = out['\\'] = true;
  return out;
}();

bool is_ascii(std::string_view text) {
  while (text.size() >= sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data(), sizeof word);
    if ((word & 0x8080808080808080U) != 0) return false;
    text.remove_prefix(sizeof word);
  }
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

void append_escaped(std::string& out, std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::size_t begin = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (!must_escape[byte]) continue;
    out.append(text, begin, i - begin);
    begin = i + 1;
    switch (byte) {
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      default:
        out += "\\u00";
        out.push_back(digits[byte >> 4]);
        out.push_back(digits[byte & 15]);
    }
  }
  out.append(text, begin);
}

void put_digits(char* out, std::int64_t value, int count) {
  for (int i = count - 1; i >= 0; --i) {
    out[i] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
}

/// RFC 3339 with nine digits; written by hand because every line of output pays for it.
void append_time(std::string& out, Timestamp time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::int64_t in_day = (time - day).count();
  const std::int64_t seconds = in_day / 1'000'000'000;
  char text[] = "0000-00-00T00:00:00.000000000Z";
  put_digits(text, static_cast<int>(date.year()), 4);
  put_digits(text + 5, static_cast<unsigned>(date.month()), 2);
  put_digits(text + 8, static_cast<unsigned>(date.day()), 2);
  put_digits(text + 11, seconds / 3600, 2);
  put_digits(text + 14, seconds / 60 % 60, 2);
  put_digits(text + 17, seconds % 60, 2);
  put_digits(text + 20, in_day % 1'000'000'000, 9);
  out.append(text, sizeof text - 1);
}

void append_utf8(std::string& out, unsigned point) {
  if (point < 0x80) {
    out.push_back(static_cast<char>(point));
  } else if (point < 0x800) {
    out.push_back(static_cast<char>(0xC0 | (point >> 6)));
    out.push_back(static_cast<char>(0x80 | (point & 0x3F)));
  } else if (point < 0x10000) {
    out.push_back(static_cast<char>(0xE0 | (point >> 12)));
    out.push_back(static_cast<char>(0x80 | ((point >> 6) & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (point & 0x3F)));
  } else {
    out.push_back(static_cast<char>(0xF0 | (point >> 18)));
    out.push_back(static_cast<char>(0x80 | ((point >> 12) & 0x3F)));
    out.push_back(static_cast<char>(0x80 | ((point >> 6) & 0x3F)));
    out.push_back(static_cast<char>(0x80 | (point & 0x3F)));
  }
}

std::optional<unsigned> take_hex4(std::string_view& text) {
  unsigned value = 0;
  if (text.size() < 4) return std::nullopt;
  const auto result = std::from_chars(text.data(), text.data() + 4, value, 16);
  if (result.ec != std::errc() || result.ptr != text.data() + 4) return std::nullopt;
  text.remove_prefix(4);
  return value;
}

/// The code point of a \u escape whose "\u" was taken already; a surrogate pair is one point.
std::optional<unsigned> take_code_point(std::string_view& text) {
  const std::optional<unsigned> first = take_hex4(text);
  if (!first || *first < 0xD800 || *first > 0xDFFF) return first;
  std::string_view rest = text;
  if (*first > 0xDBFF || !rest.starts_with("\\u")) return 0xFFFDU;
  rest.remove_prefix(2);
  const std::optional<unsigned> second = take_hex4(rest);
  if (!second || *second < 0xDC00 || *second > 0xDFFF) return 0xFFFDU;
  text = rest;
  return 0x10000U + ((*first - 0xD800U) << 10) + (*second - 0xDC00U);
}

/// Takes a JSON string's inside and its closing quote off `text`.
bool take_string(std::string_view& text, std::string& out) {
  for (;;) {
    const std::size_t stop = text.find_first_of("\"\\");
    if (stop == std::string_view::npos) return false;
    out.append(text, 0, stop);
    const char mark = text[stop];
    text.remove_prefix(stop + 1);
    if (mark == '"') return true;
    if (text.empty()) return false;
    const char escape = text.front();
    text.remove_prefix(1);
    switch (escape) {
      case 'n':
        out.push_back('\n');
        break;
      case 't':
        out.push_back('\t');
        break;
      case 'r':
        out.push_back('\r');
        break;
      case 'b':
        out.push_back('\b');
        break;
      case 'f':
        out.push_back('\f');
        break;
      case 'u': {
        const std::optional<unsigned> point = take_code_point(text);
        if (!point) return false;
        append_utf8(out, *point);
        break;
      }
      default:
        out.push_back(escape);
    }
  }
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

std::string query_escape(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '_' || c == '.' || c == '~') {
      out.push_back(c);
    } else if (c == ' ') {
      out.push_back('+');
    } else {
      out.push_back('%');
      out.push_back(digits[byte >> 4]);
      out.push_back(digits[byte & 15]);
    }
  }
  return out;
}

std::string make_details(std::string_view object) {
  std::string out;
  try {
    const auto attributes = from_json<std::map<std::string, std::string>>(parse_json(object));
    for (const auto& [key, value] : attributes) {
      if (!out.empty()) out.push_back(',');
      out += concat(query_escape(key), '=', query_escape(value));
    }
  } catch (const Error&) {
    out.clear();  // a damaged record shows no details; its text still counts
  }
  return out;
}

/// The span of "attrs" in what follows the stream: from its '{' to the last '}' before the time.
std::optional<std::string_view> take_attributes(std::string_view& text) {
  if (!take_prefix(text, attributes_key)) return std::string_view();
  const std::size_t end = text.rfind(time_key);
  if (end == std::string_view::npos || end == 0 || text[end - 1] != '}') return std::nullopt;
  const std::string_view object = text.substr(0, end);
  text.remove_prefix(end);
  return object;
}

}  // namespace

FrameHeader make_frame_header(StreamId stream, std::size_t payload_bytes) noexcept {
  return {{static_cast<unsigned char>(stream), 0, 0, 0, static_cast<unsigned char>(payload_bytes >> 24),
           static_cast<unsigned char>(payload_bytes >> 16), static_cast<unsigned char>(payload_bytes >> 8),
           static_cast<unsigned char>(payload_bytes)}};
}

std::string make_log_attributes(const std::map<std::string, std::string>& attributes) {
  if (attributes.empty()) return {};
  return concat(attributes_key, write_json(to_json(attributes)));
}

void append_log_record(std::string& out, std::string_view text, StreamId stream, std::string_view attributes,
                       Timestamp time) {
  out += log_key;
  if (is_ascii(text)) {
    append_escaped(out, text);
  } else {
    append_escaped(out, to_valid_utf8(text));
  }
  out += stream_key;
  out += stream == StreamId::err ? "err\"" : "out\"";
  out += attributes;
  out += time_key;
  append_time(out, time);
  out += "\"}\n";
}

std::size_t find_piece_end(std::string_view text, std::size_t limit) noexcept {
  if (text.size() <= limit) return text.size();
  std::size_t end = limit;
  // A sequence has at most three continuation bytes; more of them is no UTF-8 and may be cut anywhere.
  for (int step = 0; step < 3 && end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80; ++step) --end;
  return (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80 || end == 0 ? limit : end;
}

std::optional<LogRecord> parse_log_record(std::string_view line, LogDetails details) {
  LogRecord record;
  if (!take_prefix(line, log_key) || !take_string(line, record.text)) return std::nullopt;
  if (!take_prefix(line, stream_key.substr(1))) return std::nullopt;
  if (line.size() < 4 || line[3] != '"') return std::nullopt;
  const std::string_view stream = line.substr(0, 3);
  if (stream != "out" && stream != "err") return std::nullopt;
  record.stream = stream == "err" ? StreamId::err : StreamId::out;
  line.remove_prefix(4);
  const std::optional<std::string_view> attributes = take_attributes(line);
  if (!attributes || !take_prefix(line, time_key) || !line.ends_with("\"}")) return std::nullopt;
  const std::optional<Timestamp> time = parse_rfc3339(line.substr(0, line.size() - 2));
  if (!time) return std::nullopt;
  record.time = *time;
  if (details == LogDetails::keep && !attributes->empty()) record.details = make_details(*attributes);
  return record;
}

std::optional<Timestamp> parse_log_time(std::string_view line) {
  if (!line.ends_with("\"}")) return std::nullopt;
  const std::size_t key = line.rfind(time_key);
  if (key == std::string_view::npos) return std::nullopt;
  const std::size_t begin = key + time_key.size();
  return parse_rfc3339(line.substr(begin, line.size() - begin - 2));
}

std::string make_log_path(std::string_view path, std::int64_t index) {
  return index == 0 ? std::string(path) : concat(path, '.', index);
}

}  // namespace mydocker::runtime
