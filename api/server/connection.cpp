// The only unit of the engine that sees Beast: it parses heads and bodies, all else is plain Asio.
#include "api/server/connection.h"

#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <exception>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/log.h"
#include "engine/base/sys.h"

namespace mydocker::api {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;
using boost::system::system_error;

constexpr std::size_t read_size = std::size_t{64} << 10;
/// A head is small: thousands of clients that send none must not cost a large buffer each.
constexpr std::size_t head_read_size = std::size_t{4} << 10;

/// The client closed, or sent what cannot be a body.
struct BodyBroken {
  bool malformed = false;
};

Method to_method(http::verb verb) {
  switch (verb) {
    case http::verb::get:
      return Method::get;
    case http::verb::head:
      return Method::head;
    case http::verb::post:
      return Method::post;
    case http::verb::put:
      return Method::put;
    case http::verb::delete_:
      return Method::delete_;
    case http::verb::options:
      return Method::options;
    default:
      return Method::other;
  }
}

/// The origin form of a request target: "http://host/path" loses its authority.
std::string_view origin_form(std::string_view target) {
  const std::size_t scheme = target.find("://");
  if (target.starts_with('/') || scheme == std::string_view::npos) return target;
  const std::size_t slash = target.find('/', scheme + 3);
  return slash == std::string_view::npos ? "/" : target.substr(slash);
}

}  // namespace

/// One request and its response.
struct Connection::Exchange {
  http::request_parser<http::buffer_body> parser;
  Request request;
  const Route* route = nullptr;
  std::optional<Writer> writer;
  std::exception_ptr failure;
  UniqueFd upload;                ///< write end of the pipe
  bool expects_continue = false;  ///< the client waits for "100 Continue" and has not got it
  bool peer_gone = false;
  bool body_malformed = false;
  Clock::time_point begin = Clock::now();

  bool body_complete() const { return parser.is_done(); }
};

/// Cancels what the socket is doing when the time is over; `timed_out_` says so. One at a time.
class Connection::Deadline {
 public:
  Deadline(Connection& connection, std::chrono::milliseconds patience) : connection_(connection) {
    connection_.timed_out_ = false;
    const std::uint64_t generation = ++connection_.timer_generation_;
    connection_.timer_.expires_after(patience);
    connection_.timer_.async_wait([self = connection_.weak_from_this(), generation](const error_code& error) {
      const std::shared_ptr<Connection> owner = self.lock();
      if (error || !owner || owner->timer_generation_ != generation) return;
      owner->timed_out_ = true;
      error_code ignored;
      owner->socket_.cancel(ignored);
    });
  }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;
  ~Deadline() {
    ++connection_.timer_generation_;
    connection_.timer_.cancel();
  }

 private:
  Connection& connection_;
};

Connection::Connection(Socket socket, Peer peer, const Router& router, const ApiLimits& limits,
                       const ApiTimeouts& timeouts)
    : socket_(std::move(socket)),
      peer_(peer),
      router_(router),
      limits_(limits),
      timeouts_(timeouts),
      timer_(socket_.get_executor()) {}

Connection::~Connection() = default;

void Connection::stop() noexcept {
  stopping_ = true;
  if (!busy_) abort();
}

void Connection::abort() noexcept {
  stopping_ = true;
  aborted_ = true;
  error_code ignored;
  socket_.shutdown(Socket::shutdown_both, ignored);
  socket_.cancel(ignored);
}

awaitable<void> Connection::run() {
  try {
    while (!stopping_ && co_await wait_for_request()) {
      const Next next = co_await serve_one();
      busy_ = false;
      if (next == Next::close) break;
    }
  } catch (const system_error&) {
    // The client went away while it was written to: nobody is left to tell.
  } catch (const std::exception& error) {
    log::error("connection failed", {{"error", error.what()}});
  }
  error_code ignored;
  socket_.close(ignored);
}

/// false: the client is gone, or was idle for too long. Holds no buffer while it waits.
awaitable<bool> Connection::wait_for_request() {
  waiting_since_ = Clock::now();
  if (!input_.empty()) co_return true;
  input_ = std::string();
  const Deadline deadline(*this, timeouts_.idle);
  error_code error;
  co_await socket_.async_wait(Socket::wait_read, asio::redirect_error(asio::use_awaitable, error));
  co_return !error && !stopping_;
}

/// Appends what the client sent; false at the end of its stream.
awaitable<bool> Connection::read_input(std::size_t most) {
  if (input_ended_) co_return false;  // Asio waits for a new edge of epoll, which an ended stream never gives
  const std::size_t before = input_.size();
  input_.resize(before + most);
  error_code error;
  const std::size_t count = co_await socket_.async_read_some(asio::buffer(input_.data() + before, most),
                                                             asio::redirect_error(asio::use_awaitable, error));
  input_.resize(before + count);
  read_aborted_ = error == asio::error::operation_aborted;
  input_ended_ = error && !read_aborted_;
  co_return !error && count > 0;
}

