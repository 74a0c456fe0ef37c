#include "tests/support/http_client.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <mutex>
#include <set>

#include "engine/base/sys.h"
#include "tests/support/api_schema.h"
#include "tests/support/patience.h"

namespace mydocker::test {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

void send_all(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t done = retry_on_eintr([&] { return ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL); });
    if (done < 0) throw sys_error("send");
    bytes.remove_prefix(static_cast<std::size_t>(done));
  }
}

std::string build_head(const std::string& method, const std::string& path, const Headers& headers) {
  std::string out = concat(method, " ", path, " HTTP/1.1\r\nHost: test\r\n");
  for (const auto& [name, value] : headers) out += concat(name, ": ", value, "\r\n");
  return out + "\r\n";
}

/// Fails the running test, once for each sentence.
void fail_test(const std::string& problem) {
  static std::mutex mutex;
  static std::set<std::string> reported;
  const std::lock_guard lock(mutex);
  if (reported.insert(problem.substr(problem.find(": "))).second) ADD_FAILURE() << problem;
}

}  // namespace

std::map<std::string, std::string> parse_headers(std::string_view lines) {
  std::map<std::string, std::string> headers;
  while (!lines.empty() && !lines.starts_with("\r\n")) {
    const std::size_t end = std::min(lines.find("\r\n"), lines.size());
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(std::min(end + 2, lines.size()));
    const std::size_t colon = line.find(": ");
    if (colon != std::string_view::npos) headers[lower(std::string(line.substr(0, colon)))] = line.substr(colon + 2);
  }
  return headers;
}

Response parse_response_head(std::string_view head) {
  const std::size_t line_end = std::min(head.find("\r\n"), head.size());
  const std::string status_line(head.substr(0, line_end));
  if (!status_line.starts_with("HTTP/1.1 ") || status_line.size() < 12) {
    throw Error(ErrorKind::internal, concat("not an HTTP/1.1 answer: ", status_line));
  }
  Response out;
  out.status = std::stoi(status_line.substr(9, 3));
  out.reason = status_line.size() > 13 ? status_line.substr(13) : "";
  out.headers = parse_headers(head.substr(std::min(line_end + 2, head.size())));
  return out;
}

void ResponseJudge::begin(std::string_view request, const Response& head) {
  const std::size_t blank = request.find(' ');
  const std::size_t end = request.find(' ', blank + 1);
  method_ = request.substr(0, blank);
  target_ = request.substr(blank + 1, end - blank - 1);
  head_ = head;
  const BodyForm form = body_form(method_, target_);
  if (method_ == "HEAD" || head_.status == 101) return;
  if (head_.status >= 400) {
    // Attach and exec connections say their errors in their own form.
    form_ =
        head_.header("content-type") == "application/json" || form != BodyForm::other ? Form::document : Form::ignored;
  } else if (form != BodyForm::other) {
    form_ = form == BodyForm::sequence ? Form::sequence : Form::document;
  } else {
    judge({});
  }
}

void ResponseJudge::add(std::string_view bytes) {
  if (form_ == Form::ignored) return;
  body_ += bytes;
  if (form_ == Form::document) return;
  for (std::size_t end = body_.find('\n'); end != std::string::npos; end = body_.find('\n')) {
    if (end > 1) judge(std::string_view(body_).substr(0, end));
    body_.erase(0, end + 1);
  }
}

void ResponseJudge::end() {
  if (form_ == Form::document) judge(body_);
  form_ = Form::ignored;
}

void ResponseJudge::judge(std::string_view body) const {
  const std::string content_type = head_.header("content-type");
  for (const std::string& problem : judge_response({.method = method_,
                                                    .target = target_,
                                                    .status = head_.status,
                                                    .content_type = content_type,
                                                    .body = body})) {
    report_ ? report_(problem) : fail_test(problem);
  }
}

std::string Response::message() const {
  try {
    const json::value value = json();
    if (value.is_object() && value.get_object().contains("message")) {
      return std::string(value.at("message").as_string());
    }
  } catch (const Error&) {  // not JSON: the text itself is the message
  }
  return body;
}

std::string Response::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string() : found->second;
}

