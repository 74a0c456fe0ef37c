#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <concepts>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include "engine/base/error.h"

/// Field tables: one struct per wire object, one line per field, both directions from the same table.
///
///   struct RestartPolicy {
///     std::string name;
///     std::int64_t maximum_retries = 0;
///     static constexpr auto json_fields() {
///       return std::tuple(field("Name", &RestartPolicy::name),
///                         field("MaximumRetryCount", &RestartPolicy::maximum_retries));
///     }
///   };
///
/// Reading follows Go's encoding/json: a missing key or null keeps the default, unknown keys are skipped, a key matches
/// exactly or else without case, the last of two equal keys wins. A wrong type throws
/// Error{invalid_argument} "HostConfig.RestartPolicy.MaximumRetryCount: expected an integer".
/// Writing: `field` always prints; `field_omit_empty` leaves out "", 0, false, null and empty lists (Go's omitempty).
/// std::optional prints null when empty (Docker's nil slices and pointers).
/// Inheritance: json_fields() of a derived struct may be std::tuple_cat(Base::json_fields(), std::tuple(...)).
/// Any thread; nothing blocks.
namespace mydocker {

namespace json = boost::json;

/// SECURITY 7: nesting of a document from outside.
inline constexpr std::size_t max_json_depth = 64;

/// Parses one document. Throws Error{invalid_argument} "invalid JSON: ..." (also for trailing bytes:
/// "unexpected content after JSON"), too deep nesting included.
json::value parse_json(std::string_view text);
/// Serializes; bytes that are not UTF-8 become U+FFFD.
std::string write_json(const json::value& value);
/// Replaces what is not valid UTF-8 by U+FFFD.
std::string to_valid_utf8(std::string_view text);

template <typename Class, typename Member>
struct Field {
  std::string_view name;
  Member Class::* member;
  bool omit_empty;
};

template <typename Class, typename Member>
constexpr Field<Class, Member> field(std::string_view name, Member Class::* member) {
  return {name, member, false};
}
template <typename Class, typename Member>
constexpr Field<Class, Member> field_omit_empty(std::string_view name, Member Class::* member) {
  return {name, member, true};
}

template <typename T>
concept HasJsonFields = requires { T::json_fields(); };

/// Specialize for irregular wire forms: static void read(const json::value&, const std::string& path, T&) and
/// static json::value write(const T&).
template <typename T>
struct JsonCodec;

template <typename T>
concept HasJsonCodec = requires(const T& value) { JsonCodec<T>::write(value); };

namespace json_detail {

[[noreturn]] void throw_expected(const std::string& path, std::string_view what);
/// Exact key, else the same without case, else nullptr.
const json::value* find_key(const json::object& object, std::string_view name);
std::int64_t read_integer(const json::value& value, const std::string& path, std::int64_t low, std::int64_t high);
std::uint64_t read_unsigned(const json::value& value, const std::string& path);
double read_double(const json::value& value, const std::string& path);
std::string join_path(const std::string& path, std::string_view name);

template <typename T>
struct IsOptional : std::false_type {};
template <typename T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <typename T>
struct IsVector : std::false_type {};
template <typename T>
struct IsVector<std::vector<T>> : std::true_type {};
template <typename T>
struct IsMap : std::false_type {};
template <typename T, typename C>
struct IsMap<std::map<std::string, T, C>> : std::true_type {};

template <typename T>
bool is_empty(const T& value) {
  if constexpr (IsOptional<T>::value) {
    return !value.has_value();
  } else if constexpr (std::is_arithmetic_v<T>) {
    return value == T{};
  } else if constexpr (requires { value.is_null(); }) {
    return value.is_null();
  } else if constexpr (requires { value.empty(); }) {
    return value.empty();
  } else {
    return false;
  }
}

}  // namespace json_detail

template <typename T>
void read_json(const json::value& value, const std::string& path, T& out) {
  using namespace json_detail;
  if constexpr (std::is_same_v<T, json::value>) {
    out = value;
  } else if constexpr (std::is_same_v<T, json::object>) {
    if (value.is_null()) return;
    if (!value.is_object()) throw_expected(path, "an object");
    out = value.get_object();
  } else if constexpr (IsOptional<T>::value) {
    if (value.is_null()) {
      out.reset();
    } else {
      read_json(value, path, out.emplace());
    }
  } else if constexpr (HasJsonCodec<T>) {
    if (!value.is_null()) JsonCodec<T>::read(value, path, out);
  } else if (value.is_null()) {
    return;
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!value.is_bool()) throw_expected(path, "true or false");
    out = value.get_bool();
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (!value.is_string()) throw_expected(path, "a string");
    out = std::string(value.get_string());
  } else if constexpr (std::is_same_v<T, std::uint64_t>) {
    out = read_unsigned(value, path);
  } else if constexpr (std::is_integral_v<T>) {
    out = static_cast<T>(read_integer(value, path, std::numeric_limits<T>::min(), std::numeric_limits<T>::max()));
  } else if constexpr (std::is_floating_point_v<T>) {
    out = read_double(value, path);
  } else if constexpr (IsVector<T>::value) {
    if (!value.is_array()) throw_expected(path, "a list");
    out.clear();
    std::size_t index = 0;
    for (const json::value& item : value.get_array()) {
      typename T::value_type element{};  // vector<bool> is not used on the wire
      read_json(item, concat(path, "[", index++, "]"), element);
      out.push_back(std::move(element));
    }
  } else if constexpr (IsMap<T>::value) {
    if (!value.is_object()) throw_expected(path, "an object");
    out.clear();
    for (const auto& entry : value.get_object()) {
      read_json(entry.value(), join_path(path, entry.key()), out[std::string(entry.key())]);
    }
  } else {
    static_assert(HasJsonFields<T>, "give the type json_fields() or a JsonCodec");
    if (!value.is_object()) throw_expected(path, "an object");
    const json::object& object = value.get_object();
    std::apply(
        [&](const auto&... fields) {
          [[maybe_unused]] const auto read_one = [&](const auto& one) {
            if (const json::value* found = find_key(object, one.name)) {
              read_json(*found, join_path(path, one.name), out.*(one.member));
            }
          };
          (read_one(fields), ...);
        },
        T::json_fields());
  }
}

