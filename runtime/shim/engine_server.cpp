#include "runtime/shim/engine_server.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "engine/base/log.h"
#include "engine/base/sys.h"
#include "engine/base/time.h"

namespace mydocker::shim {
namespace {

using runtime::ShimEvent;

constexpr std::size_t max_connections = 16;
constexpr std::size_t max_queued_events = 1024;
constexpr std::size_t max_queued_before_skipping = 128;
constexpr std::chrono::milliseconds accept_rest(1000);

bool is_own_peer(int socket) {
  ucred peer{};
  socklen_t length = sizeof peer;
  return ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.uid == ::geteuid();
}

json::object to_object(const ShimEvent& event) { return std::move(to_json(event).get_object()); }

}  // namespace

/// One engine's connection.
class EngineServer::Connection final : public FdHandler {
 public:
  enum class Role { unknown, requests, events };

  Connection(EngineServer& server, UniqueFd socket) : server_(server), socket_(std::move(socket)) {
    server_.loop_.watch(socket_.get(), EPOLLIN, *this);
  }
  ~Connection() {
    if (socket_) server_.loop_.forget(socket_.get());
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int fd() const { return socket_.get(); }
  bool closed() const { return !socket_; }
  Role role() const { return role_; }
  void set_role(Role role) { role_ = role; }

  void close() {
    if (!socket_) return;
    server_.loop_.forget(socket_.get());
    socket_.reset();
    server_.forget_closed();
  }
  void close_when_sent() {
    closing_ = true;
    if (queue_.empty()) close();
  }

  /// An answer: the engine waits for it, so there is room; one that does not read is dropped.
  void send(const json::object& body, std::span<const int> fds = {}) {
    try {
      if (!closed() && !runtime::send_shim_message(fd(), body, fds)) close();
    } catch (const Error&) {
      close();
    }
  }
  void send_event(const ShimEvent& event) {
    if (closed() || closing_) return;
    queue_.push_back(event);
    if (queue_.size() > max_queued_events) return close();
    flush();
  }

  bool lags() const { return queue_.size() >= max_queued_before_skipping; }

  void on_ready(std::uint32_t events) override {
    if ((events & EPOLLOUT) != 0) flush();
    if (!closed() && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) server_.receive(*this);
  }

 private:
  void flush() {
    try {
      while (!queue_.empty() && runtime::send_shim_message(fd(), to_object(queue_.front()))) queue_.pop_front();
    } catch (const Error&) {
      return close();
    }
    if (queue_.empty() && closing_) return close();
    const bool waiting = !queue_.empty();
    if (waiting != waiting_) server_.loop_.change(fd(), waiting ? EPOLLIN | EPOLLOUT : EPOLLIN, *this);
    waiting_ = waiting;
  }

  EngineServer& server_;
  UniqueFd socket_;
  Role role_ = Role::unknown;
  std::deque<ShimEvent> queue_;
  bool waiting_ = false;
  bool closing_ = false;
};

EngineServer::EngineServer(EventLoop& loop, Handler& handler, UniqueFd listener)
    : loop_(loop), handler_(handler), listener_(std::move(listener)) {
  set_nonblocking(listener_.get());
  loop_.watch(listener_.get(), EPOLLIN, *this);
}

EngineServer::~EngineServer() { stop_listening(); }

void EngineServer::add_connection(UniqueFd socket) {
  connections_.push_back(std::make_unique<Connection>(*this, std::move(socket)));
}

void EngineServer::publish(ShimEvent event) {
  if (event.time_ns == 0) event.time_ns = to_unix_nanoseconds(now());
  for (const auto& connection : connections_) {
    if (connection->role() == Connection::Role::events) connection->send_event(event);
  }
}

void EngineServer::publish_if_read(ShimEvent event) {
  event.time_ns = to_unix_nanoseconds(now());
  for (const auto& connection : connections_) {
    if (connection->role() == Connection::Role::events && !connection->lags()) connection->send_event(event);
  }
}

std::uint64_t EngineServer::publish_until_acknowledged(ShimEvent event) {
  event.sequence = next_sequence_++;
  event.time_ns = to_unix_nanoseconds(now());
  unacknowledged_.push_back(event);
  if (unacknowledged_.size() > max_queued_events) unacknowledged_.pop_front();
  publish(event);
  return event.sequence;
}

void EngineServer::publish_for_ever(ShimEvent event) {
  event.time_ns = to_unix_nanoseconds(now());
  lasting_.push_back(event);
  publish(std::move(event));
}

bool EngineServer::has_connections() const noexcept {
  return std::any_of(connections_.begin(), connections_.end(),
                     [](const auto& connection) { return !connection->closed(); });
}

bool EngineServer::has_listeners() const noexcept {
  return std::any_of(connections_.begin(), connections_.end(), [](const auto& connection) {
    return connection->role() == Connection::Role::events && !connection->closed();
  });
}

void EngineServer::stop_listening() {
  if (listener_) loop_.forget(listener_.get());
  listener_.reset();
}

void EngineServer::close_events() {
  for (const auto& connection : connections_) {
    if (connection->role() == Connection::Role::events) connection->close_when_sent();
  }
}

void EngineServer::on_ready(std::uint32_t) {
  UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket) return rest_from_accepting();
  if (!is_own_peer(socket.get())) return log::warn("connection of a foreign user refused");
  if (connections_.size() >= max_connections) return log::warn("too many connections");
  add_connection(std::move(socket));
}

/// Out of descriptors, most likely: the waiting connection would wake us again and again.
void EngineServer::rest_from_accepting() {
  loop_.change(listener_.get(), 0, *this);
  loop_.after(accept_rest, [this] {
    if (listener_) loop_.change(listener_.get(), EPOLLIN, *this);
  });
}

void EngineServer::receive(Connection& connection) {
  runtime::ShimMessage message;
  try {
    const runtime::Received received = runtime::receive_shim_message(connection.fd(), message);
    if (received == runtime::Received::would_block) return;
    if (received == runtime::Received::closed) return connection.close();
    if (message.body.contains("hello")) return greet(connection, message.body);
    if (const auto* sequence = message.body.if_contains("ack")) {
      const auto number = from_json<std::uint64_t>(*sequence, "ack");
      std::erase_if(unacknowledged_, [&](const ShimEvent& event) { return event.sequence == number; });
      return handler_.on_acknowledged(number);
    }
    if (connection.role() != Connection::Role::requests) {
      throw Error(ErrorKind::invalid_argument, "this connection may not ask");
    }
  } catch (const Error& error) {
    connection.send({{"error", runtime::make_error_object(error)}});
    return connection.close();
  }
  answer(connection, message.body, message.fds);
}

void EngineServer::greet(Connection& connection, const json::object& hello) {
  const auto role = from_json<std::string>(hello.contains("role") ? hello.at("role") : json::value(), "role");
  if (role != "requests" && role != "events") throw Error(ErrorKind::invalid_argument, "no such role");
  connection.send({{"hello", runtime::shim_protocol_version}, {"pid", ::getpid()}});
  if (role == "requests") return connection.set_role(Connection::Role::requests);
  connection.set_role(Connection::Role::events);
  ShimEvent first;
  first.type = "snapshot";
  first.time_ns = to_unix_nanoseconds(now());
  first.snapshot = handler_.make_snapshot();
  connection.send_event(first);
  for (const ShimEvent& event : unacknowledged_) connection.send_event(event);
  for (const ShimEvent& event : lasting_) connection.send_event(event);
  handler_.on_listener();
}

void EngineServer::answer(Connection& connection, json::object& request, std::vector<UniqueFd>& fds) {
  json::object reply;
  if (const auto* id = request.if_contains("id")) reply["id"] = *id;
  Answer answer;
  try {
    const auto* method = request.if_contains("method");
    json::object params;
    if (auto* given = request.if_contains("params"); given != nullptr && given->is_object()) {
      params = std::move(given->get_object());
    }
    answer = handler_.on_request(method != nullptr ? from_json<std::string>(*method, "method") : "", params, fds);
    reply["result"] = std::move(answer.result);
  } catch (const Error& error) {
    reply["error"] = runtime::make_error_object(error);
  } catch (const std::exception& error) {  // memory ran out, or worse: the container shall not pay for it
    reply["error"] = runtime::make_error_object(Error(ErrorKind::internal, concat("shim: ", error.what())));
  }
  if (answer.fd >= 0) {
    connection.send(reply, std::span<const int>(&answer.fd, 1));
  } else {
    connection.send(reply);
  }
}

void EngineServer::forget_closed() {
  loop_.defer([this] {
    const std::size_t closed = std::erase_if(connections_, [](const auto& connection) { return connection->closed(); });
    if (closed > 0 && connections_.empty()) handler_.on_alone();
  });
}

}  // namespace mydocker::shim
