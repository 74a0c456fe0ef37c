#include "engine/base/template/printf.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdio>

#include "engine/base/template/template.h"

namespace mydocker::text_template {
namespace {

constexpr std::int64_t max_width = 1 << 16;

struct Verb {
  bool minus = false, plus = false, sharp = false, space = false, zero = false;
  std::int64_t width = 0;
  std::int64_t precision = -1;
  char letter = 0;
};

std::string bad_verb(char letter, const json::value& value) {
  if (value.is_null()) return concat("%!", letter, "(<nil>)");
  return concat("%!", letter, "(", go_type(value), "=", go_print(value), ")");
}

std::size_t count_characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string cut_characters(std::string_view text, std::int64_t count) {
  std::size_t at = 0;
  while (at < text.size()) {
    if ((static_cast<unsigned char>(text[at]) & 0xC0) != 0x80 && count-- == 0) break;
    ++at;
  }
  return std::string(text.substr(0, at));
}

std::string format_integer(const Verb& verb, const json::value& value) {
  const bool negative = value.is_int64() && value.get_int64() < 0;
  const std::uint64_t magnitude = value.is_uint64() ? value.get_uint64()
                                  : negative        ? ~static_cast<std::uint64_t>(value.get_int64()) + 1
                                                    : static_cast<std::uint64_t>(value.get_int64());
  if (verb.letter == 'c') return json::string(1, static_cast<char>(magnitude & 0x7f)).c_str();
  const int base = verb.letter == 'x' || verb.letter == 'X' ? 16 : verb.letter == 'o' ? 8 : verb.letter == 'b' ? 2 : 10;
  char buffer[80];
  const auto [end, failure] = std::to_chars(buffer, buffer + sizeof buffer, magnitude, base);
  std::string digits(buffer, failure == std::errc{} ? end : buffer);
  if (verb.letter == 'X')
    std::transform(digits.begin(), digits.end(), digits.begin(),
                   [](char c) { return static_cast<char>(std::toupper(c)); });
  const std::string sign = negative ? "-" : verb.plus ? "+" : verb.space ? " " : "";
  const std::string prefix = verb.sharp && base == 16 ? concat("0", verb.letter) : verb.sharp && base == 8 ? "0" : "";
  std::int64_t least = std::max<std::int64_t>(verb.precision, 0);
  if (verb.zero && !verb.minus && verb.precision < 0) {
    least = verb.width - static_cast<std::int64_t>(sign.size() + prefix.size());
  }
  if (const auto size = static_cast<std::int64_t>(digits.size()); size < least) {
    digits.insert(0, static_cast<std::size_t>(least - size), '0');
  }
  return concat(sign, prefix, digits);
}

std::string format_float(const Verb& verb, double value) {
  char buffer[512];
  char format[16];
  if (verb.letter == 'g' && verb.precision < 0) return go_print(json::value(value));
  std::snprintf(format, sizeof format, "%%%s%s.*%c", verb.plus ? "+" : "", verb.sharp ? "#" : "", verb.letter);
  const int precision = static_cast<int>(verb.precision < 0 ? 6 : std::min<std::int64_t>(verb.precision, 100));
  std::snprintf(buffer, sizeof buffer, format, precision, value);
  return buffer;
}

std::string format_text(const Verb& verb, std::string text) {
  if (verb.precision >= 0) text = cut_characters(text, verb.precision);
  if (verb.letter == 'q') return go_quote(text);
  if (verb.letter != 'x' && verb.letter != 'X') return text;
  std::string out;
  for (const char c : text) {
    char buffer[4];
    std::snprintf(buffer, sizeof buffer, verb.letter == 'x' ? "%02x" : "%02X",
                  static_cast<unsigned>(static_cast<unsigned char>(c)));
    out += buffer;
  }
  return out;
}

std::string format_value(const Verb& verb, const json::value& value) {
  const std::string_view letters(&verb.letter, 1);
  const auto one_of = [&](std::string_view set) { return set.find(verb.letter) != std::string_view::npos; };
  if (verb.letter == 'T') return std::string(go_type(value));
  if (verb.letter == 'v') return value.is_string() && verb.sharp ? go_quote(value.get_string()) : go_print(value);
  if (value.is_array() && one_of("sdq")) {
    std::string out = "[";
    for (const json::value& item : value.get_array()) {
      if (out.size() > 1) out += ' ';
      out += format_value(verb, item);
    }
    return out + "]";
  }
  if (value.is_string() && one_of("sqxX")) return format_text(verb, std::string(value.get_string()));
  if ((value.is_int64() || value.is_uint64()) && one_of("dxXobc")) return format_integer(verb, value);
  if (value.is_double() && one_of("feEgG")) return format_float(verb, value.get_double());
  if (value.is_bool() && verb.letter == 't') return go_print(value);
  if (value.is_object() && verb.letter == 's') return go_print(value);
  return bad_verb(verb.letter, value);
}

std::string pad(const Verb& verb, std::string text) {
  const std::size_t length = count_characters(text);
  if (verb.width <= 0 || length >= static_cast<std::size_t>(verb.width)) return text;
  const std::string blanks(static_cast<std::size_t>(verb.width) - length, ' ');
  return verb.minus ? text + blanks : blanks + text;
}

}  // namespace

std::string_view go_type(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "<nil>";
    case json::kind::bool_:
      return "bool";
    case json::kind::int64:
      return "int";
    case json::kind::uint64:
      return "uint64";
    case json::kind::double_:
      return "float64";
    case json::kind::string:
      return "string";
    case json::kind::array:
      return "[]interface {}";
    case json::kind::object:
      return "map[string]interface {}";
  }
  return "";
}

