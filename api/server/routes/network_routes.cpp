#include "api/types/network.h"

#include "api/server/dialect.h"
#include "api/server/routes/routes.h"

namespace mydocker::api {
namespace {

/// NetworkList.
awaitable<void> list_networks(Engine& engine, const Request& request, Writer& out) {
  std::vector<NetworkInspect> networks = co_await engine.list_networks(request.filters());
  for (NetworkInspect& network : networks) fit_network(network, request.version);
  co_await out.object(Status::ok, networks);
}

/// NetworkInspect.
awaitable<void> inspect_network(Engine& engine, const Request& request, Writer& out) {
  NetworkInspect network = co_await engine.inspect_network(request.path_param("id"));
  fit_network(network, request.version);
  co_await out.object(Status::ok, network);
}

/// NetworkDelete. There are only the built-in ones yet, which stay.
awaitable<void> remove_network(Engine& engine, const Request& request, Writer&) {
  const NetworkInspect network = co_await engine.inspect_network(request.path_param("id"));
  throw Error(ErrorKind::forbidden, concat(network.name, " is a pre-defined network and cannot be removed"));
}

/// NetworkPrune.
awaitable<void> prune_networks(Engine& engine, const Request& request, Writer& out) {
  co_await out.object(Status::ok, engine.prune_networks(request.filters()));
}

constexpr EngineRoute routes[] = {
    {Method::get, "/networks", list_networks},
    {Method::get, "/networks/", list_networks},
    {Method::post, "/networks/create", answer_not_implemented},
    {Method::post, "/networks/prune", prune_networks},
    {Method::get, "/networks/{id}", inspect_network},
    {Method::post, "/networks/{id}/connect", answer_not_implemented},
    {Method::post, "/networks/{id}/disconnect", answer_not_implemented},
    {Method::delete_, "/networks/{id}", remove_network},
};

}  // namespace

std::span<const EngineRoute> network_routes() { return routes; }

}  // namespace mydocker::api
