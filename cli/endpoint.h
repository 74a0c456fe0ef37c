#pragma once

#include <string>
#include <string_view>

/// Where the engine answers.
namespace mydocker::cli {

inline constexpr std::string_view default_socket = "/run/mydocker.sock";

struct Endpoint {
  enum class Kind { unix_socket, tcp };
  Kind kind = Kind::unix_socket;
  std::string path;         ///< unix_socket
  std::string host, port;   ///< tcp
  bool is_default = false;  ///< nobody named it: an engine may be started for it

  /// "unix:///run/mydocker.sock", "tcp://127.0.0.1:2375".
  std::string url() const;
};

/// "unix:///path", "tcp://host:port", "host:port"; `default_port` for a host without one. Throws
/// Error{invalid_argument} "unable to resolve docker endpoint: invalid bind address format: x".
Endpoint parse_endpoint(std::string_view text, std::string_view default_port = "2375");

}  // namespace mydocker::cli
