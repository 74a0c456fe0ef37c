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
    list.push_back(
        json::object{{"Operation", trace.operation()}, {"Duration", trace.total().count()}, {"Phases", phases}});
  }
  co_await out.json(Status::ok, std::move(list));
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
    {Method::get, "/system/df", answer_not_implemented},
    {Method::get, "/system/trace", show_traces},
    {Method::get, "/metrics", show_metrics},
    {Method::post, "/auth", check_login},
    {Method::post, "/commit", commit_container},
};

}  // namespace

std::span<const EngineRoute> system_routes() { return routes; }

}  // namespace mydocker::api
