#pragma once

#include "api/types/json.h"

/// GET /containers/{id}/explain: our own (no Docker counterpart).
namespace mydocker::api {

/// Plain sentences for people, the most telling one first.
struct Explanation {
  std::string id;
  std::string name;
  std::string status;   ///< as in `ps`: "Exited (137) 2 minutes ago"
  std::string verdict;  ///< one sentence
  StringList reasons;   ///< what the verdict rests on, and what to do
  StringList log;       ///< the last lines of its output

  static constexpr auto json_fields() {
    using T = Explanation;
    return std::tuple(field("Id", &T::id), field("Name", &T::name), field("Status", &T::status),
                      field("Verdict", &T::verdict), field("Reasons", &T::reasons), field("Log", &T::log));
  }
};

}  // namespace mydocker::api
