#include "cli/http.h"

#include <poll.h>
#include <strings.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>

#include "engine/base/error.h"
#include "engine/base/sys.h"

namespace mydocker::cli {
namespace {

constexpr std::size_t read_bytes = std::size_t{64} << 10;
constexpr std::size_t max_head_bytes = std::size_t{256} << 10;

bool equal_ignoring_case(std::string_view left, std::string_view right) {
  return left.size() == right.size() && ::strncasecmp(left.data(), right.data(), left.size()) == 0;
}

[[noreturn]] void fail_malformed(std::string_view what) {
  throw Error(ErrorKind::internal, concat("malformed HTTP response: ", what));
}

// MSG_NOSIGNAL: a peer that went away is an error here, not a SIGPIPE.
bool send_all(int socket, std::string_view data) {
  while (!data.empty()) {
    const ssize_t sent = retry_on_eintr([&] { return ::send(socket, data.data(), data.size(), MSG_NOSIGNAL); });
    if (sent < 0) {
      if (errno == EPIPE || errno == ECONNRESET) return false;
      throw sys_error("write to the daemon");
    }
    data.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

std::string_view trim_blanks(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

}  // namespace

std::string_view HttpHead::header(std::string_view name) const {
  const auto found = std::find_if(headers.begin(), headers.end(),
                                  [name](const auto& header) { return equal_ignoring_case(header.first, name); });
  return found == headers.end() ? std::string_view{} : std::string_view(found->second);
}

std::string serialize(const HttpRequest& request) {
  std::string out = concat(request.method, " ", request.target, " HTTP/1.1\r\nHost: localhost\r\n");
  for (const auto& [name, value] : request.headers) out += concat(name, ": ", value, "\r\n");
  if (request.chunked_body) {
    out += "Transfer-Encoding: chunked\r\n";
  } else if (request.has_body || !request.body.empty()) {
    out += concat("Content-Length: ", request.body.size(), "\r\n");
  }
  return concat(out, "\r\n", request.body);
}

void HttpConnection::send(const HttpRequest& request) {
  // A refusal may already stand in the socket: reading tells, so a failed write is not an error yet.
  static_cast<void>(send_all(socket_.get(), serialize(request)));
}

bool HttpConnection::write_chunk(std::string_view piece) {
  pollfd readable{socket_.get(), POLLIN, 0};
  if (!piece.empty() && ::poll(&readable, 1, 0) > 0) return false;
  char head[20];
  const auto [end, failure] = std::to_chars(head, head + sizeof head, piece.size(), 16);
  static_cast<void>(failure);
  return send_all(socket_.get(),
                  concat(std::string_view(head, static_cast<std::size_t>(end - head)), "\r\n", piece, "\r\n"));
}

bool HttpConnection::fill() {
  if (position_ > 0) {
    buffer_.erase(0, position_);
    position_ = 0;
  }
  const std::size_t old = buffer_.size();
  buffer_.resize(old + read_bytes);
  const ssize_t got = retry_on_eintr([&] { return ::read(socket_.get(), buffer_.data() + old, read_bytes); });
  buffer_.resize(old + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  if (got < 0 && errno != ECONNRESET) throw sys_error("read from the daemon");
  return got > 0;
}

std::string HttpConnection::read_line() {
  for (;;) {
    const std::size_t end = buffer_.find('\n', position_);
    if (end != std::string::npos) {
      std::string line = buffer_.substr(position_, end - position_);
      position_ = end + 1;
      if (line.ends_with('\r')) line.pop_back();
      return line;
    }
    if (buffer_.size() - position_ > max_head_bytes) fail_malformed("a line is too long");
    if (!fill()) throw Error(ErrorKind::unavailable, "EOF");
  }
}

HttpHead HttpConnection::parse_head() {
  HttpHead head;
  const std::string status_line = read_line();
  if (!status_line.starts_with("HTTP/1.") || status_line.size() < 12) fail_malformed("no status line");
  const char* digits = status_line.data() + 9;
  if (std::from_chars(digits, digits + 3, head.status).ec != std::errc{}) fail_malformed("no status code");
  keep_alive_ = !status_line.starts_with("HTTP/1.0");
  for (;;) {
    const std::string line = read_line();
    if (line.empty()) return head;
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos || head.headers.size() > 200) fail_malformed("bad header");
    head.headers.emplace_back(line.substr(0, colon), trim_blanks(std::string_view(line).substr(colon + 1)));
  }
}

HttpHead HttpConnection::read_head(bool head_only) {
  HttpHead head = parse_head();
  while (head.status == 100) head = parse_head();
  if (equal_ignoring_case(head.header("Connection"), "close")) keep_alive_ = false;
  const std::string_view length = head.header("Content-Length");
  remaining_ = 0;
  if (head_only || head.status < 200 || head.status == 204 || head.status == 304) {
    body_ = Body::none;
  } else if (head.header("Transfer-Encoding").find("chunked") != std::string_view::npos) {
    body_ = Body::chunked;
  } else if (!length.empty()) {
    if (std::from_chars(length.data(), length.data() + length.size(), remaining_).ec != std::errc{}) {
      fail_malformed("bad Content-Length");
    }
    body_ = remaining_ > 0 ? Body::length : Body::none;
  } else {
    body_ = Body::until_close;
    keep_alive_ = false;
  }
  return head;
}

std::string_view HttpConnection::take(std::size_t limit) {
  const std::size_t size = std::min(limit, buffer_.size() - position_);
  const std::string_view piece(buffer_.data() + position_, size);
  position_ += size;
  return piece;
}

std::string_view HttpConnection::read_chunked() {
  if (remaining_ == 0) {
    const std::string line = read_line();
    if (std::from_chars(line.data(), line.data() + line.size(), remaining_, 16).ec != std::errc{}) {
      fail_malformed("bad chunk");
    }
    if (remaining_ == 0) {
      while (!read_line().empty()) {
      }
      body_ = Body::none;
      return {};
    }
  }
  if (position_ == buffer_.size() && !fill()) throw Error(ErrorKind::unavailable, "unexpected EOF");
  const std::string_view piece = take(static_cast<std::size_t>(std::min<std::uint64_t>(remaining_, SIZE_MAX)));
  remaining_ -= piece.size();
  // Taking the chunk's closing CRLF may move the buffer, so it waits until the next call; only what is there is taken.
  if (remaining_ == 0) pending_line_end_ = true;
  return piece;
}

std::string_view HttpConnection::read_body() {
  switch (body_) {
    case Body::none:
      return {};
    case Body::chunked:
      if (std::exchange(pending_line_end_, false)) read_line();
      return read_chunked();
    case Body::length: {
      if (position_ == buffer_.size() && !fill()) throw Error(ErrorKind::unavailable, "unexpected EOF");
      const std::string_view piece = take(static_cast<std::size_t>(remaining_));
      remaining_ -= piece.size();
      if (remaining_ == 0) body_ = Body::none;
      return piece;
    }
    case Body::until_close:
      if (position_ == buffer_.size() && !fill()) {
        body_ = Body::none;
        return {};
      }
      return take(SIZE_MAX);
  }
  return {};
}

std::string HttpConnection::read_whole_body() {
  std::string out;
  for (std::string_view piece = read_body(); !piece.empty(); piece = read_body()) out += piece;
  return out;
}

bool HttpConnection::has_buffered_body() const { return body_ == Body::none || position_ < buffer_.size(); }

std::pair<UniqueFd, std::string> HttpConnection::hijack() && {
  std::string rest = buffer_.substr(position_);
  return {std::move(socket_), std::move(rest)};
}

std::string percent_encode(std::string_view text, std::string_view keep) {
  static constexpr std::string_view hex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '_' || c == '.' || c == '~' || keep.find(c) != std::string_view::npos;
    if (plain) {
      out += c;
    } else {
      out += '%';
      out += hex[byte >> 4];
      out += hex[byte & 15];
    }
  }
  return out;
}

std::string encode_query(const std::vector<std::pair<std::string, std::string>>& query) {
  std::string out;
  for (const auto& [name, value] : query) {
    if (!out.empty()) out += '&';
    out += concat(percent_encode(name), "=", percent_encode(value));
  }
  return out;
}

}  // namespace mydocker::cli
