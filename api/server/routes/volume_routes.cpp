#include "api/types/volume.h"

#include "api/server/routes/routes.h"
#include "api/server/routes/swarm_answers.h"

namespace mydocker::api {
namespace {

/// VolumeList.
awaitable<void> list_volumes(Engine& engine, const Request& request, Writer& out) {
  const VolumeList list = co_await engine.list_volumes(request.filters());
  co_await out.object(Status::ok, list);
}

/// VolumeInspect. `docker inspect NAME` walks on at a 404 only.
awaitable<void> inspect_volume(Engine& engine, const Request& request, Writer& out) {
  const Volume volume = co_await engine.inspect_volume(request.path_param("name"));
  co_await out.object(Status::ok, volume);
}

/// VolumeCreate. 201 also for a volume that exists.
awaitable<void> create_volume(Engine& engine, const Request& request, Writer& out) {
  const Volume volume = co_await engine.create_volume(request.read_body<VolumeCreateRequest>(BodyRule::optional));
  co_await out.object(Status::created, volume);
}

/// VolumeDelete. 204; 409 in use; 404, which `force` makes a 204.
awaitable<void> remove_volume(Engine& engine, const Request& request, Writer& out) {
  co_await engine.remove_volume(request.path_param("name"), request.query_bool("force", false));
  co_await out.empty(Status::no_content);
}

/// VolumePrune.
awaitable<void> prune_volumes(Engine& engine, const Request& request, Writer& out) {
  const VolumesPruneReport report = co_await engine.prune_volumes(request.filters(), request.version.minor);
  co_await out.object(Status::ok, report);
}

/// VolumeUpdate: cluster volumes.
awaitable<void> update_volume(Engine& engine, const Request& request, Writer& out) {
  check_object_version(request, "volume");
  co_await answer_no_manager(engine, request, out);
}

constexpr EngineRoute routes[] = {
    {Method::get, "/volumes", list_volumes},
    {Method::get, "/volumes/", list_volumes},
    {Method::post, "/volumes/create", create_volume},
    {Method::post, "/volumes/prune", prune_volumes},
    {Method::get, "/volumes/{name}", inspect_volume},
    {Method::put, "/volumes/{name}", update_volume},
    {Method::delete_, "/volumes/{name}", remove_volume},
};

}  // namespace

std::span<const EngineRoute> volume_routes() { return routes; }

}  // namespace mydocker::api
