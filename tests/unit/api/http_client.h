#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "api/server/server.h"
#include "engine/base/unique_fd.h"

namespace mydocker::api {

/// A server over socket pairs, on a thread of its own: HTTP without an engine.
class TestServer {
 public:
  explicit TestServer(std::vector<Route> routes, ApiLimits limits = {}, ApiTimeouts timeouts = {});
  ~TestServer();

  /// A new connection; reads time out after 10 s.
  UniqueFd connect();
  std::size_t connection_count();
  /// Returns when `count` connections are left; false after 10 s.
  bool wait_for_connections(std::size_t count);

 private:
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
};

struct Response {
  int status = 0;
  std::string head;
  std::map<std::string, std::string> headers;  ///< lower-case names
  std::string body;
};

void send_all(const UniqueFd& socket, std::string_view data);
/// What comes until the peer closes.
std::string read_to_end(const UniqueFd& socket);
std::string read_exactly(const UniqueFd& socket, std::size_t size);
/// One response: head, and the body by its length or chunks. `head_only` for HEAD. Bytes are read one by one, so that
/// nothing beyond it is taken.
Response read_response(const UniqueFd& socket, bool head_only = false);
/// Up to and including the empty line.
std::string read_head(const UniqueFd& socket);
bool is_at_end(const UniqueFd& socket);

}  // namespace mydocker::api
