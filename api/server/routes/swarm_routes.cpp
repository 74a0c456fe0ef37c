#include "api/server/routes/swarm_answers.h"

namespace mydocker::api {

awaitable<void> answer_no_manager(Engine&, const Request&, Writer&) {
  throw Error(ErrorKind::unavailable,
              "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this "
              "node to swarm and try again.");
  co_return;  // makes it a coroutine
}

void check_object_version(const Request& request, std::string_view object) {
  const std::string text = request.query_text("version");
  const std::optional<std::int64_t> number = parse_number(text);
  if (!number || *number < 0) {
    throw Error(ErrorKind::invalid_argument, concat("invalid ", object, " version '", text, "'"));
  }
}

namespace {

template <const char* object>
awaitable<void> update_object(Engine& engine, const Request& request, Writer& out) {
  check_object_version(request, object);
  return answer_no_manager(engine, request, out);
}

constexpr char swarm[] = "swarm";
constexpr char node[] = "node";
constexpr char service[] = "service";
constexpr char secret[] = "secret";
constexpr char config[] = "config";

/// SwarmInit, SwarmJoin: 400 for a body that is no JSON object, else 501.
awaitable<void> refuse_swarm(Engine&, const Request& request, Writer& out) {
  if (!request.json_body(BodyRule::required).is_object()) {
    throw Error(ErrorKind::invalid_argument, "invalid JSON: expected an object");
  }
  co_await out.error(Status::not_implemented, "swarm mode is not supported by this engine");
}

awaitable<void> leave_swarm(Engine&, const Request&, Writer& out) {
  co_await out.error(Status::unavailable, "This node is not part of a swarm");
}

awaitable<void> show_logs(Engine& engine, const Request& request, Writer& out) {
  if (!request.query_bool("stdout") && !request.query_bool("stderr")) {
    throw Error(ErrorKind::invalid_argument, "Bad parameters: you must choose at least one stream");
  }
  return answer_no_manager(engine, request, out);
}

constexpr EngineRoute routes[] = {
    {Method::get, "/swarm", answer_no_manager},
    {Method::post, "/swarm/init", refuse_swarm},
    {Method::post, "/swarm/join", refuse_swarm},
    {Method::post, "/swarm/leave", leave_swarm},
    {Method::post, "/swarm/update", update_object<swarm>},
    {Method::post, "/swarm/unlock", answer_no_manager},
    {Method::get, "/swarm/unlockkey", answer_no_manager},
    {Method::get, "/nodes", answer_no_manager},
    {Method::get, "/nodes/{id}", answer_no_manager},
    {Method::delete_, "/nodes/{id}", answer_no_manager},
    {Method::post, "/nodes/{id}/update", update_object<node>},
    {Method::get, "/services", answer_no_manager},
    {Method::post, "/services/create", answer_no_manager},
    {Method::get, "/services/{id}", answer_no_manager},
    {Method::delete_, "/services/{id}", answer_no_manager},
    {Method::post, "/services/{id}/update", update_object<service>},
    {Method::get, "/services/{id}/logs", show_logs},
    {Method::get, "/tasks", answer_no_manager},
    {Method::get, "/tasks/{id}", answer_no_manager},
    {Method::get, "/tasks/{id}/logs", show_logs},
    {Method::get, "/secrets", answer_no_manager},
    {Method::post, "/secrets/create", answer_no_manager},
    {Method::get, "/secrets/{id}", answer_no_manager},
    {Method::delete_, "/secrets/{id}", answer_no_manager},
    {Method::post, "/secrets/{id}/update", update_object<secret>},
    {Method::get, "/configs", answer_no_manager},
    {Method::post, "/configs/create", answer_no_manager},
    {Method::get, "/configs/{id}", answer_no_manager},
    {Method::delete_, "/configs/{id}", answer_no_manager},
    {Method::post, "/configs/{id}/update", update_object<config>},
};

}  // namespace

std::span<const EngineRoute> swarm_routes() { return routes; }

}  // namespace mydocker::api
