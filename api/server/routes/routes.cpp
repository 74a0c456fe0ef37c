#include "api/server/routes/routes.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "api/types/progress.h"
#include "engine/base/sys.h"

namespace mydocker::api {
namespace {

constexpr std::size_t download_buffer = std::size_t{256} << 10;

/// docker-py reads a hijacked stream beside the buffer that it read the head into: what the kernel gave it along with
/// the head is lost to it. So it gets a moment to take the head alone.
awaitable<void> wait_until_taken(int socket) {
  constexpr std::chrono::milliseconds look_again{1};
  constexpr std::chrono::milliseconds patience{2000};
  const auto end = std::chrono::steady_clock::now() + patience;
  asio::steady_timer timer(co_await asio::this_coro::executor);
  int unread = 0;
  while (::ioctl(socket, SIOCOUTQ, &unread) == 0 && unread > 0 && std::chrono::steady_clock::now() < end) {
    timer.expires_after(look_again);
    co_await timer.async_wait(asio::use_awaitable);
  }
}

awaitable<engine::HijackedClient> hijack_client(Writer* out, HijackHead form, bool reads_beside, bool framed) {
  RawClient raw = co_await out->hijack(form, framed);
  if (reads_beside) co_await wait_until_taken(raw.socket.get());
  engine::HijackedClient client;
  client.socket = std::move(raw.socket);
  client.pending_input = std::move(raw.pending_input);
  co_return client;
}

/// X-Mydocker-Trace: 1 asks for the phases of the verb that this request ran (DESIGN 3.8). The I/O thread records a
/// trace right before it answers, so the newest one is the request's own.
void add_server_timing(const Engine& engine, Writer& out) {
  const std::vector<Trace> traces = engine.traces().recent();
  if (!traces.empty()) out.add_header("Server-Timing", traces.back().to_server_timing());
}

std::string_view method_name(Method method) {
  switch (method) {
    case Method::get:
      return "GET";
    case Method::head:
      return "HEAD";
    case Method::post:
      return "POST";
    case Method::put:
      return "PUT";
    case Method::delete_:
      return "DELETE";
    case Method::options:
      return "OPTIONS";
    case Method::other:
      break;
  }
  return "other";
}

/// The status that the connection makes of what a handler threw.
int failure_status(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    return static_cast<int>(to_status(error.kind()));
  } catch (const std::exception&) {
    return static_cast<int>(Status::internal_error);
  }
}

/// Every request is timed; a stream counts once it ends.
awaitable<void> run(const EngineRoute* route, Engine* engine, const Request& request, Writer& out) {
  if (request.header("X-Mydocker-Trace") == "1") {
    out.on_head([engine](Writer& writer) { add_server_timing(*engine, writer); });
  }
  const auto begin = std::chrono::steady_clock::now();
  std::exception_ptr failure;
  try {
    co_await route->handler(*engine, request, out);
  } catch (...) {  // noted, then thrown on to the connection
    failure = std::current_exception();
  }
  const int status = failure && !out.started() ? failure_status(failure) : static_cast<int>(out.status());
  engine->requests().record({std::string(method_name(route->method)), std::string(route->pattern)}, status,
                            std::chrono::steady_clock::now() - begin);
  if (failure) std::rethrow_exception(failure);
}

Route make_route(Engine& engine, const EngineRoute& row) {
  return {row.method, std::string(row.pattern),
          [&engine, route = &row](const Request& request, Writer& out) { return run(route, &engine, request, out); },
          row.on_hangup, row.body};
}

}  // namespace

Router make_router(Engine& engine) {
  const std::array tables{system_routes(),  container_routes(), stream_routes(), exec_routes(),   image_routes(),
                          network_routes(), volume_routes(),    build_routes(),  plugin_routes(), swarm_routes()};
  std::vector<Route> routes;
  for (const std::span<const EngineRoute> table : tables) {
    for (const EngineRoute& row : table) routes.push_back(make_route(engine, row));
  }
  return Router(std::move(routes));
}

Router make_metrics_router(Engine& engine) {
  std::vector<Route> routes;
  for (const EngineRoute& row : system_routes()) {
    if (row.pattern == "/metrics") routes.push_back(make_route(engine, row));
  }
  return Router(std::move(routes));
}

awaitable<void> answer_not_implemented(Engine&, const Request& request, Writer&) {
  throw Error(ErrorKind::not_implemented, concat(request.path, " is not implemented yet"));
  co_return;  // makes it a coroutine
}

engine::Hijack make_hijack(const Request& request, Writer& out, HijackHead form, bool data_follows) {
  const bool reads_beside = data_follows && request.header("User-Agent").starts_with("docker-sdk-python/");
  return [out = &out, form, reads_beside](bool framed) { return hijack_client(out, form, reads_beside, framed); };
}

awaitable<void> write_progress(std::unique_ptr<engine::ProgressStream> progress, Writer& out) {
  std::optional<ProgressMessage> message = co_await progress->next();
  co_await out.begin_stream(Status::ok, "application/json");
  ProgressMessage failure;
  while (message) {
    const std::string line = write_json(to_json(*message)) + "\r\n";
    co_await out.chunk(line);
    try {
      message = co_await progress->next();
    } catch (const Error& error) {
      failure.error = error.message();
      failure.error_detail = ProgressError{0, error.message()};
      message.reset();
    }
  }
  if (!failure.error.empty()) {
    const std::string line = write_json(to_json(failure)) + "\r\n";
    co_await out.chunk(line);
  }
  co_await out.end_stream();
}

awaitable<void> write_download(std::unique_ptr<engine::Download> download, Writer& out) {
  UniqueFd pipe_end = download->take_pipe();
  set_nonblocking(pipe_end.get());
  asio::posix::stream_descriptor pipe(co_await asio::this_coro::executor, pipe_end.release());
  std::vector<char> buffer(download_buffer);
  bool begun = false;
  for (;;) {
    boost::system::error_code error;
    const std::size_t count =
        co_await pipe.async_read_some(asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, error));
    if (error || count == 0) break;
    if (!std::exchange(begun, true)) co_await out.begin_stream(Status::ok, "application/x-tar");
    co_await out.chunk({buffer.data(), count});
  }
  co_await download
      ->finish();  // a throw after the first byte cuts the stream off: the client must not take it as whole
  if (!begun) co_await out.begin_stream(Status::ok, "application/x-tar");
  co_await out.end_stream();
}

}  // namespace mydocker::api
