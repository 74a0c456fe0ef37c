#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/unique_fd.h"

/// A client of a D-Bus daemon, as much as the systemd cgroup driver needs (D-Bus specification, "Message Protocol",
/// "Authentication Protocol"): EXTERNAL authentication, calls one at a time, signals. libdbus would be larger than the
/// program that links it (contrib/decisions/0008-own-dbus-client.md).
namespace mydocker::runtime {

inline constexpr std::string_view system_bus_socket = "/run/dbus/system_bus_socket";

/// Values in the wire's format (little endian), with their signature. Values only.
class DbusWriter {
 public:
  void put_string(std::string_view text);  ///< 's'
  void put_object_path(std::string_view path);
  void put_byte(std::uint8_t value);
  void put_bool(bool value);
  void put_uint32(std::uint32_t value);
  void put_uint64(std::uint64_t value);

  /// What `content` puts becomes the elements, of type `element`: "s", "(sv)" ...
  void put_array(std::string_view element, const std::function<void()>& content);
  void put_struct(const std::function<void()>& content);
  /// `content` puts exactly one value of type `signature`.
  void put_variant(std::string_view signature, const std::function<void()>& content);

  const std::string& bytes() const noexcept { return bytes_; }
  const std::string& signature() const noexcept { return signature_; }

 private:
  friend class DbusConnection;
  void align(std::size_t boundary);
  void put_raw32(std::uint32_t value);
  void put_raw_string(std::string_view text);
  void add_signature(std::string_view type);

  std::string bytes_;
  std::string signature_;
  int nesting_ = 0;  ///< inside a container its own type stands in the signature already
};

/// Reads values in the order in which they were written. Everything is checked against the end of the message: throws
/// Error{invalid_argument}. The message must outlive it.
class DbusReader {
 public:
  explicit DbusReader(std::string_view bytes) : bytes_(bytes) {}
  std::uint8_t get_byte();
  std::uint32_t get_uint32();
  std::string get_string();     ///< 's' and 'o'
  std::string get_signature();  ///< 'g', also in front of a variant's value
  void align(std::size_t boundary);
  bool at_end() const noexcept { return at_ >= bytes_.size(); }
  std::size_t position() const noexcept { return at_; }

 private:
  std::string_view take(std::size_t size);

  std::string_view bytes_;
  std::size_t at_ = 0;
};

struct DbusMessage {
  enum class Type : std::uint8_t { invalid = 0, call = 1, reply = 2, error = 3, signal = 4 };
  Type type = Type::invalid;
  std::uint32_t reply_serial = 0;
  std::string path, interface, member, error_name, sender, signature;
  std::string body;
};

/// One whole message. Throws Error{invalid_argument} for one that is none. Pure.
DbusMessage parse_dbus_message(std::string_view bytes);

/// Whom a call goes to.
struct DbusTarget {
  std::string_view destination;
  std::string_view path;
  std::string_view interface;
};

/// The other side answered with an error: its name is for programs, the message for people.
class DbusError : public Error {
 public:
  DbusError(std::string name, std::string message)
      : Error(ErrorKind::internal, std::move(message)), name_(std::move(name)) {}
  const std::string& name() const noexcept { return name_; }

 private:
  std::string name_;
};

/// A connection to the bus. One thread; blocks until the other side has answered, at most until the deadline (30 s
/// after the construction): Error{unavailable}. A refusal is a DbusError.
class DbusConnection {
 public:
  using Clock = std::chrono::steady_clock;

  /// Connects, authenticates as the effective user, says Hello. Throws Error{unavailable} when nobody listens.
  explicit DbusConnection(const std::string& socket_path = std::string(system_bus_socket));

  DbusMessage call(const DbusTarget& target, std::string_view member, const DbusWriter& arguments = {});
  /// Waits for a signal for which `wanted` is true; signals that came during earlier calls are looked at first.
  DbusMessage wait_signal(const std::function<bool(const DbusMessage&)>& wanted);

 private:
  void authenticate();
  std::string read_line();
  DbusMessage receive();
  std::string read_exactly(std::size_t size);

  UniqueFd socket_;
  Clock::time_point deadline_;
  std::uint32_t serial_ = 0;
  std::vector<DbusMessage> signals_;
};

}  // namespace mydocker::runtime
