#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/unique_fd.h"

/// A minimal HTTP/1.1 client connection: what a Docker CLI needs, without an event loop (RFC 9112).
/// One thread per connection; everything blocks. Every failure is Error{unavailable} or Error{internal}.
namespace mydocker::cli {

using HeaderList = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method;
  std::string target;  ///< path with query, already encoded
  HeaderList headers;
  std::string body;
  bool has_body = false;      ///< an empty body is announced too (POST)
  bool chunked_body = false;  ///< the body follows by write_chunk()
};

struct HttpHead {
  int status = 0;
  HeaderList headers;

  /// The value of a header, names compared without case; "" when it is absent.
  std::string_view header(std::string_view name) const;
};

/// The bytes that go over the wire for a request's head and known body.
std::string serialize(const HttpRequest& request);

class HttpConnection {
 public:
  explicit HttpConnection(UniqueFd socket) : socket_(std::move(socket)) {}

  int fd() const noexcept { return socket_.get(); }

  /// Requests may be sent before earlier responses were read (pipelining); the responses come in order.
  void send(const HttpRequest& request);
  /// One piece of a chunked request body; "" ends it. false: the peer has answered or gone, so stop writing.
  bool write_chunk(std::string_view piece);

  /// The next response's head. 100 Continue is skipped. `head_only` = the request was HEAD: no body follows.
  /// Throws Error{unavailable} "EOF" when the peer closes instead.
  HttpHead read_head(bool head_only = false);
  /// Some bytes of the current response's body; "" at its end. Throws Error{unavailable} when it is cut short.
  std::string_view read_body();
  std::string read_whole_body();
  /// True when read_body() would give bytes, or the end, without waiting for the socket.
  bool has_buffered_body() const;
  /// The body is read and the peer keeps the connection.
  bool reusable() const noexcept { return keep_alive_ && body_ == Body::none; }

  /// After a 101 (or a 200 of a hijacked endpoint): the socket, and what arrived already.
  std::pair<UniqueFd, std::string> hijack() &&;

 private:
  enum class Body { none, length, chunked, until_close };

  UniqueFd socket_;
  std::string buffer_;
  std::size_t position_ = 0;
  Body body_ = Body::none;
  std::uint64_t remaining_ = 0;  ///< of the body or of the current chunk
  bool keep_alive_ = true;
  bool pending_line_end_ = false;  ///< the CRLF behind a chunk is still to be read

  bool fill();
  std::string read_line();
  std::string_view take(std::size_t limit);
  std::string_view read_chunked();
  HttpHead parse_head();
};

/// Percent-encodes everything but unreserved characters; `keep` names characters to leave as they are.
std::string percent_encode(std::string_view text, std::string_view keep = "");
/// "a=1&b=x%20y"; the order is kept.
std::string encode_query(const std::vector<std::pair<std::string, std::string>>& query);

}  // namespace mydocker::cli
