#pragma once

#include <string_view>

#include "engine/base/error.h"

namespace mydocker::api {

/// The status codes that the API sends.
enum class Status : int {
  switching_protocols = 101,
  ok = 200,
  created = 201,
  no_content = 204,
  not_modified = 304,
  bad_request = 400,
  unauthorized = 401,
  forbidden = 403,
  not_found = 404,
  request_timeout = 408,
  conflict = 409,
  too_large = 413,
  header_too_large = 431,
  internal_error = 500,
  not_implemented = 501,
  unavailable = 503,
};

/// The only place where a kind of error becomes a number (STYLE 3.5).
Status to_status(ErrorKind kind) noexcept;
/// "Not Found".
std::string_view reason_phrase(Status status) noexcept;

}  // namespace mydocker::api
