#include "api/server/routes/routes.h"
#include "api/types/event.h"
#include "api/types/system.h"

namespace mydocker::api {
namespace {

/// SystemPing (WIRE 1.2). The body is two bytes; HEAD has none.
awaitable<void> ping(Engine&, const Request&, Writer& out) {
  out.add_header("Builder-Version", "1");
  out.add_header("Cache-Control", "no-cache, no-store, must-revalidate");
  out.add_header("Pragma", "no-cache");
  out.add_header("Swarm", "inactive");
  co_await out.text(Status::ok, "text/plain; charset=utf-8", "OK");
}

/// SystemVersion.
awaitable<void> show_version(Engine& engine, const Request&, Writer& out) {
  co_await out.object(Status::ok, engine.version());
}

/// SystemInfo.
awaitable<void> show_info(Engine& engine, const Request& request, Writer& out) {
  Info info = co_await engine.info();
  if (request.version.minor < 49) {
    info.firewall_backend.reset();
    for (Commit* commit : {&info.containerd_commit, &info.runc_commit, &info.init_commit})
      commit->expected = commit->id;
  }
  if (request.version.minor < 50) {
    info.bridge_nf_iptables = info.bridge_nf_iptables.value_or(true);
    info.bridge_nf_ip6tables = info.bridge_nf_ip6tables.value_or(true);
  }
  co_await out.object(Status::ok, info);
}

/// SystemEvents. One JSON object per line, for as long as the client stays; the head is written at once.
awaitable<void> stream_events(Engine& engine, const Request& request, Writer& out) {
  engine::EventOptions options;
  options.since = request.query_text("since");
  options.until = request.query_text("until");
  options.filters = request.filters();
  const std::unique_ptr<engine::EventStream> events = engine.events(std::move(options));
  co_await out.begin_stream(Status::ok, "application/json");
  while (const std::optional<Event> event = co_await events->next()) {
    const std::string line = write_json(to_json(*event)) + "\n";
    co_await out.chunk(line);
  }
  co_await out.end_stream();
}

/// SystemDataUsage. `type` (from 1.42, repeatable) names the lists; the others are null.
awaitable<void> show_disk_usage(Engine& engine, const Request& request, Writer& out) {
  engine::DiskUsageOptions options;
  const std::vector<std::string> types = request.query_list("type");
  constexpr int type_since = 42;
  if (request.version.minor >= type_since && !types.empty()) {
    options = {.images = false, .containers = false, .volumes = false, .build_cache = false};
    for (const std::string& type : types) {
      if (type == "image") {
        options.images = true;
      } else if (type == "container") {
        options.containers = true;
      } else if (type == "volume") {
        options.volumes = true;
      } else if (type == "build-cache") {
        options.build_cache = true;
      } else {
        throw Error(ErrorKind::invalid_argument, concat("unknown object type: ", type));
      }
    }
  }
  co_await out.object(Status::ok, co_await engine.disk_usage(options));
}

/// Our own: Prometheus text of the engine (exposition format 0.0.4).
awaitable<void> show_metrics(Engine& engine, const Request&, Writer& out) {
  const std::string text = engine.metrics();
  co_await out.text(Status::ok, "text/plain; version=0.0.4; charset=utf-8", text);
}

/// Our own: the phases of the last verbs, oldest first; durations in nanoseconds.
awaitable<void> show_traces(Engine& engine, const Request&, Writer& out) {
  json::array list;
  for (const Trace& trace : engine.traces().recent()) {
    json::array phases;
    for (const Trace::Phase& phase : trace.phases()) {
      phases.push_back(json::object{{"Name", phase.name}, {"Duration", phase.duration.count()}});
    }
    list.push_back(json::object{{"Operation", trace.operation()},
                                {"Subject", trace.subject()},
                                {"Duration", trace.total().count()},
                                {"Phases", phases}});
  }
  co_await out.json(Status::ok, std::move(list));
}

/// Our own: why a container ended, did not start, or is unhealthy.
awaitable<void> explain_container(Engine& engine, const Request& request, Writer& out) {
  co_await out.object(Status::ok, co_await engine.explain(request.path_param("id")));
}

/// SystemAuth. 401 when the registry refuses the credentials.
awaitable<void> check_login(Engine& engine, const Request& request, Writer& out) {
  auto credentials = request.read_body<AuthConfig>();
  co_await engine.check_login(std::move(credentials));
  AuthResponse response;
  response.status = "Login Succeeded";
  co_await out.object(Status::ok, response);
}

/// ImageCommit. The body may hold a container configuration.
awaitable<void> commit_container(Engine& engine, const Request& request, Writer& out) {
  engine::CommitRequest commit;
  commit.container = request.query_text("container");
  commit.repository = request.query_text("repo");
  commit.tag = request.query_text("tag");
  commit.comment = request.query_text("comment");
  commit.author = request.query_text("author");
  commit.pause = request.query_bool("pause", true);
  commit.changes = request.query_list("changes");
  if (!request.body.empty()) commit.config = request.read_body<ContainerConfig>(BodyRule::optional);
  IdResponse response;
  response.id = co_await engine.commit(std::move(commit));
  co_await out.object(Status::created, response);
}

constexpr EngineRoute routes[] = {
    {Method::head, "/_ping", ping},
    {Method::get, "/_ping", ping},
    {Method::get, "/version", show_version},
    {Method::get, "/info", show_info},
    {Method::get, "/events", stream_events, OnHangup::cancel},
    {Method::get, "/system/df", show_disk_usage},
    {Method::get, "/system/trace", show_traces},
    {Method::get, "/containers/{id}/explain", explain_container},
    {Method::get, "/metrics", show_metrics},
    {Method::post, "/auth", check_login},
    {Method::post, "/commit", commit_container},
};

}  // namespace

std::span<const EngineRoute> system_routes() { return routes; }

}  // namespace mydocker::api
