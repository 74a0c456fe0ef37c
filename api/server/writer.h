#pragma once

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/server/http_status.h"
#include "api/server/request.h"
#include "engine/base/json.h"
#include "engine/base/unique_fd.h"

namespace mydocker::api {

namespace asio = boost::asio;
using asio::awaitable;
/// A client's connection, of whatever family.
using Socket = asio::generic::stream_protocol::socket;

/// The two forms of the head before a raw stream: attach sends the bare minimum, exec start the common headers as well
/// (WIRE 5.1, 6.2).
enum class HijackHead { attach, exec };

/// A connection that was given away: from now on whoever holds it talks to the client.
struct RawClient {
  UniqueFd socket;            ///< non-blocking
  std::string pending_input;  ///< bytes that the client sent after the head, already read
};

/// Writes the response of one request. Exactly one of json, text, empty, begin_stream ... end_stream or hijack is
/// called. Each await ends when the kernel has taken the bytes: a slow client slows its handler down, memory stays
/// bounded. A failed or cancelled write makes the connection unusable. I/O thread.
class Writer {
 public:
  struct Options {
    bool head_only = false;   ///< HEAD: no body
    bool chunks = true;       ///< false for HTTP/1.0: a stream ends with the connection
    bool keep_alive = false;  ///< what the head says to the client
    bool upgrade = false;     ///< the request has an Upgrade header
    ApiVersion version;
  };
  /// `take_read_ahead` gives the bytes that were read beyond the request; called by hijack.
  Writer(Socket& socket, Options options, std::function<std::string()> take_read_ahead);

  /// One more header of this response; before anything is written.
  void add_header(std::string_view name, std::string_view value);
  /// Called before a head is written: the last chance for add_header.
  void on_head(std::function<void(Writer&)> hook) { on_head_ = std::move(hook); }

  /// The value and a newline, as "application/json" (exactly: clients compare it).
  awaitable<void> json(Status status, mydocker::json::value value);
  template <typename T>
  awaitable<void> object(Status status, const T& value) {
    return json(status, to_json(value));
  }
  awaitable<void> text(Status status, std::string_view media_type, std::string_view body);
  /// No body, no content type.
  awaitable<void> empty(Status status);
  /// {"message": ...}; not_modified is an empty 304.
  awaitable<void> error(Status status, std::string_view message);

  /// The head at once; then any number of chunks. An empty chunk writes nothing.
  awaitable<void> begin_stream(Status status, std::string_view media_type);
  awaitable<void> chunk(std::string_view data);
  awaitable<void> end_stream();

  /// Writes the 101 or 200 head in one write and gives the connection away. `framed`: stdcopy frames will follow.
  awaitable<RawClient> hijack(HijackHead form, bool framed);

  /// As hijack, with a head of the caller's own (a websocket's).
  awaitable<RawClient> take_over(std::string head);

  bool started() const noexcept { return started_; }
  bool finished() const noexcept { return finished_; }
  bool hijacked() const noexcept { return hijacked_; }
  Status status() const noexcept { return status_; }
  /// The connection cannot carry another response.
  bool must_close() const noexcept { return hijacked_ || !finished_ || !options_.keep_alive; }
  /// Says "Connection: close" in the head; before anything is written.
  void close_after() noexcept { options_.keep_alive = false; }

 private:
  std::string make_head(Status status, std::string_view media_type, std::string_view framing);
  awaitable<void> write(std::array<std::string_view, 3> pieces);

  Socket& socket_;
  Options options_;
  std::function<std::string()> take_read_ahead_;
  std::function<void(Writer&)> on_head_;
  std::string extra_headers_;
  Status status_ = Status::ok;
  bool started_ = false;
  bool finished_ = false;
  bool hijacked_ = false;
};

}  // namespace mydocker::api
