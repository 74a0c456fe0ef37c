#include "engine/base/error.h"

#include <cstring>

namespace mydocker {
namespace {

constexpr std::pair<ErrorKind, std::string_view> kind_words[] = {
    {ErrorKind::not_modified, "not_modified"},
    {ErrorKind::invalid_argument, "invalid_argument"},
    {ErrorKind::unauthorized, "unauthorized"},
    {ErrorKind::forbidden, "forbidden"},
    {ErrorKind::not_found, "not_found"},
    {ErrorKind::conflict, "conflict"},
    {ErrorKind::too_large, "too_large"},
    {ErrorKind::internal, "internal"},
    {ErrorKind::not_implemented, "not_implemented"},
    {ErrorKind::unavailable, "unavailable"},
};

}  // namespace

std::string_view to_string(ErrorKind kind) noexcept {
  for (const auto& [value, word] : kind_words) {
    if (value == kind) return word;
  }
  return "internal";
}

ErrorKind parse_error_kind(std::string_view word) noexcept {
  for (const auto& [value, name] : kind_words) {
    if (name == word) return value;
  }
  return ErrorKind::internal;
}

void Error::add_context(std::string_view context) { message_ = concat(context, ": ", message_); }

std::string errno_text(int errno_value) {
  // strerrordesc_np never translates and never shares a buffer (man 3 strerrordesc_np).
  const char* text = ::strerrordesc_np(errno_value);
  return text != nullptr ? std::string(text) : concat("error ", errno_value);
}

Error make_sys_error(int errno_value, std::string message) {
  message += ": ";
  message += errno_text(errno_value);
  return Error(ErrorKind::internal, std::move(message), errno_value);
}

}  // namespace mydocker
