#include "api/server/dialect.h"
#include "api/server/routes/routes.h"
#include "api/types/container.h"
#include "engine/base/base64.h"

namespace mydocker::api {
namespace {

constexpr std::string_view default_ps_arguments = "-ef";
/// Docker quirk (moby daemon/server/router/container, postContainersStart): "{}" and "null" with blanks pass.
constexpr std::size_t largest_start_body = 7;

/// ContainerList. 200; 400 bad filter or limit.
awaitable<void> list_containers(Engine& engine, const Request& request, Writer& out) {
  engine::ListOptions options;
  options.all = request.query_bool("all");
  options.size = request.query_bool("size");
  options.limit = request.query_int("limit").value_or(0);
  options.filters = request.filters();
  std::vector<ContainerSummary> list = co_await engine.list(std::move(options));
  fit_container_list(list, request.version);
  co_await out.object(Status::ok, list);
}

/// ContainerCreate. 201; 400 bad configuration; 404 image missing; 409 name taken.
awaitable<void> create_container(Engine& engine, const Request& request, Writer& out) {
  auto body = request.read_body<ContainerCreateRequest>();
  engine::CreateOptions options;
  options.name = request.query_text("name");
  options.api_minor = request.version.minor;
  if (request.version.minor >= 41) options.platform = request.query_text("platform");
  fit_create_request(body, request.version);
  const ContainerCreateResponse response = co_await engine.create(std::move(body), std::move(options));
  co_await out.object(Status::created, response);
}

/// ContainerInspect.
awaitable<void> inspect_container(Engine& engine, const Request& request, Writer& out) {
  const bool size = request.query_bool("size");
  const ContainerInspect container = co_await engine.inspect(request.path_param("id"), size);
  co_await out.object(Status::ok, container);
}

/// ContainerTop.
awaitable<void> show_processes(Engine& engine, const Request& request, Writer& out) {
  const std::string arguments = request.query_text("ps_args");
  const TopResponse response =
      co_await engine.top(request.path_param("id"), arguments.empty() ? std::string(default_ps_arguments) : arguments);
  co_await out.object(Status::ok, response);
}

/// ContainerChanges. null when nothing changed (WIRE 2.4).
awaitable<void> list_changes(Engine& engine, const Request& request, Writer& out) {
  const std::vector<Change> changes = co_await engine.changes(request.path_param("id"));
  json::value body = nullptr;
  if (!changes.empty()) body = to_json(changes);
  co_await out.json(Status::ok, std::move(body));
}

/// ContainerResize.
awaitable<void> resize_container(Engine& engine, const Request& request, Writer& out) {
  const std::optional<int> height = request.query_int("h");
  const std::optional<int> width = request.query_int("w");
  if (!height || !width) throw Error(ErrorKind::invalid_argument, "bad parameter: h and w must be numbers");
  co_await engine.resize(request.path_param("id"), *height, *width);
  co_await out.empty(Status::ok);
}

/// ContainerStart. 204; 304 was running; 400 program cannot run; 404 no such container or network.
awaitable<void> start_container(Engine& engine, const Request& request, Writer& out) {
  if (request.body.size() > largest_start_body) {
    throw Error(ErrorKind::invalid_argument,
                "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24");
  }
  co_await engine.start(request.path_param("id"));
  co_await out.empty(Status::no_content);
}

engine::StopOptions read_stop_options(const Request& request) {
  engine::StopOptions options;
  options.timeout_seconds = request.query_int("t");
  if (request.version.minor >= 42) options.signal = request.query_text("signal");
  return options;
}

/// ContainerStop. 204; 304 was not running.
awaitable<void> stop_container(Engine& engine, const Request& request, Writer& out) {
  co_await engine.stop(request.path_param("id"), read_stop_options(request));
  co_await out.empty(Status::no_content);
}

/// ContainerRestart.
awaitable<void> restart_container(Engine& engine, const Request& request, Writer& out) {
  co_await engine.restart(request.path_param("id"), read_stop_options(request));
  co_await out.empty(Status::no_content);
}

/// ContainerKill.
awaitable<void> kill_container(Engine& engine, const Request& request, Writer& out) {
  const std::string signal = request.query_text("signal");
  const std::string id = request.path_param("id");
  try {
    co_await engine.kill(id, signal.empty() ? "SIGKILL" : signal);
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::invalid_argument) throw;
    throw Error(e.kind(), concat("cannot kill container: ", id, ": ", e.message()), e.errno_value());
  }
  co_await out.empty(Status::no_content);
}

/// ContainerRename.
awaitable<void> rename_container(Engine& engine, const Request& request, Writer& out) {
  co_await engine.rename(request.path_param("id"), request.query_text("name"));
  co_await out.empty(Status::no_content);
}

/// ContainerPause.
awaitable<void> pause_container(Engine& engine, const Request& request, Writer& out) {
  co_await engine.pause(request.path_param("id"));
  co_await out.empty(Status::no_content);
}

/// ContainerUnpause.
awaitable<void> unpause_container(Engine& engine, const Request& request, Writer& out) {
  co_await engine.unpause(request.path_param("id"));
  co_await out.empty(Status::no_content);
}

/// ContainerDelete.
awaitable<void> remove_container(Engine& engine, const Request& request, Writer& out) {
  engine::RemoveOptions options;
  options.force = request.query_bool("force");
  options.volumes = request.query_bool("v");
  options.link = request.query_bool("link");
  co_await engine.remove(request.path_param("id"), options);
  co_await out.empty(Status::no_content);
}

/// ContainerDelete of a link: "/web/db" is the name that web gave another container.
awaitable<void> remove_link(Engine& engine, const Request& request, Writer& out) {
  const std::string name = concat(request.path_param("id"), "/", request.path_param("alias"));
  if (!request.query_bool("link")) throw Error(ErrorKind::not_found, concat("No such container: ", name));
  co_await engine.remove(name, {.force = false, .volumes = false, .link = true});
  co_await out.empty(Status::no_content);
}

/// ContainerUpdate: limits and restart policy, live.
awaitable<void> update_container(Engine& engine, const Request& request, Writer& out) {
  auto body = request.read_body<UpdateRequest>();
  fit_update_request(body, request.version);
  const UpdateResponse response = co_await engine.update(request.path_param("id"), std::move(body));
  co_await out.object(Status::ok, response);
}

/// ContainerPrune. 409 while another one runs.
awaitable<void> prune_containers(Engine& engine, const Request& request, Writer& out) {
  const ContainersPruneReport report = co_await engine.prune_containers(request.filters());
  co_await out.object(Status::ok, report);
}

constexpr std::string_view path_stat_header = "X-Docker-Container-Path-Stat";

void add_path_stat(const PathStat& stat, Writer& out) {
  out.add_header(path_stat_header, encode_base64(write_json(to_json(stat))));
}

/// ContainerArchiveInfo. 200 and the header; 400 empty path; 404 no such container or path.
awaitable<void> stat_archive(Engine& engine, const Request& request, Writer& out) {
  const PathStat stat = co_await engine.stat_path(request.path_param("id"), request.query_text("path"));
  add_path_stat(stat, out);
  co_await out.empty(Status::ok);
}

/// ContainerArchive. 200 tar; 400 empty path; 404 no such container or path.
awaitable<void> get_archive(Engine& engine, const Request& request, Writer& out) {
  engine::ArchiveDownload archive = co_await engine.get_archive(request.path_param("id"), request.query_text("path"));
  add_path_stat(archive.stat, out);
  co_await write_download(std::move(archive.tar), out);
}

/// PutContainerArchive. 200; 400 no directory, read-only, or a directory against a file; 404.
awaitable<void> put_archive(Engine& engine, const Request& request, Writer& out) {
  engine::ArchiveUpload options;
  options.path = request.query_text("path");
  options.keep_kinds = request.query_bool("noOverwriteDirNonDir");
  options.container_owns = request.query_bool("copyUIDGID");
  co_await engine.put_archive(request.path_param("id"), std::move(options), request.take_upload());
  co_await out.empty(Status::ok);
}

constexpr EngineRoute routes[] = {
    {Method::get, "/containers/json", list_containers},
    {Method::post, "/containers/create", create_container},
    {Method::post, "/containers/prune", prune_containers},
    {Method::get, "/containers/{id}/json", inspect_container},
    {Method::get, "/containers/{id}/top", show_processes},
    {Method::get, "/containers/{id}/changes", list_changes},
    {Method::post, "/containers/{id}/resize", resize_container},
    {Method::post, "/containers/{id}/start", start_container},
    {Method::post, "/containers/{id}/stop", stop_container},
    {Method::post, "/containers/{id}/restart", restart_container},
    {Method::post, "/containers/{id}/kill", kill_container},
    {Method::post, "/containers/{id}/update", update_container},
    {Method::post, "/containers/{id}/rename", rename_container},
    {Method::post, "/containers/{id}/pause", pause_container},
    {Method::post, "/containers/{id}/unpause", unpause_container},
    {Method::delete_, "/containers/{id}", remove_container},
    {Method::delete_, "/containers/{id}/{alias}", remove_link},
    {Method::head, "/containers/{id}/archive", stat_archive},
    {Method::get, "/containers/{id}/archive", get_archive, OnHangup::cancel},
    {Method::put, "/containers/{id}/archive", put_archive, OnHangup::finish, BodyKind::upload},
    {Method::get, "/containers/{id}/checkpoints", answer_not_implemented},
    {Method::post, "/containers/{id}/checkpoints", answer_not_implemented},
    {Method::delete_, "/containers/{id}/checkpoints/{name}", answer_not_implemented},
};

}  // namespace

std::span<const EngineRoute> container_routes() { return routes; }

}  // namespace mydocker::api
