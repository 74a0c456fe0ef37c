#include "tests/unit/api/http_client.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cctype>
#include <chrono>
#include <future>

#include "engine/base/sys.h"

namespace mydocker::api {

namespace asio = boost::asio;

TestServer::TestServer(std::vector<Route> routes, ApiLimits limits, ApiTimeouts timeouts)
    : work_(asio::make_work_guard(io_)),
      server_(std::make_unique<Server>(io_.get_executor(), Router(std::move(routes)), limits, timeouts)),
      thread_([this] { io_.run(); }) {}

TestServer::~TestServer() {
  asio::post(io_, [this] { server_.reset(); });
  work_.reset();
  thread_.join();
}

UniqueFd TestServer::connect() {
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  const timeval timeout{10, 0};
  ::setsockopt(ours.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  ::setsockopt(ours.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  std::promise<void> served;
  asio::post(io_, [&] {
    server_->serve(std::move(theirs));
    served.set_value();
  });
  served.get_future().wait();
  return std::move(ours);
}

std::size_t TestServer::connection_count() {
  std::promise<std::size_t> count;
  asio::post(io_, [&] { count.set_value(server_->connection_count()); });
  return count.get_future().get();
}

bool TestServer::wait_for_connections(std::size_t count) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (std::chrono::steady_clock::now() < end) {
    if (connection_count() == count) return true;
    std::this_thread::yield();
  }
  return false;
}

void send_all(const UniqueFd& socket, std::string_view data) {
  while (!data.empty()) {
    const ssize_t sent = ::send(socket.get(), data.data(), data.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    data.remove_prefix(static_cast<std::size_t>(sent));
  }
}

std::string read_exactly(const UniqueFd& socket, std::size_t size) {
  std::string data(size, '\0');
  std::size_t have = 0;
  while (have < size) {
    const ssize_t got = ::recv(socket.get(), data.data() + have, size - have, 0);
    if (got <= 0) break;
    have += static_cast<std::size_t>(got);
  }
  data.resize(have);
  return data;
}

std::string read_to_end(const UniqueFd& socket) {
  std::string data;
  while (true) {
    const std::string piece = read_exactly(socket, 1);
    if (piece.empty()) return data;
    data += piece;
  }
}

bool is_at_end(const UniqueFd& socket) {
  char byte = 0;
  return ::recv(socket.get(), &byte, 1, 0) == 0;
}

std::string read_head(const UniqueFd& socket) {
  std::string head;
  while (!head.ends_with("\r\n\r\n")) {
    const std::string piece = read_exactly(socket, 1);
    if (piece.empty()) break;
    head += piece;
  }
  return head;
}

namespace {

std::string read_line(const UniqueFd& socket) {
  std::string line;
  while (!line.ends_with("\r\n")) {
    const std::string piece = read_exactly(socket, 1);
    if (piece.empty()) break;
    line += piece;
  }
  return line;
}

std::string read_chunks(const UniqueFd& socket) {
  std::string body;
  while (true) {
    const std::string line = read_line(socket);
    if (line.empty()) return body + "<cut off>";
    const std::size_t size = std::stoul(line, nullptr, 16);
    body += read_exactly(socket, size);
    EXPECT_EQ(read_exactly(socket, 2), "\r\n");
    if (size == 0) return body;
  }
}

}  // namespace

Response read_response(const UniqueFd& socket, bool head_only) {
  Response response;
  response.head = read_head(socket);
  if (response.head.size() < 12) return response;
  response.status = std::stoi(response.head.substr(9, 3));
  std::size_t begin = response.head.find("\r\n") + 2;
  while (begin + 2 < response.head.size()) {
    const std::size_t end = response.head.find("\r\n", begin);
    const std::string line = response.head.substr(begin, end - begin);
    const std::size_t colon = line.find(": ");
    if (colon != std::string::npos) {
      std::string name = line.substr(0, colon);
      std::transform(name.begin(), name.end(), name.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      response.headers[name] = line.substr(colon + 2);
    }
    begin = end + 2;
  }
  if (head_only || response.status < 200 || response.status == 204 || response.status == 304) return response;
  if (response.headers.contains("content-length")) {
    response.body = read_exactly(socket, std::stoul(response.headers["content-length"]));
  } else if (response.headers["transfer-encoding"] == "chunked") {
    response.body = read_chunks(socket);
  } else {
    response.body = read_to_end(socket);
  }
  return response;
}

}  // namespace mydocker::api
