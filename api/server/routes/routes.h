#pragma once

#include <span>
#include <string_view>

#include "api/server/router.h"
#include "engine/engine.h"

/// The endpoints of the Engine API: one table per object, one row per endpoint. Handlers only translate: what is wrong
/// with a request in itself is said here, all else by the engine.
namespace mydocker::api {

using engine::Engine;

struct EngineRoute {
  Method method = Method::get;
  std::string_view pattern;
  awaitable<void> (*handler)(Engine&, const Request&, Writer&) = nullptr;
  OnHangup on_hangup = OnHangup::finish;
  BodyKind body = BodyKind::whole;
};

std::span<const EngineRoute> system_routes();
std::span<const EngineRoute> image_routes();
std::span<const EngineRoute> container_routes();
std::span<const EngineRoute> stream_routes();
std::span<const EngineRoute> exec_routes();
std::span<const EngineRoute> network_routes();
std::span<const EngineRoute> volume_routes();
std::span<const EngineRoute> build_routes();
std::span<const EngineRoute> plugin_routes();
std::span<const EngineRoute> swarm_routes();

/// All of them over one engine, which outlives the router.
Router make_router(Engine& engine);
/// GET /metrics alone: for who may read the figures and nothing else (--metrics-addr).
Router make_metrics_router(Engine& engine);

// --- what several tables use ---------------------------------------------------------------------------------------

/// For endpoints that exist in the API and not (yet) here: Error{not_implemented} that names the call.
awaitable<void> answer_not_implemented(Engine& engine, const Request& request, Writer& out);
/// The engine's way to take a connection over. `data_follows`: the engine's side writes as soon as the head is written.
/// `out` outlives the call.
engine::Hijack make_hijack(const Request& request, Writer& out, HijackHead form, bool data_follows);
/// Lines of a progress stream, "\r\n" after each (WIRE 8); an error after the first line is the last line.
awaitable<void> write_progress(std::unique_ptr<engine::ProgressStream> progress, Writer& out);
/// A tar from the engine's pipe. What fails before its first byte is an error with a status.
awaitable<void> write_download(std::unique_ptr<engine::Download> download, Writer& out);

}  // namespace mydocker::api
