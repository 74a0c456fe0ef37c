#pragma once

#include <cerrno>
#include <exception>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace mydocker {

/// What a failure means to the caller. Whoever knows the meaning picks the kind; errno never does.
/// Only `api/server/http_status.cpp` turns a kind into a number.
enum class ErrorKind {
  not_modified,      ///< 304: already in the state that was asked for
  invalid_argument,  ///< 400
  unauthorized,      ///< 401
  forbidden,         ///< 403
  not_found,         ///< 404
  conflict,          ///< 409
  too_large,         ///< 413
  internal,          ///< 500
  not_implemented,   ///< 501
  unavailable,       ///< 503
};

/// "invalid_argument" and so on: for logs and for the wire between shim and engine.
std::string_view to_string(ErrorKind kind) noexcept;
/// The reverse of to_string; an unknown word is `internal`.
ErrorKind parse_error_kind(std::string_view word) noexcept;

/// The one exception type of the project: a kind, a message for people, and the errno behind it or 0.
class Error : public std::exception {
 public:
  Error(ErrorKind kind, std::string message, int errno_value = 0)
      : kind_(kind), message_(std::move(message)), errno_value_(errno_value) {}

  ErrorKind kind() const noexcept { return kind_; }
  const std::string& message() const noexcept { return message_; }
  int errno_value() const noexcept { return errno_value_; }
  const char* what() const noexcept override { return message_.c_str(); }

  /// Puts "`context`: " before the message. For `catch (Error& e) { e.add_context("pull x"); throw; }`.
  void add_context(std::string_view context);

 private:
  ErrorKind kind_;
  std::string message_;
  int errno_value_;
};

/// Joins pieces (strings, characters, integers) into one string; no locale, no format string.
template <typename... Pieces>
std::string concat(const Pieces&... pieces) {
  std::string out;
  const auto add = [&out](const auto& piece) {
    using T = std::remove_cvref_t<decltype(piece)>;
    if constexpr (std::is_same_v<T, char>) {
      out.push_back(piece);
    } else if constexpr (std::is_integral_v<T>) {
      out += std::to_string(piece);
    } else {
      out += std::string_view(piece);
    }
  };
  (add(pieces), ...);
  return out;
}

/// "text: <strerror(errno_value)>" with kind `internal`.
Error make_sys_error(int errno_value, std::string message);

/// Error{internal} for the errno of the call that just failed. Takes pieces, so that nothing clobbers errno first.
template <typename... Pieces>
Error sys_error(const Pieces&... pieces) {
  const int saved = errno;
  return make_sys_error(saved, concat(pieces...));
}

/// strerror without locale or shared buffer; safe in any thread.
std::string errno_text(int errno_value);

}  // namespace mydocker
