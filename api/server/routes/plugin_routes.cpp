#include "api/server/routes/routes.h"

/// Managed plugins do not exist here (DESIGN 7): the list is empty, each name is unknown.
namespace mydocker::api {
namespace {

/// PluginList.
awaitable<void> list_plugins(Engine&, const Request& request, Writer& out) {
  request.filters();
  json::array none;
  co_await out.json(Status::ok, std::move(none));
}

awaitable<void> answer_unknown_plugin(Engine&, const Request& request, Writer& out) {
  const std::string message = concat("plugin \"", request.path_param("name"), "\" not found");
  co_await out.error(Status::not_found, message);
}

awaitable<void> answer_no_plugins(Engine&, const Request&, Writer& out) {
  co_await out.error(Status::not_implemented, "managed plugins are not supported");
}

constexpr EngineRoute routes[] = {
    {Method::get, "/plugins", list_plugins},
    {Method::get, "/plugins/privileges", answer_no_plugins},
    {Method::post, "/plugins/pull", answer_no_plugins},
    {Method::post, "/plugins/create", answer_no_plugins, OnHangup::finish, BodyKind::upload},
    {Method::get, "/plugins/{name*}/json", answer_unknown_plugin},
    {Method::delete_, "/plugins/{name*}", answer_unknown_plugin},
    {Method::post, "/plugins/{name*}/enable", answer_unknown_plugin},
    {Method::post, "/plugins/{name*}/disable", answer_unknown_plugin},
    {Method::post, "/plugins/{name*}/set", answer_unknown_plugin},
    {Method::post, "/plugins/{name*}/push", answer_unknown_plugin},
    {Method::post, "/plugins/{name*}/upgrade", answer_unknown_plugin},
};

}  // namespace

std::span<const EngineRoute> plugin_routes() { return routes; }

}  // namespace mydocker::api