template <typename T>
json::value to_json(const T& value) {
  using namespace json_detail;
  if constexpr (std::is_same_v<T, json::value>) {
    return value;
  } else if constexpr (std::is_same_v<T, json::object>) {
    return json::value(value);
  } else if constexpr (IsOptional<T>::value) {
    return value.has_value() ? to_json(*value) : json::value(nullptr);
  } else if constexpr (HasJsonCodec<T>) {
    return JsonCodec<T>::write(value);
  } else if constexpr (std::is_same_v<T, std::string>) {
    return json::value(json::string(value));
  } else if constexpr (std::is_same_v<T, bool>) {
    return json::value(value);
  } else if constexpr (std::is_integral_v<T> && std::is_unsigned_v<T>) {
    return json::value(static_cast<std::uint64_t>(value));
  } else if constexpr (std::is_integral_v<T>) {
    return json::value(static_cast<std::int64_t>(value));
  } else if constexpr (std::is_floating_point_v<T>) {
    return json::value(static_cast<double>(value));
  } else if constexpr (IsVector<T>::value) {
    json::array out;
    out.reserve(value.size());
    for (const auto& item : value) out.push_back(to_json(item));
    return out;
  } else if constexpr (IsMap<T>::value) {
    json::object out;
    for (const auto& [key, item] : value) out[key] = to_json(item);
    return out;
  } else {
    static_assert(HasJsonFields<T>, "give the type json_fields() or a JsonCodec");
    json::object out;
    std::apply(
        [&](const auto&... fields) {
          [[maybe_unused]] const auto write_one = [&](const auto& one) {
            const auto& member = value.*(one.member);
            if (!one.omit_empty || !is_empty(member)) out[one.name] = to_json(member);
          };
          (write_one(fields), ...);
        },
        T::json_fields());
    return out;
  }
}

/// A value of type T from a document; `path` names the document in errors ("" for a request body).
template <typename T>
T from_json(const json::value& value, const std::string& path = "") {
  T out{};
  read_json(value, path, out);
  return out;
}

/// A Go `struct{}`: {} on the wire (ExposedPorts, Volumes).
struct EmptyObject {
  static constexpr auto json_fields() { return std::tuple<>(); }
  bool operator==(const EmptyObject&) const = default;
};

}  // namespace mydocker
