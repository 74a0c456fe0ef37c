#include "api/types/image.h"

#include "api/server/dialect.h"
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

/// `platform` is {"os": ..., "architecture": ...}; an absent part is any.
void check_platform(const ImageInspect& image, const std::string& platform) {
  const json::value wanted = parse_json(platform);
  if (!wanted.is_object()) throw Error(ErrorKind::invalid_argument, "invalid platform: expected a JSON object");
  const auto part = [&](const char* name) {
    const json::value* value = wanted.get_object().if_contains(name);
    if (value == nullptr) return std::string();
    if (!value->is_string()) throw Error(ErrorKind::invalid_argument, concat("invalid platform: ", name));
    return std::string(value->get_string());
  };
  const std::string os = part("os");
  const std::string architecture = part("architecture");
  if ((os.empty() || os == image.os) && (architecture.empty() || architecture == image.architecture)) return;
  throw Error(ErrorKind::not_found, concat("image was found but does not provide the specified platform (", os, "/",
                                           architecture, "): it is ", image.os, "/", image.architecture));
}

/// ImageInspect. `platform` counts from 1.49 on.
awaitable<void> inspect_image(Engine& engine, const Request& request, Writer& out) {
  constexpr ApiVersion first_with_platform{1, 49};
  const ImageInspect image = co_await engine.inspect_image(request.path_param("name"), request.version.minor);
  const std::string platform = request.query_text("platform");
  if (!platform.empty() && request.version >= first_with_platform) check_platform(image, platform);
  co_await out.json(Status::ok, fit_image_inspect(image, request.version));
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
