#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/endpoint.h"
#include "cli/http.h"
#include "cli/tls_client.h"
#include "engine/base/json.h"

/// The Engine API as the commands use it. One thread; everything blocks.
namespace mydocker::cli {

/// A refusal by the engine. The message is "Error response from daemon: " and the engine's text.
class ApiError : public Error {
 public:
  ApiError(int status, std::string_view text);
  int status() const noexcept { return status_; }
  /// The engine's words alone.
  const std::string& text() const noexcept { return text_; }

 private:
  int status_;
  std::string text_;
};

using Query = std::vector<std::pair<std::string, std::string>>;

/// One call. Requests go without a version prefix: the engine then speaks its newest dialect, so no ping is needed.
/// DOCKER_API_VERSION puts one in front.
struct ApiCall {
  std::string method = "GET";
  std::string path;  ///< "/containers/json"; variable parts by path_part()
  Query query = {};
  std::string body = {};  ///< JSON
  bool has_body = false;
  HeaderList headers = {};
};

/// A path segment, percent-encoded; slashes of image names stay.
std::string path_part(std::string_view name);

/// A response whose body is read piece by piece.
struct ApiStream {
  HttpConnection connection;
  HttpHead head;
};

/// A connection that left HTTP.
struct HijackedStream {
  UniqueFd socket;
  std::string pending;  ///< arrived with the response's head
};

class Client {
 public:
  /// `start_engine` is called once when nobody listens on the default socket; true = try again.
  /// `headers` go with every request (HttpHeaders of the configuration).
  Client(Endpoint endpoint, std::string version_prefix, HeaderList headers, std::function<bool()> start_engine);

  const Endpoint& endpoint() const noexcept { return endpoint_; }
  /// Before the first call: TCP is spoken through TLS.
  void use_tls(TlsSettings settings) { tls_ = std::move(settings); }

  /// The body of a successful response. Throws ApiError from status 400 on, Error{unavailable} "Cannot connect ...".
  std::string call(const ApiCall& call);
  /// The same, parsed.
  json::value call_json(const ApiCall& call);
  /// Opens a connection of its own and reads the head; throws ApiError as call() does.
  ApiStream open(const ApiCall& call);
  /// HEAD: the response's head whatever its status; no body follows.
  ApiStream open_head(const ApiCall& call);
  /// In two steps, so that several calls can wait for their heads at the same time.
  HttpConnection begin(const ApiCall& call);
  HttpConnection begin_on(HttpConnection connection, const ApiCall& call);
  HttpHead finish(HttpConnection& connection);
  /// Asks for Upgrade: tcp.
  HttpConnection begin_hijack(const ApiCall& call);
  HijackedStream finish_hijack(HttpConnection connection);
  /// A body of unknown length: `next` gives pieces, "" ends it.
  ApiStream upload(const ApiCall& call, const std::function<std::string_view()>& next);

  UniqueFd connect();

 private:
  Endpoint endpoint_;
  std::string version_prefix_;
  HeaderList headers_;
  std::function<bool()> start_engine_;
  std::optional<TlsSettings> tls_;
  std::optional<HttpConnection> idle_;

  HttpRequest make_request(const ApiCall& call) const;
  std::optional<UniqueFd> try_connect(int& errno_value);
};

/// JSON values of a stream, one after the other, whatever separates them.
class JsonSequence {
 public:
  /// Throws Error{internal} when the bytes are no JSON.
  void feed(std::string_view bytes, const std::function<void(json::value)>& use);

 private:
  std::string buffer_;
  std::size_t scanned_ = 0;
  int depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
};

}  // namespace mydocker::cli
