#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <list>
#include <memory>
#include <string>

#include "api/server/connection.h"

namespace mydocker::api {

/// Accepts clients on any number of sockets and serves them from one routing table, all on the caller's I/O thread.
class Server {
 public:
  Server(asio::any_io_executor executor, Router router, ApiLimits limits = {}, ApiTimeouts timeouts = {});
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server();

  /// Accepts on a listening socket from now on (Unix or TCP).
  void listen(UniqueFd socket);
  /// Serves one connected socket: for tests and socketpairs.
  void serve(UniqueFd socket);
  /// As serve, of a client that another part of this process speaks for (TLS): its socket's credentials are our own.
  void serve_remote(UniqueFd socket);

  /// Closes the listening sockets; connections are served on.
  void refuse_new();

  /// Accepts no more, closes idle connections, lets running requests end. Returns when all are gone or
  /// `patience` has passed; the rest is cut off then.
  awaitable<void> stop(std::chrono::milliseconds patience);

  std::size_t connection_count() const noexcept;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

/// The gate of local clients: a socket file in a directory that only root writes (SECURITY R15), owned by `group`
/// (-1: root's), mode 0660. A socket that another process still listens on is Error{conflict}; a stale one is replaced.
/// Blocks briefly; at start only.
UniqueFd listen_on_unix(const std::string& path, gid_t group);

}  // namespace mydocker::api
