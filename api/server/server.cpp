#include "api/server/server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <thread>

#include "engine/base/error.h"
#include "engine/base/log.h"
#include "engine/base/sys.h"

namespace mydocker::api {
namespace {

using boost::system::error_code;

Peer read_peer(int socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return {};
  return {credentials.pid, credentials.uid};
}

int read_family(int socket) {
  int family = AF_UNIX;
  socklen_t size = sizeof family;
  if (::getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &family, &size) != 0) throw sys_error("getsockopt SO_DOMAIN");
  return family;
}

}  // namespace

struct Server::State : std::enable_shared_from_this<Server::State> {
  State(asio::any_io_executor io, Router routes, ApiLimits given_limits, ApiTimeouts given_timeouts)
      : executor(std::move(io)),
        router(std::move(routes)),
        limits(given_limits),
        timeouts(given_timeouts),
        changed(executor, asio::steady_timer::time_point::max()) {}

  awaitable<void> accept_loop(std::shared_ptr<asio::posix::stream_descriptor> listener);
  void accept_waiting(int listener);
  void serve(UniqueFd socket, Peer peer);
  awaitable<void> run(std::shared_ptr<Connection> connection);
  bool make_room(uid_t user);

  asio::any_io_executor executor;
  Router router;
  ApiLimits limits;
  ApiTimeouts timeouts;
  std::list<std::shared_ptr<asio::posix::stream_descriptor>> listeners;
  std::list<std::shared_ptr<Connection>> connections;
  asio::steady_timer changed;  ///< cancelled when a connection ends while stopping
  bool stopping = false;
  bool short_of_files = false;
};

awaitable<void> Server::State::accept_loop(std::shared_ptr<asio::posix::stream_descriptor> listener) {
  const std::shared_ptr<State> self = shared_from_this();
  while (!stopping) {
    error_code error;
    co_await listener->async_wait(asio::posix::stream_descriptor::wait_read,
                                  asio::redirect_error(asio::use_awaitable, error));
    if (error || stopping) break;
    accept_waiting(listener->native_handle());
    if (short_of_files || connections.size() >= limits.connections) {
      asio::steady_timer pause(executor, std::chrono::milliseconds(100));
      co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
    }
  }
}

void Server::State::accept_waiting(int listener) {
  for (int i = 0; i < 64; ++i) {
    if (connections.size() >= limits.connections && !make_room(static_cast<uid_t>(-1))) return;
    const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      const bool was_short = std::exchange(short_of_files, errno == EMFILE || errno == ENFILE);
      if (short_of_files && !was_short) log::warn("no descriptors left for clients", {{"error", errno_text(errno)}});
      if (short_of_files) make_room(static_cast<uid_t>(-1));
      return;
    }
    short_of_files = false;
    serve(UniqueFd(fd), read_peer(fd));
  }
}

/// Ends the connection that has waited longest for a request, of `user` or (-1) of anyone. false: all are at work.
bool Server::State::make_room(uid_t user) {
  Connection* oldest = nullptr;
  for (const std::shared_ptr<Connection>& connection : connections) {
    if (connection->busy() || connection->aborted() ||
        (user != static_cast<uid_t>(-1) && connection->peer().uid != user))
      continue;
    if (oldest == nullptr || connection->waiting_since() < oldest->waiting_since()) oldest = connection.get();
  }
  if (oldest == nullptr) return false;
  oldest->abort();
  return true;
}

void Server::State::serve(UniqueFd socket, Peer peer) {
  std::size_t of_user = 0;
  for (const std::shared_ptr<Connection>& connection : connections) {
    of_user += connection->peer().uid == peer.uid && !connection->aborted();
  }
  if (of_user >= limits.connections_per_user && !make_room(peer.uid)) {
    constexpr std::string_view reply =
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 48\r\n"
        "Connection: close\r\n\r\n{\"message\":\"too many connections of this user\"}\n";
    // The socket is fresh: the kernel has room for this. Who does not read it is not waited for.
    (void)::send(socket.get(), reply.data(), reply.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return;
  }
  Socket client(executor, asio::generic::stream_protocol(read_family(socket.get()), 0), socket.get());
  (void)socket.release();
  auto connection = std::make_shared<Connection>(std::move(client), peer, router, limits, timeouts);
  connections.push_back(connection);
  asio::co_spawn(executor, run(std::move(connection)), asio::detached);  // run() lets nothing out
}

awaitable<void> Server::State::run(std::shared_ptr<Connection> connection) {
  const std::shared_ptr<State> self = shared_from_this();
  co_await connection->run();
  connections.remove(connection);
  if (stopping) changed.cancel();
}

Server::Server(asio::any_io_executor executor, Router router, ApiLimits limits, ApiTimeouts timeouts)
    : state_(std::make_shared<State>(std::move(executor), std::move(router), limits, timeouts)) {}

Server::~Server() {
  state_->stopping = true;
  for (const auto& listener : state_->listeners) listener->close();
  for (const auto& connection : state_->connections) connection->abort();
}

void Server::listen(UniqueFd socket) {
  set_nonblocking(socket.get());
  auto listener = std::make_shared<asio::posix::stream_descriptor>(state_->executor, socket.get());
  (void)socket.release();
  state_->listeners.push_back(listener);
  asio::co_spawn(state_->executor, state_->accept_loop(std::move(listener)), asio::detached);
}

void Server::serve(UniqueFd socket) {
  set_nonblocking(socket.get());
  const Peer peer = read_peer(socket.get());
  state_->serve(std::move(socket), peer);
}

void Server::serve_remote(UniqueFd socket) {
  if (state_->stopping) return;
  set_nonblocking(socket.get());
  state_->serve(std::move(socket), Peer{});
}

void Server::refuse_new() {
  for (const auto& listener : state_->listeners) listener->close();
  state_->listeners.clear();
}

awaitable<void> Server::stop(std::chrono::milliseconds patience) {
  const std::shared_ptr<State> state = state_;
  state->stopping = true;
  refuse_new();
  for (const auto& connection : state->connections) connection->stop();
  const auto end = asio::steady_timer::clock_type::now() + patience;
  while (!state->connections.empty() && asio::steady_timer::clock_type::now() < end) {
    error_code ignored;
    state->changed.expires_at(end);
    co_await state->changed.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  for (const auto& connection : state->connections) connection->abort();
}

std::size_t Server::connection_count() const noexcept { return state_->connections.size(); }

namespace {

bool is_served(const std::string& path) {
  try {
    const UniqueFd probe = connect_unix(path, SOCK_STREAM);
    return true;
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::unavailable) throw;
    return false;
  }
}

}  // namespace

UniqueFd listen_on_unix(const std::string& path, gid_t group) {
  // A child of a killed engine between fork and exec holds the socket a moment longer than the engine.
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  while (path_exists(path) && is_served(path)) {
    if (std::chrono::steady_clock::now() >= end) {
      throw Error(ErrorKind::conflict, concat("listen ", path, ": another process listens there"));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  UniqueFd socket = listen_unix(path, SOCK_STREAM, 0660);
  if (group != static_cast<gid_t>(-1) && ::lchown(path.c_str(), 0, group) != 0) throw sys_error("chown ", path);
  return socket;
}

}  // namespace mydocker::api