HttpStream::HttpStream(UniqueFd socket, std::string_view request, std::chrono::milliseconds timeout)
    : socket_(std::move(socket)) {
  try {
    send_all(socket_.get(), request);
  } catch (const Error&) {  // the server may have answered already: read that
  }
  read_head(timeout);
  judge_.begin(request, head_);
}

bool HttpStream::fill(std::chrono::milliseconds timeout) {
  if (!wait_readable(socket_.get(), static_cast<int>(patient(timeout).count()))) {
    throw Error(ErrorKind::unavailable, concat("nothing came within ", timeout.count(), " ms; so far: ", raw_));
  }
  std::array<char, 65536> buffer;
  const ssize_t got = retry_on_eintr([&] { return ::recv(socket_.get(), buffer.data(), buffer.size(), 0); });
  if (got <= 0) return false;
  raw_.append(buffer.data(), static_cast<std::size_t>(got));
  return true;
}

void HttpStream::read_head(std::chrono::milliseconds timeout) {
  std::size_t end = 0;
  while ((end = raw_.find("\r\n\r\n")) == std::string::npos) {
    if (!fill(timeout)) throw Error(ErrorKind::unavailable, concat("the server closed without an answer: ", raw_));
  }
  head_ = parse_response_head(std::string_view(raw_).substr(0, end + 2));
  raw_.erase(0, end + 4);
  if (head_.status == 204 || head_.status == 304) {
    ended_ = true;
  } else if (head_.header("transfer-encoding") == "chunked") {
    framing_ = Framing::chunked;
  } else if (head_.headers.contains("content-length")) {
    framing_ = Framing::counted;
    left_ = std::stoul(head_.header("content-length"));
    ended_ = left_ == 0;
  } else {
    framing_ = Framing::until_close;
  }
}

std::string HttpStream::take_chunked(std::chrono::milliseconds timeout) {
  std::size_t end = 0;
  while ((end = raw_.find("\r\n")) == std::string::npos) {
    if (!fill(timeout)) throw Error(ErrorKind::unavailable, "the server closed in the middle of a chunked body");
  }
  const std::size_t size = std::stoul(raw_.substr(0, end), nullptr, 16);
  while (raw_.size() < end + 2 + size + 2) {
    if (!fill(timeout)) throw Error(ErrorKind::unavailable, "the server closed in the middle of a chunk");
  }
  std::string chunk = raw_.substr(end + 2, size);
  raw_.erase(0, end + 2 + size + 2);
  if (size == 0) ended_ = true;
  return chunk;
}

std::string HttpStream::read_some(std::chrono::milliseconds timeout) {
  if (!pending_.empty()) return std::exchange(pending_, {});
  if (ended_) return {};
  std::string part = take_some(timeout);
  judge_.add(part);
  if (ended_) judge_.end();
  return part;
}

std::string HttpStream::take_some(std::chrono::milliseconds timeout) {
  if (framing_ == Framing::chunked) return take_chunked(timeout);
  if (raw_.empty() && !fill(timeout)) {
    ended_ = true;
    if (framing_ == Framing::counted) throw Error(ErrorKind::unavailable, "the server closed before the body's end");
    return {};
  }
  if (framing_ == Framing::until_close) return std::exchange(raw_, {});
  std::string part = raw_.substr(0, left_);
  raw_.erase(0, part.size());
  left_ -= part.size();
  ended_ = left_ == 0;
  return part;
}

std::optional<std::string> HttpStream::read_line(std::chrono::milliseconds timeout) {
  std::string text;
  for (;;) {
    if (const std::size_t end = text.find('\n'); end != std::string::npos) {
      pending_ = text.substr(end + 1);
      text.resize(end);
      if (text.ends_with('\r')) text.pop_back();
      return text;
    }
    const std::string more = read_some(timeout);
    if (more.empty()) return text.empty() ? std::nullopt : std::optional(text);
    text += more;
  }
}

std::string HttpStream::read_to_end(std::chrono::milliseconds timeout) {
  std::string out;
  for (std::string part = read_some(timeout); !part.empty(); part = read_some(timeout)) out += part;
  return out;
}