awaitable<Connection::Next> Connection::serve_one() {
  Exchange exchange;
  const std::optional<Status> refusal = co_await read_head(exchange);
  if (refusal) {
    if (*refusal == Status::ok) co_return Next::close;  // gone before a request was complete
    co_await refuse(exchange, *refusal, std::string(reason_phrase(*refusal)));
    co_return Next::close;
  }
  busy_ = true;
  co_await dispatch(exchange);
  co_return co_await finish(exchange);
}

/// nullopt: the parser has the head. Status::ok: the client left. Else what to refuse with.
awaitable<std::optional<Status>> Connection::read_head(Exchange& exchange) {
  std::size_t end = std::string::npos;
  std::size_t searched = 0;
  {
    const Deadline deadline(*this, timeouts_.head);
    while ((end = input_.find("\r\n\r\n", searched)) == std::string::npos) {
      searched = input_.size() < 3 ? 0 : input_.size() - 3;
      if (input_.size() > limits_.head_bytes) co_return Status::header_too_large;
      // A head whose lines end in bare LF would never end: do not wait for it.
      if (input_.find("\n\n") != std::string::npos) co_return Status::bad_request;
      if (!co_await read_input(std::max(head_read_size, input_.size()))) {
        if (timed_out_) co_return Status::request_timeout;
        co_return input_.empty() || stopping_ ? Status::ok : Status::bad_request;
      }
    }
  }
  end += 4;
  if (end > limits_.head_bytes) co_return Status::header_too_large;
  switch (check_head(std::string_view(input_).substr(0, end), limits_)) {
    case HeadVerdict::good:
      break;
    case HeadVerdict::bad_request:
      co_return Status::bad_request;
    case HeadVerdict::too_many_fields:
      co_return Status::header_too_large;
  }
  exchange.parser.header_limit(static_cast<std::uint32_t>(limits_.head_bytes) + 1024);
  exchange.parser.body_limit(boost::none);
  exchange.parser.eager(false);
  error_code error;
  exchange.parser.put(asio::buffer(input_.data(), end), error);
  if (error || !exchange.parser.is_header_done()) co_return Status::bad_request;
  if (exchange.parser.get().version() != 11 && exchange.parser.get().version() != 10) co_return Status::bad_request;
  exchange.parser.eager(true);
  input_ = input_.substr(end);  // not erase: a handler that runs for hours keeps no buffer
  co_return std::nullopt;
}

/// Up to `size` bytes of the body; 0 at its end. Throws BodyBroken.
awaitable<std::size_t> Connection::read_body_some(Exchange& exchange, char* out, std::size_t size) {
  auto& parser = exchange.parser;
  auto& body = parser.get().body();
  while (!parser.is_done()) {
    if (input_.empty() && !co_await read_input(read_size)) throw BodyBroken{};
    body.data = out;
    body.size = size;
    body.more = true;
    error_code error;
    const std::size_t used = parser.put(asio::buffer(input_), error);
    input_.erase(0, used);
    const std::size_t got = size - body.size;
    if (got > 0) co_return got;
    if (error == http::error::need_more && used == 0) {
      // A chunk header or trailer that never ends.
      if (input_.size() > limits_.head_bytes) throw BodyBroken{true};
      if (!co_await read_input(read_size)) throw BodyBroken{};
    } else if (error && error != http::error::need_more && error != http::error::need_buffer) {
      throw BodyBroken{true};
    }
  }
  co_return 0;
}

awaitable<void> Connection::send_continue(Exchange& exchange) {
  if (!std::exchange(exchange.expects_continue, false) || !input_.empty()) co_return;
  constexpr std::string_view line = "HTTP/1.1 100 Continue\r\n\r\n";
  co_await asio::async_write(socket_, asio::buffer(line.data(), line.size()), asio::use_awaitable);
}

