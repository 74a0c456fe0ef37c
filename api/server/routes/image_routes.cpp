#include "api/types/image.h"

#include "api/server/registry_auth.h"
#include "api/server/routes/routes.h"

namespace mydocker::api {
namespace {

/// ImageList.
awaitable<void> list_images(Engine& engine, const Request& request, Writer& out) {
  engine::ImageListOptions options;
  options.all = request.query_bool("all");
  options.shared_size = request.query_bool("shared-size");
  options.filters = request.filters();
  options.api_minor = request.version.minor;
  const std::vector<ImageSummary> images = co_await engine.list_images(std::move(options));
  co_await out.object(Status::ok, images);
}

engine::PullRequest read_pull_request(const Request& request) {
  engine::PullRequest pull;
  pull.from_image = request.query_text("fromImage");
  pull.tag = request.query_text("tag");
  pull.platform = request.query_text("platform");
  pull.auth = parse_registry_auth(request.header("X-Registry-Auth"));
  return pull;
}

engine::ImportRequest read_import_request(const Request& request) {
  engine::ImportRequest import;
  import.source = request.query_text("fromSrc");
  import.repository = request.query_text("repo");
  import.tag = request.query_text("tag");
  import.message = request.query_text("message");
  import.platform = request.query_text("platform");
  import.changes = request.query_list("changes");
  return import;
}

/// ImageCreate: a pull with fromImage, an import with fromSrc. 200 progress; before it 400, 401, 404, 500.
awaitable<void> create_image(Engine& engine, const Request& request, Writer& out) {
  if (!request.query_text("fromImage").empty()) {
    co_await write_progress(engine.pull(read_pull_request(request)), out);
    co_return;
  }
  if (request.query_text("fromSrc").empty()) {
    throw Error(ErrorKind::invalid_argument, "one of fromImage and fromSrc must be given");
  }
  co_await write_progress(engine.import(request.take_upload(), read_import_request(request)), out);
}

/// ImageLoad.
awaitable<void> load_images(Engine& engine, const Request& request, Writer& out) {
  const bool quiet = request.query_bool("quiet", true);
  co_await write_progress(engine.load(request.take_upload(), quiet), out);
}

awaitable<void> save(Engine& engine, std::vector<std::string> names, Writer& out) {
  std::unique_ptr<engine::Download> download = co_await engine.save(std::move(names));
  co_await write_download(std::move(download), out);
}

/// ImageGet: one image as a tar.
awaitable<void> save_image(Engine& engine, const Request& request, Writer& out) {
  std::vector<std::string> names(1, request.path_param("name"));
  co_await save(engine, std::move(names), out);
}

/// ImageGetAll. `names` repeats; older clients join them by commas.
awaitable<void> save_images(Engine& engine, const Request& request, Writer& out) {
  std::vector<std::string> names;
  for (const std::string& value : request.query_list("names")) {
    for (std::size_t begin = 0; begin <= value.size();) {
      const std::size_t end = std::min(value.find(',', begin), value.size());
      if (end > begin) names.push_back(value.substr(begin, end - begin));
      begin = end + 1;
    }
  }
  if (names.empty()) throw Error(ErrorKind::invalid_argument, "no image names given");
  co_await save(engine, std::move(names), out);
}

/// Below 1.50 an image's Config also prints the container fields that an image never has (WIRE 1.4).
void add_container_fields(json::object& config) {
  for (const char* name : {"Hostname", "Domainname", "Image"}) config[name] = "";
  for (const char* name : {"AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce"}) {
    config[name] = false;
  }
}

/// ImageInspect.
awaitable<void> inspect_image(Engine& engine, const Request& request, Writer& out) {
  const int minor = request.version.minor;
  const ImageInspect image = co_await engine.inspect_image(request.path_param("name"), minor);
  json::value body = to_json(image);
  if (minor < 50) add_container_fields(body.as_object()["Config"].as_object());
  if (minor < 45) {
    json::object config = to_json(ContainerConfig{}).as_object();
    body.as_object()["Container"] = "";
    body.as_object()["ContainerConfig"] = std::move(config);
  }
  co_await out.json(Status::ok, std::move(body));
}

/// ImageHistory, newest first.
awaitable<void> show_history(Engine& engine, const Request& request, Writer& out) {
  const std::vector<HistoryItem> history = co_await engine.image_history(request.path_param("name"));
  co_await out.object(Status::ok, history);
}

/// ImageTag. 201 without a body.
awaitable<void> tag_image(Engine& engine, const Request& request, Writer& out) {
  co_await engine.tag_image(request.path_param("name"), request.query_text("repo"), request.query_text("tag"));
  co_await out.empty(Status::created);
}

/// ImageDelete.
awaitable<void> remove_image(Engine& engine, const Request& request, Writer& out) {
  const bool force = request.query_bool("force");
  const bool no_prune = request.query_bool("noprune");
  const std::vector<DeleteItem> items = co_await engine.remove_image(request.path_param("name"), force, no_prune);
  co_await out.object(Status::ok, items);
}

/// ImagePrune. 409 while another one runs.
awaitable<void> prune_images(Engine& engine, const Request& request, Writer& out) {
  const ImagesPruneReport report = co_await engine.prune_images(request.filters());
  co_await out.object(Status::ok, report);
}

constexpr EngineRoute routes[] = {
    {Method::get, "/images/json", list_images},
    {Method::post, "/images/create", create_image, OnHangup::cancel, BodyKind::upload},
    {Method::post, "/images/load", load_images, OnHangup::cancel, BodyKind::upload},
    {Method::get, "/images/search", answer_not_implemented},
    {Method::post, "/images/prune", prune_images},
    {Method::get, "/images/get", save_images, OnHangup::cancel},
    {Method::get, "/images/{name*}/get", save_image, OnHangup::cancel},
    {Method::get, "/images/{name*}/json", inspect_image},
    {Method::get, "/images/{name*}/history", show_history},
    {Method::post, "/images/{name*}/push", answer_not_implemented},
    {Method::post, "/images/{name*}/tag", tag_image},
    {Method::delete_, "/images/{name*}", remove_image},
    {Method::get, "/distribution/{name*}/json", answer_not_implemented},
};

}  // namespace

std::span<const EngineRoute> image_routes() { return routes; }

}  // namespace mydocker::api
