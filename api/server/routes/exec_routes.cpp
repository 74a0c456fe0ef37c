#include "api/types/exec.h"

#include "api/server/routes/routes.h"

namespace mydocker::api {
namespace {

/// ContainerExec. 201; 400 no command; 404; 409 not running or paused.
awaitable<void> create_exec(Engine& engine, const Request& request, Writer& out) {
  auto body = request.read_body<ExecCreateRequest>();
  if (request.version.minor < 42) body.console_size.reset();
  const std::string id = co_await engine.create_exec(request.path_param("id"), std::move(body));
  co_await out.object(Status::created, IdResponse{id});
}

/// ExecStart. Detached: 200; attached: 101 or 200 and the raw stream; 404; 409 already ran.
awaitable<void> start_exec(Engine& engine, const Request& request, Writer& out) {
  auto body = request.read_body<ExecStartRequest>(BodyRule::optional);
  if (request.version.minor < 42) body.console_size.reset();
  const bool detach = body.detach;
  engine::Hijack hijack = make_hijack(request, out, HijackHead::exec, true);
  co_await engine.start_exec(request.path_param("id"), std::move(body), std::move(hijack));
  if (detach) co_await out.empty(Status::ok);
}

/// ExecResize.
awaitable<void> resize_exec(Engine& engine, const Request& request, Writer& out) {
  const std::optional<int> height = request.query_int("h");
  const std::optional<int> width = request.query_int("w");
  if (!height || !width) throw Error(ErrorKind::invalid_argument, "bad parameter: h and w must be numbers");
  co_await engine.resize_exec(request.path_param("id"), *height, *width);
  co_await out.empty(Status::ok);
}

/// ExecInspect.
awaitable<void> inspect_exec(Engine& engine, const Request& request, Writer& out) {
  const ExecInspect exec = co_await engine.inspect_exec(request.path_param("id"));
  co_await out.object(Status::ok, exec);
}

constexpr EngineRoute routes[] = {
    {Method::post, "/containers/{id}/exec", create_exec},
    {Method::post, "/exec/{id}/start", start_exec},
    {Method::post, "/exec/{id}/resize", resize_exec},
    {Method::get, "/exec/{id}/json", inspect_exec},
};

}  // namespace

std::span<const EngineRoute> exec_routes() { return routes; }

}  // namespace mydocker::api
