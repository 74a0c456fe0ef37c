#pragma once

#include "api/types/json.h"

/// Lines of the progress streams of pull, push, load, import and build (WIRE 8). Each is followed by "\r\n".
namespace mydocker::api {

/// {} when both are 0.
struct ProgressDetail {
  std::int64_t current = 0;
  std::int64_t total = 0;

  static constexpr auto json_fields() {
    return std::tuple(field_omit_empty("current", &ProgressDetail::current),
                      field_omit_empty("total", &ProgressDetail::total));
  }
};

struct ProgressError {
  std::int64_t code = 0;
  std::string message;

  static constexpr auto json_fields() {
    return std::tuple(field_omit_empty("code", &ProgressError::code), field("message", &ProgressError::message));
  }
};

struct ProgressMessage {
  std::string stream;  ///< verbatim text
  std::string status;
  std::optional<ProgressDetail> progress_detail;  ///< set, if only to {}, on every line about a layer
  std::string progress;                           ///< the rendered bar
  std::string id;                                 ///< layer or tag
  std::optional<ProgressError> error_detail;      ///< last line of a failed stream, together with `error`
  std::string error;
  json::value aux;

  static constexpr auto json_fields() {
    using T = ProgressMessage;
    return std::tuple(field_omit_empty("stream", &T::stream), field_omit_empty("status", &T::status),
                      field_omit_empty("progressDetail", &T::progress_detail),
                      field_omit_empty("progress", &T::progress), field_omit_empty("id", &T::id),
                      field_omit_empty("errorDetail", &T::error_detail), field_omit_empty("error", &T::error),
                      field_omit_empty("aux", &T::aux));
  }
};

}  // namespace mydocker::api