/// nullopt: `request.body` is complete.
awaitable<std::optional<Status>> Connection::read_whole_body(Exchange& exchange) {
  const boost::optional<std::uint64_t> length = exchange.parser.content_length();
  if (length && *length > limits_.json_body_bytes) co_return Status::too_large;
  if (exchange.body_complete()) co_return std::nullopt;
  co_await send_continue(exchange);
  std::string& body = exchange.request.body;
  std::vector<char> buffer(std::min<std::size_t>(read_size, length.value_or(read_size) + 1));
  std::size_t window_bytes = 0;
  std::optional<Deadline> window;
  std::optional<BodyBroken> broken;
  try {
    while (true) {
      if (!window || window_bytes >= timeouts_.body_bytes) {
        window.reset();
        window.emplace(*this, timeouts_.body);
        window_bytes = 0;
      }
      const std::size_t count = co_await read_body_some(exchange, buffer.data(), buffer.size());
      if (count == 0) break;
      window_bytes += count;
      if (body.size() + count > limits_.json_body_bytes) co_return Status::too_large;
      body.append(buffer.data(), count);
    }
  } catch (const BodyBroken& error) {
    broken = error;
  }
  if (!broken) co_return std::nullopt;
  if (timed_out_) co_return Status::request_timeout;
  co_return Status::bad_request;
}

/// Fills `exchange.request` from the parsed head. Throws Error for what is wrong with it.
void Connection::prepare(Exchange& exchange) {
  const auto& head = exchange.parser.get();
  Request& request = exchange.request;
  request.method = to_method(head.method());
  request.http_1_0 = head.version() == 10;
  request.chunked = exchange.parser.chunked();
  for (const auto& header : head) request.headers.emplace_back(header.name_string(), header.value());
  const std::string_view expect = request.header("Expect");
  exchange.expects_continue = !request.http_1_0 && (expect == "100-continue" || expect == "100-Continue");

  Writer::Options options;
  options.head_only = request.method == Method::head;
  options.chunks = !request.http_1_0;
  options.keep_alive = head.keep_alive() && !request.http_1_0 && !stopping_;
  options.upgrade = request.wants_upgrade();
  exchange.writer.emplace(socket_, options, [this] { return std::exchange(input_, std::string()); });

  const std::string_view target = origin_form({head.target().data(), head.target().size()});
  const std::size_t mark = target.find('?');
  if (mark != std::string_view::npos) {
    request.query = parse_query(target.substr(mark + 1, target.find('#', mark) - mark - 1));
  }
  const VersionedPath versioned = split_version(clean_request_path(target.substr(0, mark)));
  request.path = versioned.path;
  if (request.method == Method::options) return;
  RouteMatch match = router_.find(request.method, request.path);
  if (match.route == nullptr) throw Error(ErrorKind::not_found, "page not found");
  request.version = check_version(versioned.version);
  request.path_params = std::move(match.params);
  exchange.route = match.route;
  options.version = request.version;
  exchange.writer.emplace(socket_, options, [this] { return std::exchange(input_, std::string()); });
}

awaitable<void> Connection::dispatch(Exchange& exchange) {
  try {
    prepare(exchange);
  } catch (...) {
    exchange.failure = std::current_exception();
  }
  if (!exchange.failure && exchange.route == nullptr) {  // OPTIONS
    co_await exchange.writer->empty(Status::ok);
    co_return;
  }
  if (!exchange.failure && exchange.route->body == BodyKind::whole) {
    if (const std::optional<Status> refusal = co_await read_whole_body(exchange)) {
      co_await refuse(
          exchange, *refusal,
          *refusal == Status::too_large ? "request body too large" : "malformed or incomplete request body");
      co_return;
    }
    Request& request = exchange.request;
    if (request.header("Content-Type").starts_with("application/x-www-form-urlencoded")) {
      try {
        QueryPairs pairs = parse_query(request.body);
        request.query.insert(request.query.begin(), pairs.begin(), pairs.end());
      } catch (...) {
        exchange.failure = std::current_exception();
      }
    }
  }
  if (exchange.failure) {
    co_await answer_failure(exchange);
    co_return;
  }
  const bool guarded = exchange.route->body == BodyKind::upload || exchange.route->on_hangup == OnHangup::cancel;
  if (!guarded) {
    co_await run_handler(exchange);
  } else {
    using namespace asio::experimental::awaitable_operators;
    if (exchange.route->body == BodyKind::upload) {
      Pipe pipe = make_pipe();
      exchange.request.set_upload(std::move(pipe.read));
      exchange.upload = std::move(pipe.write);
    }
    co_await (run_handler(exchange) || guard(exchange));
    exchange.upload.reset();
  }
  if (exchange.failure || !exchange.writer->finished()) co_await answer_failure(exchange);
}

/// Keeps what the handler throws; never throws itself.
awaitable<void> Connection::run_handler(Exchange& exchange) {
  try {
    co_await exchange.route->handler(exchange.request, *exchange.writer);
  } catch (...) {
    exchange.failure = std::current_exception();
  }
}