std::string go_sprintf(std::string_view format, std::span<const json::value> arguments) {
  std::string out;
  std::size_t used = 0;
  const auto take_number = [&](std::size_t& at) -> std::int64_t {
    if (at < format.size() && format[at] == '*') {
      ++at;
      const json::value* argument = used < arguments.size() ? &arguments[used++] : nullptr;
      return argument != nullptr && argument->is_int64() ? std::clamp(argument->get_int64(), -max_width, max_width) : 0;
    }
    std::int64_t number = 0;
    while (at < format.size() && format[at] >= '0' && format[at] <= '9') {
      number = std::min(number * 10 + (format[at++] - '0'), max_width);
    }
    return number;
  };
  for (std::size_t at = 0; at < format.size();) {
    if (format[at] != '%') {
      out += format[at++];
      continue;
    }
    Verb verb;
    for (++at; at < format.size(); ++at) {
      bool* flag = format[at] == '-'   ? &verb.minus
                   : format[at] == '+' ? &verb.plus
                   : format[at] == '#' ? &verb.sharp
                   : format[at] == ' ' ? &verb.space
                   : format[at] == '0' ? &verb.zero
                                       : nullptr;
      if (flag == nullptr) break;
      *flag = true;
    }
    verb.width = take_number(at);
    if (verb.width < 0) {
      verb.minus = true;
      verb.width = -verb.width;
    }
    if (at < format.size() && format[at] == '.') {
      ++at;
      verb.precision = take_number(at);
    }
    if (at >= format.size()) {
      out += "%!(NOVERB)";
      break;
    }
    verb.letter = format[at++];
    if (verb.letter == '%') {
      out += '%';
    } else if (used >= arguments.size()) {
      out += concat("%!", verb.letter, "(MISSING)");
    } else {
      out += pad(verb, format_value(verb, arguments[used++]));
    }
  }
  if (used < arguments.size()) {
    out += "%!(EXTRA ";
    for (std::size_t at = used; at < arguments.size(); ++at) {
      if (at > used) out += ", ";
      out += concat(go_type(arguments[at]), "=", go_print(arguments[at]));
    }
    out += ')';
  }
  return out;
}

}  // namespace mydocker::text_template
