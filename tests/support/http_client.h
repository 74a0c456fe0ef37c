#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/json.h"
#include "engine/base/unique_fd.h"

/// A deliberately plain HTTP/1.1 client over a Unix socket: it shows the bytes, so that tests can judge them. What
/// comes back is judged by the API's definition as well (tests/support/api_schema.h): a deviation fails the running
/// test.
namespace mydocker::test {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Response {
  int status = 0;
  std::string reason;
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;

  json::value json() const { return parse_json(body); }
  /// The "message" of an error body, or the body itself.
  std::string message() const;
  std::string header(const std::string& lower_case_name) const;
};

/// The lines after the first of a head, names in lower case; ends at an empty line.
std::map<std::string, std::string> parse_headers(std::string_view lines);
/// Status and headers of a head. Throws Error{internal} unless it is HTTP/1.1.
Response parse_response_head(std::string_view head);

/// Gets one sentence for each deviation from the API's definition.
using ProblemReport = std::function<void(const std::string& problem)>;

/// Collects one response while it is read, and judges it when it, or one message of a stream, is complete.
class ResponseJudge {
 public:
  /// Without a report a problem fails the running test, the same one once.
  explicit ResponseJudge(ProblemReport report = {}) : report_(std::move(report)) {}

  /// `request` is what was sent: its first line says the method and the target.
  void begin(std::string_view request, const Response& head);
  void add(std::string_view bytes);
  void end();

 private:
  void judge(std::string_view body) const;

  ProblemReport report_;
  std::string method_;
  std::string target_;
  Response head_;
  std::string body_;
  enum class Form { ignored, document, sequence } form_ = Form::ignored;
};

/// A response whose body is read as it comes: chunked, counted, or raw until the end (also a hijacked connection).
class HttpStream {
 public:
  HttpStream(UniqueFd socket, std::string_view request, std::chrono::milliseconds timeout);

  const Response& head() const { return head_; }
  /// The next piece of the decoded body; "" at the end. Throws Error{unavailable} when nothing comes in time.
  std::string read_some(std::chrono::milliseconds timeout = std::chrono::seconds(20));
  /// The next line without its line end; nullopt at the end.
  std::optional<std::string> read_line(std::chrono::milliseconds timeout = std::chrono::seconds(20));
  std::string read_to_end(std::chrono::milliseconds timeout = std::chrono::seconds(60));
  /// Reads until the body read so far (and not yet returned) holds `text`; returns it.
  std::string read_until(std::string_view text, std::chrono::milliseconds timeout = std::chrono::seconds(20));
  /// Hijacked connections: the client's direction.
  void write(std::string_view bytes);
  void shutdown_write();
  void close() { socket_.reset(); }
  int fd() const { return socket_.get(); }

 private:
  void read_head(std::chrono::milliseconds timeout);
  bool fill(std::chrono::milliseconds timeout);
  std::string take_chunked(std::chrono::milliseconds timeout);
  std::string take_some(std::chrono::milliseconds timeout);

  UniqueFd socket_;
  Response head_;
  ResponseJudge judge_;
  std::string raw_;      ///< received and not decoded yet
  std::string pending_;  ///< decoded and not returned yet
  enum class Framing { none, counted, chunked, until_close } framing_ = Framing::none;
  std::size_t left_ = 0;
  bool ended_ = false;
};

/// Each request has a connection of its own. Any thread. A GET that was answered in the newest version is asked once
/// more in that of the oldest definition, so that its dialect is judged, too.
class HttpClient {
 public:
  explicit HttpClient(std::string socket_path) : socket_path_(std::move(socket_path)) {}

  Response request(const std::string& method, const std::string& path, const std::string& body = {},
                   const Headers& headers = {}, std::chrono::milliseconds timeout = std::chrono::seconds(60)) const;
  Response get(const std::string& path) const { return request("GET", path); }
  Response post(const std::string& path) const { return request("POST", path); }
  Response post(const std::string& path, const json::value& body) const;
  Response remove(const std::string& path) const { return request("DELETE", path); }
  /// Uploads a file as the body.
  Response upload(const std::string& method, const std::string& path, const std::string& file,
                  const std::string& content_type) const;
  HttpStream open(const std::string& method, const std::string& path, const std::string& body = {},
                  const Headers& headers = {}) const;
  /// "Upgrade: tcp"; the caller checks head().status.
  HttpStream hijack(const std::string& path, const std::string& json_body = {}) const;
  /// Sends these bytes as they are and gives all that comes back until the server closes.
  std::string raw(std::string_view bytes, std::chrono::milliseconds timeout = std::chrono::seconds(10)) const;
  const std::string& socket_path() const { return socket_path_; }

 private:
  void ask_in_older_version(const std::string& path) const;

  std::string socket_path_;
};

/// Both streams of multiplexed frames; throws on a broken frame.
struct Demultiplexed {
  std::string out;
  std::string err;
};
Demultiplexed demultiplex(std::string_view frames);

std::string url_encode(std::string_view text);

}  // namespace mydocker::test
