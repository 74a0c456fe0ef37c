#include "cli/client.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <memory>

#include "api/types/json.h"
#include "engine/base/sys.h"

namespace mydocker::cli {
namespace {

ErrorKind kind_of(int status) {
  switch (status) {
    case 304:
      return ErrorKind::not_modified;
    case 400:
      return ErrorKind::invalid_argument;
    case 401:
      return ErrorKind::unauthorized;
    case 403:
      return ErrorKind::forbidden;
    case 404:
      return ErrorKind::not_found;
    case 409:
      return ErrorKind::conflict;
    case 413:
      return ErrorKind::too_large;
    case 501:
      return ErrorKind::not_implemented;
    case 503:
      return ErrorKind::unavailable;
    default:
      return ErrorKind::internal;
  }
}

std::string error_text(const HttpHead& head, const std::string& body) {
  if (head.header("Content-Type").starts_with("application/json")) {
    try {
      const auto response = from_json<api::ErrorResponse>(parse_json(body));
      if (!response.message.empty()) return response.message;
    } catch (const Error&) {
      return body;
    }
    return concat("API returned a ", head.status, " but provided no error-message");
  }
  std::string text = body;
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text.empty() ? concat("request returned status ", head.status) : text;
}

UniqueFd connect_tcp(const Endpoint& endpoint, int& errno_value) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int failure = ::getaddrinfo(endpoint.host.c_str(), endpoint.port.c_str(), &hints, &found); failure != 0) {
    throw Error(ErrorKind::unavailable, concat("dial tcp: lookup ", endpoint.host, ": ", ::gai_strerror(failure)));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, ::freeaddrinfo);
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    UniqueFd socket(::socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (socket && retry_on_eintr([&] { return ::connect(socket.get(), address->ai_addr, address->ai_addrlen); }) == 0) {
      const int on = 1;
      ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      return socket;
    }
    errno_value = errno;
  }
  return {};
}

}  // namespace

ApiError::ApiError(int status, std::string_view text)
    : Error(kind_of(status), concat("Error response from daemon: ", text)), status_(status), text_(text) {}

std::string path_part(std::string_view name) { return percent_encode(name, "/:@"); }

Client::Client(Endpoint endpoint, std::string version_prefix, HeaderList headers, std::function<bool()> start_engine)
    : endpoint_(std::move(endpoint)),
      version_prefix_(std::move(version_prefix)),
      headers_(std::move(headers)),
      start_engine_(std::move(start_engine)) {}

std::optional<UniqueFd> Client::try_connect(int& errno_value) {
  if (endpoint_.kind == Endpoint::Kind::tcp) {
    UniqueFd socket = connect_tcp(endpoint_, errno_value);
    if (!socket) return std::nullopt;
    return tls_ ? begin_tls(std::move(socket), endpoint_.host, *tls_) : std::move(socket);
  }
  try {
    return connect_unix(endpoint_.path, SOCK_STREAM);
  } catch (const Error& error) {
    errno_value = error.errno_value();
    return std::nullopt;
  }
}

UniqueFd Client::connect() {
  int errno_value = 0;
  if (auto socket = try_connect(errno_value)) return std::move(*socket);
  const bool nobody = errno_value == ENOENT || errno_value == ECONNREFUSED;
  if (nobody && start_engine_ && std::exchange(start_engine_, nullptr)()) {
    if (auto socket = try_connect(errno_value)) return std::move(*socket);
  }
  if (errno_value == EACCES || errno_value == EPERM) {
    throw Error(ErrorKind::forbidden,
                concat("permission denied while trying to connect to the Docker daemon socket at ", endpoint_.url(),
                       ": dial unix ", endpoint_.path, ": connect: permission denied"));
  }
  throw Error(ErrorKind::unavailable,
              concat("Cannot connect to the Docker daemon at ", endpoint_.url(), ". Is the docker daemon running?"));
}

