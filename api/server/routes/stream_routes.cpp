// The container endpoints that stay open: attach, logs, wait, stats, export.
#include "api/server/routes/routes.h"
#include "api/server/routes/websocket_session.h"
#include "api/types/container.h"
#include "api/types/stats.h"

namespace mydocker::api {
namespace {

constexpr std::string_view raw_stream = "application/vnd.docker.raw-stream";
constexpr std::string_view multiplexed_stream = "application/vnd.docker.multiplexed-stream";

/// A stdcopy frame of stream 3: the client aborts and prints the text (WIRE 4.1).
std::string make_error_frame(std::string_view text) {
  std::string frame(8, '\0');
  frame[0] = 3;
  for (std::size_t i = 0; i < 4; ++i) frame[4 + i] = static_cast<char>((text.size() >> (24 - 8 * i)) & 0xFF);
  return frame.append(text);
}

/// ContainerAttach. 101 or 200 and the raw stream; 400 detach keys; 404; 409 paused or restarting.
awaitable<void> attach_container(Engine& engine, const Request& request, Writer& out) {
  engine::AttachOptions options;
  options.stream = request.query_bool("stream");
  options.logs = request.query_bool("logs");
  options.stdin_ = request.query_bool("stdin");
  options.stdout_ = request.query_bool("stdout");
  options.stderr_ = request.query_bool("stderr");
  options.detach_keys = request.query_text("detachKeys");
  engine::Hijack hijack = make_hijack(request, out, HijackHead::attach, options.logs);
  co_await engine.attach(request.path_param("id"), std::move(options), std::move(hijack));
}

/// ContainerAttachWebsocket. Standard handshake, both streams mixed and without frames of ours (WIRE 5.5).
awaitable<void> attach_websocket(Engine& engine, const Request& request, Writer& out) {
  constexpr int picks_streams_since = 42;
  constexpr int binary_since = 28;
  const bool picks = request.version.minor >= picks_streams_since;
  engine::AttachOptions options;
  options.stream = request.query_bool("stream");
  options.logs = request.query_bool("logs");
  options.stdin_ = !picks || request.query_bool("stdin");
  options.stdout_ = !picks || request.query_bool("stdout");
  options.stderr_ = !picks || request.query_bool("stderr");
  options.detach_keys = request.query_text("detachKeys");
  options.raw = true;
  std::string accept = check_websocket_request(request);
  const auto output = request.version.minor >= binary_since ? WebsocketOpcode::binary : WebsocketOpcode::text;
  engine::Hijack hijack = make_websocket_hijack(out, std::move(accept), output);
  co_await engine.attach(request.path_param("id"), std::move(options), std::move(hijack));
}

/// ContainerLogs. The head goes out before the first line exists (WIRE 9).
awaitable<void> stream_logs(Engine& engine, const Request& request, Writer& out) {
  engine::LogsOptions options;
  options.follow = request.query_bool("follow");
  options.stdout_ = request.query_bool("stdout");
  options.stderr_ = request.query_bool("stderr");
  options.timestamps = request.query_bool("timestamps");
  options.details = request.query_bool("details");
  options.since = request.query_text("since");
  options.until = request.query_text("until");
  options.tail = request.query_text("tail", "all");
  const engine::LogStream log = co_await engine.logs(request.path_param("id"), std::move(options));
  const bool names_framing = log.framed && request.version.minor >= 42;
  co_await out.begin_stream(Status::ok, names_framing ? multiplexed_stream : raw_stream);
  std::string failure;
  try {
    while (const std::optional<std::string> piece = co_await log.bytes->next()) co_await out.chunk(*piece);
  } catch (const Error& error) {
    failure = error.message();
  }
  if (!failure.empty() && log.framed) {
    const std::string frame = make_error_frame(failure);
    co_await out.chunk(frame);
  }
  co_await out.end_stream();
}

engine::WaitCondition parse_condition(const std::string& word) {
  if (word.empty() || word == "not-running") return engine::WaitCondition::not_running;
  if (word == "next-exit") return engine::WaitCondition::next_exit;
  if (word == "removed") return engine::WaitCondition::removed;
  throw Error(ErrorKind::invalid_argument, concat("invalid condition: \"", word, "\""));
}

/// ContainerWait. From 1.30 the head goes out at once: clients start the container only after it (WIRE 10).
awaitable<void> wait_container(Engine& engine, const Request& request, Writer& out) {
  const bool early_head = request.version.minor >= 30;
  const auto condition =
      early_head ? parse_condition(request.query_text("condition")) : engine::WaitCondition::not_running;
  const std::unique_ptr<engine::ExitWait> exit = engine.wait(request.path_param("id"), condition);
  if (early_head) co_await out.begin_stream(Status::ok, "application/json");
  WaitResponse response;
  try {
    response = co_await exit->result();
  } catch (const Error& error) {
    if (!early_head) throw;
    response.error = WaitError{error.message()};
  }
  if (!early_head) {
    co_await out.object(Status::ok, response);
    co_return;
  }
  const std::string line = write_json(to_json(response)) + "\n";
  co_await out.chunk(line);
  co_await out.end_stream();
}

/// ContainerExport. 200 tar; 404; 409 removing.
awaitable<void> export_container(Engine& engine, const Request& request, Writer& out) {
  std::unique_ptr<engine::Download> download = co_await engine.export_container(request.path_param("id"));
  co_await write_download(std::move(download), out);
}

/// ContainerStats. One JSON object a second; stream=0: one object of two samples; one-shot=1: of a single one (WIRE
/// 18).
awaitable<void> stream_stats(Engine& engine, const Request& request, Writer& out) {
  const bool stream = request.query_bool("stream", true);
  const bool one_shot = request.query_bool("one-shot");
  if (stream && one_shot) throw Error(ErrorKind::invalid_argument, "cannot have stream=true and one-shot=true");
  const engine::StatsMode mode = stream     ? engine::StatsMode::stream
                                 : one_shot ? engine::StatsMode::one_shot
                                            : engine::StatsMode::single;
  const std::unique_ptr<engine::StatsStream> samples = engine.stats(request.path_param("id"), mode);
  co_await out.begin_stream(Status::ok, "application/json");
  while (const std::optional<Stats> sample = co_await samples->next()) {
    const std::string line = write_json(to_json(*sample)) + "\n";
    co_await out.chunk(line);
  }
  co_await out.end_stream();
}

constexpr EngineRoute routes[] = {
    {Method::get, "/containers/{id}/logs", stream_logs, OnHangup::cancel},
    {Method::get, "/containers/{id}/stats", stream_stats, OnHangup::cancel},
    {Method::get, "/containers/{id}/export", export_container, OnHangup::cancel},
    {Method::post, "/containers/{id}/attach", attach_container},
    {Method::get, "/containers/{id}/attach/ws", attach_websocket},
    {Method::post, "/containers/{id}/wait", wait_container, OnHangup::cancel},
};

}  // namespace

std::span<const EngineRoute> stream_routes() { return routes; }

}  // namespace mydocker::api
