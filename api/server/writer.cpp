#include "api/server/writer.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <charconv>

#include "api/types/json.h"
#include "api/types/system.h"

namespace mydocker::api {
namespace {

constexpr ApiVersion first_with_multiplexed_type{1, 42};

std::string common_headers() {
  return concat("Api-Version: ", max_api_version, "\r\nDocker-Experimental: false\r\nOstype: linux\r\nServer: Docker/",
                server_version, " (linux)\r\n");
}

/// A header value from our side can hold text from outside (an error, a name): no line may be forged by it.
std::string header_safe(std::string_view value) {
  std::string out(value);
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  }
  return out;
}

}  // namespace

Writer::Writer(Socket& socket, Options options, std::function<std::string()> take_read_ahead)
    : socket_(socket), options_(options), take_read_ahead_(std::move(take_read_ahead)) {}

void Writer::add_header(std::string_view name, std::string_view value) {
  extra_headers_ += concat(name, ": ", header_safe(value), "\r\n");
}

std::string Writer::make_head(Status status, std::string_view media_type, std::string_view framing) {
  if (on_head_) std::exchange(on_head_, nullptr)(*this);
  started_ = true;
  status_ = status;
  std::string head =
      concat("HTTP/1.1 ", static_cast<int>(status), ' ', reason_phrase(status), "\r\n", common_headers());
  head += extra_headers_;
  if (!media_type.empty()) head += concat("Content-Type: ", media_type, "\r\n");
  head += framing;
  if (!options_.keep_alive) head += "Connection: close\r\n";
  head += "\r\n";
  return head;
}

awaitable<void> Writer::write(std::array<std::string_view, 3> pieces) {
  const std::array<asio::const_buffer, 3> buffers{asio::buffer(pieces[0].data(), pieces[0].size()),
                                                  asio::buffer(pieces[1].data(), pieces[1].size()),
                                                  asio::buffer(pieces[2].data(), pieces[2].size())};
  co_await asio::async_write(socket_, buffers, asio::use_awaitable);
}

awaitable<void> Writer::json(Status status, mydocker::json::value value) {
  const std::string body = write_json(value) + "\n";
  co_await text(status, "application/json", body);
}

awaitable<void> Writer::text(Status status, std::string_view media_type, std::string_view body) {
  // Real daemons say 0 to HEAD (WIRE 1.2).
  const std::string_view sent = options_.head_only ? std::string_view() : body;
  const std::string head = make_head(status, media_type, concat("Content-Length: ", sent.size(), "\r\n"));
  co_await write({head, sent, ""});
  finished_ = true;
}

awaitable<void> Writer::empty(Status status) {
  const bool without_length = status == Status::no_content || status == Status::not_modified;
  const std::string head = make_head(status, "", without_length ? "" : "Content-Length: 0\r\n");
  co_await write({head, "", ""});
  finished_ = true;
}

awaitable<void> Writer::error(Status status, std::string_view message) {
  if (status == Status::not_modified) {
    co_await empty(status);
    co_return;
  }
  const ErrorResponse response{std::string(message)};
  co_await object(status, response);
}

awaitable<void> Writer::begin_stream(Status status, std::string_view media_type) {
  if (!options_.chunks) options_.keep_alive = false;
  const std::string head = make_head(status, media_type, options_.chunks ? "Transfer-Encoding: chunked\r\n" : "");
  co_await write({head, "", ""});
}

awaitable<void> Writer::chunk(std::string_view data) {
  if (data.empty() || options_.head_only) co_return;
  if (!options_.chunks) {
    co_await write({data, "", ""});
    co_return;
  }
  std::array<char, 20> size{};
  char* end = std::to_chars(size.data(), size.data() + 16, data.size(), 16).ptr;
  *end++ = '\r';
  *end++ = '\n';
  const std::string_view size_line(size.data(), static_cast<std::size_t>(end - size.data()));
  co_await write({size_line, data, "\r\n"});
}

awaitable<void> Writer::end_stream() {
  if (options_.chunks && !options_.head_only) co_await write({"0\r\n\r\n", "", ""});
  finished_ = true;
}

awaitable<RawClient> Writer::hijack(HijackHead form, bool framed) {
  const bool names_framing = options_.upgrade && framed && options_.version >= first_with_multiplexed_type;
  std::string head = options_.upgrade ? "HTTP/1.1 101 UPGRADED\r\n" : "HTTP/1.1 200 OK\r\n";
  head += concat("Content-Type: application/vnd.docker.", names_framing ? "multiplexed" : "raw", "-stream\r\n");
  if (options_.upgrade) head += "Connection: Upgrade\r\nUpgrade: tcp\r\n";
  if (form == HijackHead::exec) head += common_headers();
  head += "\r\n";
  return take_over(std::move(head));
}

awaitable<RawClient> Writer::take_over(std::string head) {
  started_ = true;
  hijacked_ = true;
  status_ = head.starts_with("HTTP/1.1 101") ? Status::switching_protocols : Status::ok;
  co_await write({head, "", ""});
  RawClient client;
  client.pending_input = take_read_ahead_();
  client.socket = UniqueFd(socket_.release());
  finished_ = true;
  co_return client;
}

}  // namespace mydocker::api
