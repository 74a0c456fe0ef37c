#pragma once

#include <atomic>
#include <list>
#include <memory>
#include <string>
#include <thread>

#include "engine/base/unique_fd.h"
#include "tests/support/http_client.h"

namespace mydocker::test {

/// Stands between a client and the engine: what connects to its socket is carried to the engine's and back, byte for
/// byte, half-closes and hang-ups included, and every response on the way is judged by the API's definition as those
/// of HttpClient are. So the traffic of programs that are not ours is judged, too. Follows kept-alive connections,
/// chunked bodies, and upgrades, after which the bytes are nobody's business. Any thread.
class Relay {
 public:
  /// Listens on `socket`; a connection to `engine_socket` is made for each one that comes. `report` gets each problem,
  /// on a thread of the relay; without it a problem fails the running test. Throws Error when it cannot listen.
  Relay(const std::string& socket, std::string engine_socket, ProblemReport report = {});
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;
  /// Cuts every connection.
  ~Relay();

  /// "unix:///..." for DOCKER_HOST.
  std::string host() const { return "unix://" + socket_; }
  /// How many responses came through so far.
  long responses() const { return responses_; }

 private:
  class Connection;

  void accept_all();

  std::string socket_;
  std::string engine_socket_;
  ProblemReport report_;
  std::atomic<long> responses_ = 0;
  UniqueFd listener_;
  std::list<std::unique_ptr<Connection>> connections_;  ///< the accepting thread's, and the destructor's after it
  std::thread accepting_;
};

}  // namespace mydocker::test
