#include "api/server/http_status.h"

namespace mydocker::api {

Status to_status(ErrorKind kind) noexcept {
  switch (kind) {
    case ErrorKind::not_modified:
      return Status::not_modified;
    case ErrorKind::invalid_argument:
      return Status::bad_request;
    case ErrorKind::unauthorized:
      return Status::unauthorized;
    case ErrorKind::forbidden:
      return Status::forbidden;
    case ErrorKind::not_found:
      return Status::not_found;
    case ErrorKind::conflict:
      return Status::conflict;
    case ErrorKind::too_large:
      return Status::too_large;
    case ErrorKind::internal:
      return Status::internal_error;
    case ErrorKind::not_implemented:
      return Status::not_implemented;
    case ErrorKind::unavailable:
      return Status::unavailable;
  }
  return Status::internal_error;
}

std::string_view reason_phrase(Status status) noexcept {
  switch (status) {
    case Status::switching_protocols:
      return "Switching Protocols";
    case Status::ok:
      return "OK";
    case Status::created:
      return "Created";
    case Status::no_content:
      return "No Content";
    case Status::not_modified:
      return "Not Modified";
    case Status::bad_request:
      return "Bad Request";
    case Status::unauthorized:
      return "Unauthorized";
    case Status::forbidden:
      return "Forbidden";
    case Status::not_found:
      return "Not Found";
    case Status::request_timeout:
      return "Request Timeout";
    case Status::conflict:
      return "Conflict";
    case Status::too_large:
      return "Request Entity Too Large";
    case Status::header_too_large:
      return "Request Header Fields Too Large";
    case Status::internal_error:
      return "Internal Server Error";
    case Status::not_implemented:
      return "Not Implemented";
    case Status::unavailable:
      return "Service Unavailable";
  }
  return "Unknown";
}

}  // namespace mydocker::api
