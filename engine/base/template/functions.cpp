#include "engine/base/template/functions.h"

#include <algorithm>
#include <cmath>
#include <compare>
#include <cstdio>
#include <iterator>

#include "engine/base/error.h"
#include "engine/base/template/printf.h"
#include "engine/base/template/template.h"

namespace mydocker::text_template {
namespace {

using Arguments = std::span<const json::value>;

[[noreturn]] void fail(std::string message) { throw FunctionError{std::move(message)}; }

std::string_view kind_name(const json::value& value) { return value.is_null() ? "nil" : go_type(value); }

std::string_view need_string(const json::value& value) {
  if (!value.is_string()) fail(concat("wrong type for value; expected string; got ", kind_name(value)));
  return value.get_string();
}

std::int64_t need_int(const json::value& value) {
  if (value.is_int64()) return value.get_int64();
  fail(concat("wrong type for value; expected int; got ", kind_name(value)));
}

bool is_number(const json::value& value) { return value.is_number(); }

// Integers of either sign compare by value; a float with an integer is an error, as in Go.
std::partial_ordering compare_numbers(const json::value& left, const json::value& right) {
  if (left.is_double() != right.is_double()) fail("incompatible types for comparison");
  if (left.is_double() || right.is_double()) {
    return left.to_number<double>() <=> right.to_number<double>();
  }
  if (left.is_int64() && right.is_int64()) return left.get_int64() <=> right.get_int64();
  if (left.is_uint64() && right.is_uint64()) return left.get_uint64() <=> right.get_uint64();
  return left.is_uint64() ? std::partial_ordering::greater : std::partial_ordering::less;
}

bool equal(const json::value& left, const json::value& right) {
  if (is_number(left) && is_number(right)) return compare_numbers(left, right) == 0;
  if (left.is_null() || right.is_null()) return left.is_null() && right.is_null();
  if (left.kind() != right.kind()) fail("incompatible types for comparison");
  if (left.is_array() || left.is_object()) fail(concat("non-comparable type ", kind_name(left)));
  return left == right;
}

bool less(const json::value& left, const json::value& right) {
  if (is_number(left) && is_number(right)) return compare_numbers(left, right) < 0;
  if (left.is_string() && right.is_string()) {
    return std::string_view(left.get_string()) < std::string_view(right.get_string());
  }
  if (left.kind() != right.kind()) fail("incompatible types for comparison");
  fail("invalid type for comparison");
}

json::value eq(Arguments arguments) {
  if (arguments.size() < 2) fail("missing argument for comparison");
  return std::any_of(arguments.begin() + 1, arguments.end(),
                     [&](const json::value& other) { return equal(arguments[0], other); });
}
json::value ne(Arguments arguments) { return !equal(arguments[0], arguments[1]); }
json::value lt(Arguments arguments) { return less(arguments[0], arguments[1]); }
json::value le(Arguments arguments) { return less(arguments[0], arguments[1]) || equal(arguments[0], arguments[1]); }
json::value gt(Arguments arguments) { return !le(arguments).get_bool(); }
json::value ge(Arguments arguments) { return !less(arguments[0], arguments[1]); }
json::value not_(Arguments arguments) { return !is_true(arguments[0]); }

json::value len(Arguments arguments) {
  const json::value& value = arguments[0];
  if (value.is_string()) return static_cast<std::int64_t>(value.get_string().size());
  if (value.is_array()) return static_cast<std::int64_t>(value.get_array().size());
  if (value.is_object()) return static_cast<std::int64_t>(value.get_object().size());
  if (value.is_null()) fail("len of nil pointer");
  fail(concat("len of type ", kind_name(value)));
}

json::value index(Arguments arguments) {
  json::value current = arguments[0];
  for (const json::value& key : arguments.subspan(1)) {
    if (current.is_object()) {
      if (!key.is_string()) fail(concat("value has type ", kind_name(key), "; should be string"));
      const json::value* found = current.get_object().if_contains(key.get_string());
      // A Go map answers a missing key with the zero value of its type, which JSON does not tell: "" for
      // map[string]string.
      json::value next = found != nullptr ? *found : json::value("");
      current = std::move(next);
      continue;
    }
    if (!current.is_array() && !current.is_string()) {
      fail(current.is_null() ? "index of untyped nil" : concat("can't index item of type ", kind_name(current)));
    }
    if (!key.is_int64() && !key.is_uint64()) fail(concat("cannot index slice/array with type ", kind_name(key)));
    const std::int64_t at = key.is_int64() ? key.get_int64() : INT64_MAX;
    const std::size_t size = current.is_array() ? current.get_array().size() : current.get_string().size();
    if (at < 0 || static_cast<std::uint64_t>(at) > size) fail(concat("index out of range: ", at));
    if (static_cast<std::uint64_t>(at) == size) {
      fail(current.is_string() ? "reflect: string index out of range" : "reflect: slice index out of range");
    }
    const auto position = static_cast<std::size_t>(at);
    json::value next = current.is_array()
                           ? current.get_array()[position]
                           : json::value(std::int64_t{static_cast<unsigned char>(current.get_string()[position])});
    current = std::move(next);
  }
  return current;
}

json::value slice(Arguments arguments) {
  const json::value& value = arguments[0];
  if (!value.is_string() && !value.is_array()) fail(concat("can't slice item of type ", kind_name(value)));
  const std::size_t size = value.is_string() ? value.get_string().size() : value.get_array().size();
  if (arguments.size() > 3) fail(value.is_string() ? "cannot 3-index slice a string" : "too many slice indexes");
  std::size_t bounds[2] = {0, size};
  for (std::size_t at = 1; at < arguments.size(); ++at) {
    const std::int64_t bound = need_int(arguments[at]);
    if (bound < 0 || static_cast<std::uint64_t>(bound) > size) fail(concat("index out of range: ", bound));
    bounds[at - 1] = static_cast<std::size_t>(bound);
  }
  if (bounds[0] > bounds[1]) fail(concat("invalid slice index: ", bounds[0], " > ", bounds[1]));
  if (value.is_string())
    return json::value(std::string_view(value.get_string()).substr(bounds[0], bounds[1] - bounds[0]));
  const json::array& items = value.get_array();
  return json::array(items.begin() + static_cast<std::ptrdiff_t>(bounds[0]),
                     items.begin() + static_cast<std::ptrdiff_t>(bounds[1]));
}

// Go's fmt.Sprint puts a blank between operands when neither is a string.
json::value print(Arguments arguments) {
  std::string out;
  for (std::size_t at = 0; at < arguments.size(); ++at) {
    if (at > 0 && !arguments[at - 1].is_string() && !arguments[at].is_string()) out += ' ';
    out += go_print(arguments[at]);
  }
  return json::value(out);
}

json::value println(Arguments arguments) {
  std::string out;
  for (std::size_t at = 0; at < arguments.size(); ++at) {
    if (at > 0) out += ' ';
    out += go_print(arguments[at]);
  }
  return json::value(out + '\n');
}

json::value printf(Arguments arguments) {
  return json::value(go_sprintf(need_string(arguments[0]), arguments.subspan(1)));
}

json::value escape(Arguments arguments, std::span<const std::pair<char, std::string_view>> table) {
  std::string text;
  for (const json::value& argument : arguments) text += go_print(argument);
  std::string out;
  for (const char c : text) {
    const auto found = std::find_if(table.begin(), table.end(), [c](const auto& row) { return row.first == c; });
    if (found != table.end()) {
      out += found->second;
    } else {
      out += c;
    }
  }
  return json::value(out);
}

json::value html(Arguments arguments) {
  static constexpr std::pair<char, std::string_view> table[] = {{'"', "&#34;"}, {'\'', "&#39;"}, {'&', "&amp;"},
                                                                {'<', "&lt;"},  {'>', "&gt;"},   {'\0', "\uFFFD"}};
  return escape(arguments, table);
}

json::value js(Arguments arguments) {
  static constexpr std::pair<char, std::string_view> table[] = {
      {'\\', "\\\\"},   {'\'', "\\'"},    {'"', "\\\""},     {'<', "\\u003C"},  {'>', "\\u003E"},
      {'&', "\\u0026"}, {'=', "\\u003D"}, {'\n', "\\u000A"}, {'\r', "\\u000D"}, {'\t', "\\u0009"}};
  return escape(arguments, table);
}

json::value urlquery(Arguments arguments) {
  std::string out;
  for (const json::value& argument : arguments) {
    for (const char c : go_print(argument)) {
      const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                         std::string_view("-_.~").find(c) != std::string_view::npos;
      char buffer[4];
      std::snprintf(buffer, sizeof buffer, "%%%02X", static_cast<unsigned>(static_cast<unsigned char>(c)));
      if (plain) {
        out += c;
      } else {
        out += c == ' ' ? "+" : buffer;
      }
    }
  }
  return json::value(out);
}

json::value call(Arguments) { fail("call of nil"); }

json::value to_json(Arguments arguments) { return json::value(go_json(arguments[0], false)); }

json::value split(Arguments arguments) {
  const std::string_view text = need_string(arguments[0]);
  const std::string_view separator = need_string(arguments[1]);
  json::array out;
  if (separator.empty()) {
    for (const char c : text) out.emplace_back(std::string_view(&c, 1));
    return out;
  }
  std::size_t start = 0;
  for (std::size_t found = 0; (found = text.find(separator, start)) != std::string_view::npos;) {
    out.emplace_back(text.substr(start, found - start));
    start = found + separator.size();
  }
  out.emplace_back(text.substr(start));
  return out;
}

json::value join(Arguments arguments) {
  if (!arguments[0].is_array() && !arguments[0].is_null()) {
    fail(concat("wrong type for value; expected []string; got ", kind_name(arguments[0])));
  }
  const std::string_view separator = need_string(arguments[1]);
  std::string out;
  if (arguments[0].is_null()) return json::value(out);
  bool first = true;
  for (const json::value& item : arguments[0].get_array()) {
    if (!std::exchange(first, false)) out += separator;
    out += item.is_string() ? std::string(item.get_string()) : go_print(item);
  }
  return json::value(out);
}

char to_lower_ascii(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }
char to_upper_ascii(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c & ~0x20) : c; }

json::value lower(Arguments arguments) {
  std::string out(need_string(arguments[0]));
  std::transform(out.begin(), out.end(), out.begin(), to_lower_ascii);
  return json::value(out);
}

json::value upper(Arguments arguments) {
  std::string out(need_string(arguments[0]));
  std::transform(out.begin(), out.end(), out.begin(), to_upper_ascii);
  return json::value(out);
}

json::value title(Arguments arguments) {
  std::string out(need_string(arguments[0]));
  bool at_start = true;
  for (char& c : out) {
    const bool letter = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '\'' || c < 0;
    if (letter && at_start) c = to_upper_ascii(c);
    at_start = !letter;
  }
  return json::value(out);
}

json::value pad(Arguments arguments) {
  const std::string_view text = need_string(arguments[0]);
  const auto blanks = [](std::int64_t count) {
    return std::string(static_cast<std::size_t>(std::clamp<std::int64_t>(count, 0, 1 << 16)), ' ');
  };
  if (text.empty()) return json::value("");
  return json::value(concat(blanks(need_int(arguments[1])), text, blanks(need_int(arguments[2]))));
}

json::value truncate(Arguments arguments) {
  const std::string_view text = need_string(arguments[0]);
  const std::int64_t length = std::max<std::int64_t>(0, need_int(arguments[1]));
  return json::value(text.substr(0, static_cast<std::size_t>(length)));
}

struct Function {
  std::string_view name;
  std::size_t least;
  std::size_t most;
  json::value (*function)(Arguments);
  bool changes_look;  // in a table's header it gives its argument back
};

constexpr std::size_t any_number = SIZE_MAX;

constexpr Function functions[] = {
    {"and", 1, any_number, nullptr, false},
    {"or", 1, any_number, nullptr, false},
    {"not", 1, 1, not_, false},
    {"eq", 1, any_number, eq, false},
    {"ne", 2, 2, ne, false},
    {"lt", 2, 2, lt, false},
    {"le", 2, 2, le, false},
    {"gt", 2, 2, gt, false},
    {"ge", 2, 2, ge, false},
    {"len", 1, 1, len, false},
    {"index", 1, any_number, index, false},
    {"slice", 1, any_number, slice, false},
    {"print", 0, any_number, print, false},
    {"println", 0, any_number, println, false},
    {"printf", 1, any_number, printf, false},
    {"html", 0, any_number, html, false},
    {"js", 0, any_number, js, false},
    {"urlquery", 0, any_number, urlquery, false},
    {"call", 1, any_number, call, false},
    {"json", 1, 1, to_json, true},
    {"split", 2, 2, split, true},
    {"join", 2, 2, join, true},
    {"title", 1, 1, title, true},
    {"lower", 1, 1, lower, true},
    {"upper", 1, 1, upper, true},
    {"pad", 3, 3, pad, false},
    {"truncate", 2, 2, truncate, true},
};

const Function* find_function(std::string_view name) {
  const auto* found = std::find_if(std::begin(functions), std::end(functions),
                                   [name](const Function& function) { return function.name == name; });
  return found == std::end(functions) ? nullptr : found;
}

}  // namespace

bool is_template_function(std::string_view name) { return find_function(name) != nullptr; }

json::value call_template_function(std::string_view name, Arguments arguments, bool header) {
  const Function& function = *find_function(name);
  if (arguments.size() < function.least) {
    fail(concat("wrong number of args for ", name, ": want ", function.most == any_number ? "at least " : "",
                function.least, " got ", arguments.size()));
  }
  if (arguments.size() > function.most) {
    fail(concat("wrong number of args for ", name, ": want ", function.most, " got ", arguments.size()));
  }
  if (header && function.changes_look) return arguments[0];
  return function.function(arguments);
}

bool is_true(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return false;
    case json::kind::bool_:
      return value.get_bool();
    case json::kind::int64:
      return value.get_int64() != 0;
    case json::kind::uint64:
      return value.get_uint64() != 0;
    case json::kind::double_:
      return value.get_double() != 0;
    case json::kind::string:
      return !value.get_string().empty();
    case json::kind::array:
      return !value.get_array().empty();
    case json::kind::object:
      return !value.get_object().empty();
  }
  return false;
}

}  // namespace mydocker::text_template