HttpRequest Client::make_request(const ApiCall& call) const {
  HttpRequest request;
  request.method = call.method;
  request.target = concat(version_prefix_, call.path);
  if (!call.query.empty()) request.target += concat("?", encode_query(call.query));
  request.headers = call.headers;
  request.headers.insert(request.headers.end(), headers_.begin(), headers_.end());
  request.headers.emplace_back("User-Agent", "mydocker-cli");
  if (!call.body.empty()) request.headers.emplace_back("Content-Type", "application/json");
  request.body = call.body;
  request.has_body = call.has_body || call.method == "POST" || call.method == "PUT";
  return request;
}

HttpConnection Client::begin(const ApiCall& call) {
  return begin_on(idle_ ? *std::exchange(idle_, std::nullopt) : HttpConnection(connect()), call);
}

HttpConnection Client::begin_on(HttpConnection connection, const ApiCall& call) {
  connection.send(make_request(call));
  return connection;
}

HttpHead Client::finish(HttpConnection& connection) {
  HttpHead head;
  try {
    head = connection.read_head();
  } catch (Error& error) {
    if (error.kind() == ErrorKind::unavailable) error.add_context("error during connect");
    throw;
  }
  if (head.status < 400) return head;
  const std::string text = error_text(head, connection.read_whole_body());
  if (connection.reusable()) idle_ = std::move(connection);
  throw ApiError(head.status, text);
}

std::string Client::call(const ApiCall& call) {
  HttpConnection connection = begin(call);
  finish(connection);
  std::string body = connection.read_whole_body();
  if (connection.reusable()) idle_ = std::move(connection);
  return body;
}

json::value Client::call_json(const ApiCall& call) { return parse_json(this->call(call)); }

ApiStream Client::open(const ApiCall& call) {
  HttpConnection connection = begin(call);
  HttpHead head = finish(connection);
  return {std::move(connection), std::move(head)};
}

ApiStream Client::open_head(const ApiCall& call) {
  HttpConnection connection = begin(call);
  HttpHead head = connection.read_head(true);
  return {std::move(connection), std::move(head)};
}

HttpConnection Client::begin_hijack(const ApiCall& call) {
  ApiCall upgrade = call;
  upgrade.headers.emplace_back("Connection", "Upgrade");
  upgrade.headers.emplace_back("Upgrade", "tcp");
  HttpConnection connection(connect());
  connection.send(make_request(upgrade));
  return connection;
}

HijackedStream Client::finish_hijack(HttpConnection connection) {
  const HttpHead head = finish(connection);
  if (head.status != 101 && head.status != 200) {
    throw Error(ErrorKind::internal, concat("unable to upgrade to tcp, received ", head.status));
  }
  auto [socket, pending] = std::move(connection).hijack();
  return {std::move(socket), std::move(pending)};
}

ApiStream Client::upload(const ApiCall& call, const std::function<std::string_view()>& next) {
  HttpRequest request = make_request(call);
  request.chunked_body = true;
  HttpConnection connection(connect());
  connection.send(request);
  for (;;) {
    const std::string_view piece = next();
    if (!connection.write_chunk(piece) || piece.empty()) break;
  }
  HttpHead head = finish(connection);
  return {std::move(connection), std::move(head)};
}

void JsonSequence::feed(std::string_view bytes, const std::function<void(json::value)>& use) {
  buffer_ += bytes;
  std::size_t start = 0;
  for (; scanned_ < buffer_.size(); ++scanned_) {
    const char c = buffer_[scanned_];
    if (in_string_) {
      if (escaped_) {
        escaped_ = false;
      } else if (c == '\\') {
        escaped_ = true;
      } else if (c == '"') {
        in_string_ = false;
      }
      continue;
    }
    if (c == '"') in_string_ = true;
    if (c == '{' || c == '[') ++depth_;
    if ((c == '}' || c == ']') && --depth_ == 0) {
      use(parse_json(std::string_view(buffer_).substr(start, scanned_ + 1 - start)));
      start = scanned_ + 1;
    }
    if (depth_ < 0) throw Error(ErrorKind::internal, "invalid JSON in a stream");
  }
  buffer_.erase(0, start);
  scanned_ -= start;
}

}  // namespace mydocker::cli
