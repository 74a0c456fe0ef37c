#include "api/server/routes/websocket_session.h"

#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cctype>

#include "engine/async.h"
#include "engine/base/sys.h"

namespace mydocker::api {
namespace {

constexpr std::size_t buffer_size = std::size_t{32} << 10;
constexpr std::uint16_t normal_closure = 1000;

/// One client's websocket and the plain socket behind it. I/O thread.
class WebsocketSession {
 public:
  WebsocketSession(const asio::any_io_executor& io, RawClient client, UniqueFd plain, WebsocketOpcode output)
      : client_(io, client.socket.release()),
        plain_(io, plain.release()),
        input_(std::move(client.pending_input)),
        output_(output),
        writes_(io) {}

  /// Until one direction has ended: the other one is cut then.
  awaitable<void> run() {
    using namespace asio::experimental::awaitable_operators;
    try {
      co_await (receive() || send());
    } catch (const boost::system::system_error&) {
      // Either side went away without a word: both sockets close with this object.
    }
  }

 private:
  awaitable<void> write_client(std::string frame) {
    const engine::Turn turn = co_await writes_.take();
    co_await asio::async_write(client_, asio::buffer(frame), asio::use_awaitable);
  }

  /// What the client sends becomes input of the container; ends with the client's goodbye.
  awaitable<void> receive() {
    std::string buffer(buffer_size, '\0');
    for (;;) {
      while (!input_.empty()) {
        const std::size_t before = input_.size();
        const WebsocketDecoder::Step step = decoder_.feed(input_);
        if (!step.data.empty()) co_await asio::async_write(plain_, asio::buffer(step.data), asio::use_awaitable);
        if (step.ping) {
          std::string pong = make_websocket_frame(WebsocketOpcode::pong, *step.ping);
          co_await write_client(std::move(pong));
        }
        if (step.closed || step.broken != 0) {
          std::string goodbye = make_websocket_close(step.broken != 0 ? step.broken : normal_closure);
          co_await write_client(std::move(goodbye));
          co_return;
        }
        if (input_.size() == before) break;  // the head of a frame is not whole yet
      }
      const std::size_t count = co_await client_.async_read_some(asio::buffer(buffer), asio::use_awaitable);
      input_.append(buffer, 0, count);
    }
  }

  /// What the container writes becomes frames; ends with the container's streams.
  awaitable<void> send() {
    std::string buffer(buffer_size, '\0');
    for (;;) {
      boost::system::error_code error;
      const std::size_t count =
          co_await plain_.async_read_some(asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, error));
      std::string frame = error || count == 0 ? make_websocket_close(normal_closure)
                                              : make_websocket_frame(output_, std::string_view(buffer.data(), count));
      co_await write_client(std::move(frame));
      if (error || count == 0) co_return;
    }
  }

  asio::posix::stream_descriptor client_;
  asio::posix::stream_descriptor plain_;
  std::string input_;
  WebsocketDecoder decoder_;
  WebsocketOpcode output_;
  engine::TurnQueue writes_;
};

awaitable<void> run_session(std::unique_ptr<WebsocketSession> session) { co_await session->run(); }

awaitable<engine::HijackedClient> hijack_websocket(Writer* out, std::string accept, WebsocketOpcode output) {
  const std::string head = concat(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ", accept,
      "\r\n\r\n");
  RawClient raw = co_await out->take_over(head);
  auto [ours, given] = make_socket_pair(SOCK_STREAM);
  set_nonblocking(ours.get());
  set_nonblocking(given.get());
  const asio::any_io_executor io = co_await asio::this_coro::executor;
  auto session = std::make_unique<WebsocketSession>(io, std::move(raw), std::move(ours), output);
  engine::spawn(io, "websocket", run_session(std::move(session)));
  engine::HijackedClient client;
  client.socket = std::move(given);
  co_return client;
}

/// Does a comma list such as "keep-alive, Upgrade" hold the word, in any case?
bool lists_word(std::string_view list, std::string_view word) {
  const auto same = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
  };
  return std::search(list.begin(), list.end(), word.begin(), word.end(), same) != list.end();
}

}  // namespace

std::string check_websocket_request(const Request& request) {
  if (!lists_word(request.header("Upgrade"), "websocket") || !lists_word(request.header("Connection"), "upgrade")) {
    throw Error(ErrorKind::invalid_argument, "not a websocket request: needs Upgrade: websocket");
  }
  if (request.header("Sec-WebSocket-Version") != "13") {
    throw Error(ErrorKind::invalid_argument, "websocket version 13 is spoken here");
  }
  const std::optional<std::string> accept = make_websocket_accept(request.header("Sec-WebSocket-Key"));
  if (!accept) throw Error(ErrorKind::invalid_argument, "bad Sec-WebSocket-Key");
  return *accept;
}

engine::Hijack make_websocket_hijack(Writer& out, std::string accept, WebsocketOpcode output) {
  return [out = &out, accept = std::move(accept), output](bool) { return hijack_websocket(out, accept, output); };
}

}  // namespace mydocker::api