/// Beside a handler: feeds its upload, then watches the client. Returns, and so cancels the handler, when the client
/// is gone or its body is broken.
awaitable<void> Connection::guard(Exchange& exchange) {
  try {
    if (exchange.upload) co_await pump_upload(exchange);
    error_code error;
    // EPOLLHUP: both directions are closed. A half-closed client still wants its answer (WIRE 5.3).
    co_await socket_.async_wait(Socket::wait_error, asio::redirect_error(asio::use_awaitable, error));
    exchange.peer_gone = !error || aborted_;
  } catch (const BodyBroken& broken) {
    // Aborted: the handler came to its end before the upload did.
    exchange.body_malformed = broken.malformed;
    exchange.peer_gone = !broken.malformed && (!read_aborted_ || aborted_);
  } catch (const system_error&) {
    // As above.
  }
  if (exchange.peer_gone || exchange.body_malformed) co_return;
  asio::steady_timer never(socket_.get_executor(), Clock::time_point::max());
  error_code ignored;
  co_await never.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

awaitable<void> Connection::pump_upload(Exchange& exchange) {
  if (!exchange.body_complete()) co_await send_continue(exchange);
  set_nonblocking(exchange.upload.get());
  asio::posix::stream_descriptor pipe(socket_.get_executor(), exchange.upload.release());
  std::vector<char> buffer(read_size);
  bool reader_gone = false;
  while (const std::size_t count = co_await read_body_some(exchange, buffer.data(), buffer.size())) {
    error_code error;
    if (!reader_gone) {
      co_await asio::async_write(pipe, asio::buffer(buffer.data(), count),
                                 asio::redirect_error(asio::use_awaitable, error));
    }
    // A reader that has seen enough (or refused) leaves the rest of the body to be thrown away (WIRE 2.3).
    if (error) reader_gone = true;
  }
}

awaitable<void> Connection::answer_failure(Exchange& exchange) {
  Writer& writer = *exchange.writer;
  if (exchange.peer_gone || writer.started()) co_return;
  Status status = Status::internal_error;
  std::string message = "the request ended without an answer";
  if (exchange.body_malformed) {
    status = Status::bad_request;
    message = "malformed request body";
  } else if (exchange.failure) {
    try {
      std::rethrow_exception(exchange.failure);
    } catch (const Error& error) {
      status = to_status(error.kind());
      message = error.message();
    } catch (const std::exception& error) {
      message = error.what();
      log::error("request failed", {{"path", exchange.request.path}, {"error", message}});
    }
  }
  if (exchange.expects_continue) writer.close_after();
  co_await writer.error(status, message);
}

/// For what went wrong before a handler was found: answer, and no further request.
awaitable<void> Connection::refuse(Exchange& exchange, Status status, std::string message) {
  if (!exchange.writer) exchange.writer.emplace(socket_, Writer::Options{}, [] { return std::string(); });
  exchange.writer->close_after();
  co_await exchange.writer->error(status, message);
  co_await linger();
}

awaitable<Connection::Next> Connection::finish(Exchange& exchange) {
  const Writer& writer = *exchange.writer;
  const auto took = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - exchange.begin);
  log::debug("request", {{"path", exchange.request.path},
                         {"status", static_cast<int>(writer.status())},
                         {"us", took.count()},
                         {"peer_pid", peer_.pid},
                         {"peer_uid", peer_.uid}});
  if (writer.hijacked() || exchange.peer_gone || !socket_.is_open()) co_return Next::close;
  if (exchange.body_malformed || exchange.expects_continue) {
    co_await linger();
    co_return Next::close;
  }
  if (!exchange.body_complete()) co_await drain(exchange);
  if (writer.must_close() || stopping_ || !exchange.body_complete()) {
    co_await linger();
    co_return Next::close;
  }
  co_return Next::keep_alive;
}

/// Reads the rest of a body that nobody wants, so that the client gets to read its answer (WIRE 2.3).
awaitable<void> Connection::drain(Exchange& exchange) {
  const Deadline deadline(*this, timeouts_.drain);
  std::vector<char> buffer(read_size);
  std::size_t total = 0;
  try {
    while (total < timeouts_.drain_bytes) {
      const std::size_t count = co_await read_body_some(exchange, buffer.data(), buffer.size());
      if (count == 0) break;
      total += count;
    }
  } catch (const BodyBroken&) {
    // Gone, or no body: the connection closes either way.
  }
}

/// Ends our side and waits a moment for the client's: closing with unread input would take the answer from it.
awaitable<void> Connection::linger() {
  error_code ignored;
  socket_.shutdown(Socket::shutdown_send, ignored);
  const Deadline deadline(*this, std::chrono::seconds(2));
  std::size_t total = 0;
  while (total < (std::size_t{64} << 20)) {
    input_.clear();
    if (!co_await read_input(read_size)) break;
    total += input_.size();
  }
  input_.clear();
}

}  // namespace mydocker::api