std::string HttpStream::read_until(std::string_view text, std::chrono::milliseconds timeout) {
  std::string out;
  while (out.find(text) == std::string::npos) {
    const std::string part = read_some(timeout);
    if (part.empty()) throw Error(ErrorKind::unavailable, concat("the stream ended without \"", text, "\": ", out));
    out += part;
  }
  return out;
}

void HttpStream::write(std::string_view bytes) { send_all(socket_.get(), bytes); }
void HttpStream::shutdown_write() { ::shutdown(socket_.get(), SHUT_WR); }

HttpStream HttpClient::open(const std::string& method, const std::string& path, const std::string& body,
                            const Headers& headers) const {
  Headers all = headers;
  if (!body.empty() || method == "POST" || method == "PUT") {
    all.emplace_back("Content-Length", std::to_string(body.size()));
  }
  return {connect_unix(socket_path_, SOCK_STREAM), build_head(method, path, all) + body, std::chrono::seconds(60)};
}

Response HttpClient::request(const std::string& method, const std::string& path, const std::string& body,
                             const Headers& headers, std::chrono::milliseconds timeout) const {
  Headers all = headers;
  all.emplace_back("Connection", "close");
  HttpStream stream = open(method, path, body, all);
  Response response = stream.head();
  if (method != "HEAD") response.body = stream.read_to_end(timeout);
  if (method == "GET" && response.status == 200 && headers.empty()) ask_in_older_version(path);
  return response;
}

void HttpClient::ask_in_older_version(const std::string& path) const {
  if (!version_of(path).empty() || body_form("GET", path) != BodyForm::document) return;
  try {
    open("GET", "/v1.47" + path, {}, {{"Connection", "close"}}).read_to_end();
  } catch (const Error&) {  // the engine was ended meanwhile
  }
}

Response HttpClient::post(const std::string& path, const json::value& body) const {
  return request("POST", path, write_json(body), {{"Content-Type", "application/json"}});
}

Response HttpClient::upload(const std::string& method, const std::string& path, const std::string& file,
                            const std::string& content_type) const {
  return request(method, path, read_file(file, std::size_t{1} << 30), {{"Content-Type", content_type}},
                 std::chrono::minutes(5));
}

HttpStream HttpClient::hijack(const std::string& path, const std::string& json_body) const {
  Headers headers = {{"Connection", "Upgrade"}, {"Upgrade", "tcp"}};
  if (!json_body.empty()) headers.emplace_back("Content-Type", "application/json");
  return open("POST", path, json_body, headers);
}

std::string HttpClient::raw(std::string_view bytes, std::chrono::milliseconds timeout) const {
  const UniqueFd socket = connect_unix(socket_path_, SOCK_STREAM);
  try {
    send_all(socket.get(), bytes);
  } catch (const Error&) {  // it may have closed early, with an answer
  }
  std::string out;
  std::array<char, 65536> buffer;
  while (wait_readable(socket.get(), static_cast<int>(timeout.count()))) {
    const ssize_t got = retry_on_eintr([&] { return ::recv(socket.get(), buffer.data(), buffer.size(), 0); });
    if (got <= 0) break;
    out.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return out;
}

Demultiplexed demultiplex(std::string_view frames) {
  Demultiplexed out;
  while (!frames.empty()) {
    if (frames.size() < 8) throw Error(ErrorKind::internal, concat("half a frame header: ", frames.size(), " bytes"));
    const auto byte = [&](std::size_t i) { return static_cast<std::size_t>(static_cast<unsigned char>(frames[i])); };
    const std::size_t size = byte(4) << 24 | byte(5) << 16 | byte(6) << 8 | byte(7);
    if (byte(0) > 3 || byte(1) != 0 || byte(2) != 0 || byte(3) != 0 || frames.size() < 8 + size) {
      throw Error(ErrorKind::internal,
                  concat("not a frame: ", write_json(json::value(std::string(frames.substr(0, 32))))));
    }
    (byte(0) == 2 ? out.err : out.out) += frames.substr(8, size);
    frames.remove_prefix(8 + size);
  }
  return out;
}

std::string url_encode(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '_' || c == '.' || c == '~') {
      out += c;
    } else {
      out += '%';
      out += digits[byte >> 4];
      out += digits[byte & 15];
    }
  }
  return out;
}

}  // namespace mydocker::test
