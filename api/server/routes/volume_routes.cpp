#include "api/types/volume.h"

#include "api/server/routes/routes.h"
#include "api/server/routes/swarm_answers.h"

namespace mydocker::api {
namespace {

/// VolumeList. No volume can be made yet, so the list is truly empty.
awaitable<void> list_volumes(Engine&, const Request& request, Writer& out) {
  request.filters();
  co_await out.object(Status::ok, VolumeList{});
}

/// VolumeInspect. `docker inspect NAME` walks on at a 404 only.
awaitable<void> inspect_volume(Engine&, const Request& request, Writer& out) {
  const std::string message = concat("get ", request.path_param("name"), ": no such volume");
  co_await out.error(Status::not_found, message);
}

/// VolumeUpdate: cluster volumes.
awaitable<void> update_volume(Engine& engine, const Request& request, Writer& out) {
  check_object_version(request, "volume");
  co_await answer_no_manager(engine, request, out);
}

constexpr EngineRoute routes[] = {
    {Method::get, "/volumes", list_volumes},
    {Method::get, "/volumes/", list_volumes},
    {Method::post, "/volumes/create", answer_not_implemented},
    {Method::post, "/volumes/prune", answer_not_implemented},
    {Method::get, "/volumes/{name}", inspect_volume},
    {Method::put, "/volumes/{name}", update_volume},
    {Method::delete_, "/volumes/{name}", answer_not_implemented},
};

}  // namespace

std::span<const EngineRoute> volume_routes() { return routes; }

}  // namespace mydocker::api
