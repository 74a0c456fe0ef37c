#include "api/server/routes/routes.h"

namespace mydocker::api {
namespace {

/// BuildKit's doors: any quick answer but 101 makes clients fall back (WIRE 27).
awaitable<void> answer_no_buildkit(Engine&, const Request&, Writer& out) {
  co_await out.error(Status::not_found, "page not found");
}

/// BuildPrune: the classic builder keeps no cache of its own; `system prune` calls this.
awaitable<void> prune_build_cache(Engine& engine, const Request&, Writer& out) {
  engine.note_build_cache_pruned();
  json::object report{{"CachesDeleted", nullptr}, {"SpaceReclaimed", 0}};
  co_await out.json(Status::ok, std::move(report));
}

/// BuildCancel: only BuildKit's builds have an ID.
awaitable<void> cancel_build(Engine&, const Request& request, Writer& out) {
  if (request.query_text("id").empty()) throw Error(ErrorKind::invalid_argument, "build ID not provided");
  co_await out.empty(Status::ok);
}

constexpr EngineRoute routes[] = {
    {Method::post, "/build", answer_not_implemented, OnHangup::finish, BodyKind::upload},
    {Method::post, "/build/prune", prune_build_cache},
    {Method::post, "/build/cancel", cancel_build},
    {Method::post, "/session", answer_no_buildkit},
    {Method::post, "/grpc", answer_no_buildkit},
};

}  // namespace

std::span<const EngineRoute> build_routes() { return routes; }

}  // namespace mydocker::api
