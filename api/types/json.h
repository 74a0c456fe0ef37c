#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/json.h"
#include "engine/base/time.h"

/// Spellings that several wire objects of the Engine API share. Any thread; nothing blocks.
/// Absence: std::optional is null on the wire; with `field_omit_empty` the key is left out instead (WIRE 2.4).
namespace mydocker::api {

using StringList = std::vector<std::string>;
using StringMap = std::map<std::string, std::string>;
/// A set of names as Go's map[string]struct{}: {"80/tcp":{}}.
using NameSet = std::map<std::string, EmptyObject>;

/// Cmd, Entrypoint, Shell: a list of strings; a bare string is read as a list of one element (Go's strslice).
class CommandLine : public std::vector<std::string> {
 public:
  using std::vector<std::string>::vector;
  CommandLine() = default;
  CommandLine(std::vector<std::string> words) : std::vector<std::string>(std::move(words)) {}
};

/// A terminal's size; [height, width] on the wire. 0, 0 = unknown.
struct ConsoleSize {
  std::uint16_t height = 0;
  std::uint16_t width = 0;
  bool operator==(const ConsoleSize&) const = default;
};

/// The answer of every call that makes an object: {"Id": "..."}.
struct IdResponse {
  std::string id;

  static constexpr auto json_fields() { return std::tuple(field("Id", &IdResponse::id)); }
};

/// The body of every error reply (WIRE 2.1).
struct ErrorResponse {
  std::string message;

  static constexpr auto json_fields() { return std::tuple(field("message", &ErrorResponse::message)); }
};

}  // namespace mydocker::api

namespace mydocker {

/// RFC 3339 with nanoseconds, UTC; Timestamp{} is "0001-01-01T00:00:00Z".
template <>
struct JsonCodec<Timestamp> {
  static void read(const json::value& value, const std::string& path, Timestamp& out);
  static json::value write(const Timestamp& value);
};

template <>
struct JsonCodec<api::CommandLine> {
  static void read(const json::value& value, const std::string& path, api::CommandLine& out);
  static json::value write(const api::CommandLine& value);
};

template <>
struct JsonCodec<api::ConsoleSize> {
  static void read(const json::value& value, const std::string& path, api::ConsoleSize& out);
  static json::value write(const api::ConsoleSize& value);
};

}  // namespace mydocker
