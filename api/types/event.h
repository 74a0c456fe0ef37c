#pragma once

#include "api/types/json.h"

/// One object of the event stream (Engine API v1.51; WIRE 17).
namespace mydocker::api {

struct EventActor {
  std::string id;
  StringMap attributes;

  static constexpr auto json_fields() {
    return std::tuple(field("ID", &EventActor::id), field("Attributes", &EventActor::attributes));
  }
};

struct Event {
  std::string status;  ///< = action; containers and images only
  std::string id;      ///< = actor.id; containers and images only
  std::string from;    ///< the image reference; containers only
  std::string type;
  std::string action;
  EventActor actor;
  std::string scope = "local";
  std::int64_t time_s = 0;
  std::int64_t time_ns = 0;  ///< the same instant since 1970

  static constexpr auto json_fields() {
    using T = Event;
    return std::tuple(field_omit_empty("status", &T::status), field_omit_empty("id", &T::id),
                      field_omit_empty("from", &T::from), field("Type", &T::type), field("Action", &T::action),
                      field("Actor", &T::actor), field_omit_empty("scope", &T::scope), field("time", &T::time_s),
                      field("timeNano", &T::time_ns));
  }
};

}  // namespace mydocker::api
