#include "api/server/server.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <future>

#include "engine/base/error.h"
#include "engine/base/sys.h"
#include "tests/support/temp_tree.h"
#include "tests/unit/api/http_client.h"

namespace mydocker::api {
namespace {

awaitable<void> ping(const Request&, Writer& out) { return out.text(Status::ok, "text/plain; charset=utf-8", "OK"); }

awaitable<void> echo(const Request& request, Writer& out) { co_await out.text(Status::ok, "text/plain", request.body); }

awaitable<void> show_version(const Request& request, Writer& out) {
  co_await out.text(Status::ok, "text/plain", concat(request.version.major, ".", request.version.minor));
}

awaitable<void> fail(const Request& request, Writer& out) {
  const std::string kind = request.path_param("kind");
  if (kind == "nothing") co_return;
  if (kind == "plain") throw std::runtime_error("broken");
  if (kind == "late") co_await out.begin_stream(Status::ok, "text/plain");
  throw Error(parse_error_kind(kind), "no such thing: " + kind);
}

awaitable<void> stream(const Request&, Writer& out) {
  co_await out.begin_stream(Status::ok, "application/json");
  co_await out.chunk("{}\r\n");
  co_await out.chunk("");
  co_await out.chunk(std::string(100'000, 'x'));
  co_await out.end_stream();
}

/// Counts an upload from its pipe; reads at most what the query says.
awaitable<void> upload(const Request& request, Writer& out) {
  const auto executor = co_await boost::asio::this_coro::executor;
  boost::asio::posix::stream_descriptor pipe(executor, request.take_upload().release());
  std::vector<char> buffer(70'000);
  std::size_t total = 0;
  const std::size_t most = static_cast<std::size_t>(request.query_int("most").value_or(1 << 30));
  while (total < most) {
    boost::system::error_code error;
    total += co_await pipe.async_read_some(boost::asio::buffer(buffer),
                                           boost::asio::redirect_error(boost::asio::use_awaitable, error));
    if (error) break;
  }
  pipe.close();
  if (request.query_bool("refuse")) throw Error(ErrorKind::invalid_argument, "not a tar");
  co_await out.text(Status::ok, "text/plain", std::to_string(total));
}

awaitable<void> hijack(const Request& request, Writer& out) {
  const HijackHead form = request.query_bool("exec") ? HijackHead::exec : HijackHead::attach;
  RawClient client = co_await out.hijack(form, request.query_bool("framed"));
  set_nonblocking(client.socket.get(), false);
  send_all(client.socket, "<" + client.pending_input + ">");
  const std::string more = read_all(client.socket.get(), 1000, "client");  // until the half-close
  send_all(client.socket, "[" + more + "]");
}

std::promise<void>* stream_ended = nullptr;

awaitable<void> endless(const Request&, Writer& out) {
  struct Guard {
    ~Guard() { stream_ended->set_value(); }
  } const guard;
  co_await out.begin_stream(Status::ok, "text/plain");
  co_await out.chunk("begin\n");
  boost::asio::steady_timer never(co_await boost::asio::this_coro::executor,
                                  boost::asio::steady_timer::time_point::max());
  co_await never.async_wait(boost::asio::use_awaitable);
}

std::vector<Route> test_routes() {
  return {
      {Method::get, "/_ping", ping},
      {Method::head, "/_ping", ping},
      {Method::post, "/echo", echo},
      {Method::get, "/version", show_version},
      {Method::get, "/fail/{kind}", fail},
      {Method::get, "/stream", stream},
      {Method::get, "/endless", endless, OnHangup::cancel},
      {Method::post, "/upload", upload, OnHangup::cancel, BodyKind::upload},
      {Method::post, "/hijack", hijack, OnHangup::cancel},
  };
}

class ServerTest : public testing::Test {
 protected:
  TestServer server{test_routes()};
  UniqueFd client = server.connect();

  Response get(const std::string& target) {
    send_all(client, "GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n");
    return read_response(client);
  }
};

TEST_F(ServerTest, PingCarriesTheNegotiationHeaders) {
  const Response response = get("/_ping");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "OK");
  EXPECT_EQ(response.headers.at("api-version"), "1.51");
  EXPECT_EQ(response.headers.at("docker-experimental"), "false");
  EXPECT_EQ(response.headers.at("ostype"), "linux");
  EXPECT_EQ(response.headers.at("server"), "Docker/28.5.0 (linux)");
  EXPECT_EQ(response.headers.at("content-type"), "text/plain; charset=utf-8");
  EXPECT_EQ(response.headers.at("content-length"), "2");
}

TEST_F(ServerTest, HeadHasNoBodyAndTheConnectionGoesOn) {
  send_all(client, "HEAD /_ping HTTP/1.1\r\nHost: api.moby.localhost\r\n\r\n");
  EXPECT_EQ(read_response(client, true).headers.at("content-length"), "0");
  EXPECT_EQ(get("/_ping").body, "OK");
}

TEST_F(ServerTest, PipelinedRequestsAreAnsweredInOrder) {
  send_all(client, "POST /echo HTTP/1.1\r\nContent-Length: 3\r\n\r\noneGET /version HTTP/1.1\r\n\r\n");
  EXPECT_EQ(read_response(client).body, "one");
  EXPECT_EQ(read_response(client).body, "1.51");
}

TEST_F(ServerTest, UnknownPathsAndMethodsAre404) {
  for (const char* target : {"/nope", "/containers/../_ping", "/", "/_ping/", "/v1.99/nope"}) {
    const Response response = get(target);
    EXPECT_EQ(response.status, 404) << target;
    EXPECT_EQ(response.body, "{\"message\":\"page not found\"}\n");
    EXPECT_EQ(response.headers.at("content-type"), "application/json");
  }
  send_all(client, "DELETE /_ping HTTP/1.1\r\n\r\n");
  EXPECT_EQ(read_response(client).status, 404);
  send_all(client, "BREW /_ping HTTP/1.1\r\n\r\n");
  EXPECT_EQ(read_response(client).status, 404);
}

TEST_F(ServerTest, TheVersionPrefixIsCheckedAfterTheRoute) {
  EXPECT_EQ(get("/v1.24/version").body, "1.24");
  EXPECT_EQ(get("//v1.41//version").body, "1.41");
  EXPECT_EQ(get("http://d/v1.47/version").body, "1.47");
  const Response response = get("/v9.9/_ping");
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(response.body, "{\"message\":\"client version 9.9 is too new. Maximum supported API version is 1.51\"}\n");
  EXPECT_EQ(response.headers.at("api-version"), "1.51");
}

TEST_F(ServerTest, ErrorsBecomeStatusAndMessage) {
  const std::vector<std::pair<const char*, int>> kinds{
      {"invalid_argument", 400}, {"unauthorized", 401},    {"forbidden", 403},
      {"not_found", 404},        {"conflict", 409},        {"too_large", 413},
      {"internal", 500},         {"not_implemented", 501}, {"unavailable", 503}};
  for (const auto& [kind, status] : kinds) {
    const Response response = get(concat("/fail/", kind));
    EXPECT_EQ(response.status, status) << kind;
    EXPECT_EQ(response.body, concat("{\"message\":\"no such thing: ", kind, "\"}\n"));
  }
  EXPECT_EQ(get("/fail/plain").body, "{\"message\":\"broken\"}\n");
  EXPECT_EQ(get("/fail/nothing").status, 500);
}

TEST_F(ServerTest, NotModifiedHasNoBody) {
  const Response response = get("/fail/not_modified");
  EXPECT_EQ(response.status, 304);
  EXPECT_FALSE(response.headers.contains("content-type"));
  EXPECT_FALSE(response.headers.contains("content-length"));
  EXPECT_EQ(get("/_ping").body, "OK");
}

TEST_F(ServerTest, AStreamThatFailsIsCutOff) {
  const Response response = get("/fail/late");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "<cut off>");
}

TEST_F(ServerTest, StreamsAreChunked) {
  const Response response = get("/stream");
  EXPECT_EQ(response.headers.at("transfer-encoding"), "chunked");
  EXPECT_EQ(response.body, "{}\r\n" + std::string(100'000, 'x'));
  EXPECT_EQ(get("/_ping").body, "OK");
}

TEST_F(ServerTest, Http10GetsNoChunksAndAClosedConnection) {
  send_all(client, "GET /stream HTTP/1.0\r\n\r\n");
  const Response response = read_response(client);
  EXPECT_EQ(response.headers.at("connection"), "close");
  EXPECT_EQ(response.body.size(), 100'004U);
}

TEST_F(ServerTest, ConnectionCloseIsObeyed) {
  send_all(client, "GET /_ping HTTP/1.1\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(read_response(client).headers.at("connection"), "close");
  EXPECT_TRUE(is_at_end(client));
}

TEST_F(ServerTest, OptionsIs200Anywhere) {
  send_all(client, "OPTIONS /whatever HTTP/1.1\r\n\r\n");
  const Response response = read_response(client);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.headers.at("content-length"), "0");
}

TEST_F(ServerTest, ChunkedBodiesAreJoined) {
  send_all(client, "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
  send_all(client, "3\r\nabc\r\n5;ext=1\r\ndefgh\r\n0\r\nTrailer: x\r\n\r\n");
  EXPECT_EQ(read_response(client).body, "abcdefgh");
  send_all(client, "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
  EXPECT_EQ(read_response(client).body, "");
}

TEST_F(ServerTest, ExpectContinueIsAnsweredBeforeTheBody) {
  send_all(client, "POST /echo HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
  EXPECT_EQ(read_head(client), "HTTP/1.1 100 Continue\r\n\r\n");
  send_all(client, "body");
  EXPECT_EQ(read_response(client).body, "body");
}

TEST_F(ServerTest, FormBodiesAreParameters) {
  send_all(client, "POST /upload?x=1 HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(read_response(client).body, "0");
}

TEST_F(ServerTest, UploadsArriveThroughThePipe) {
  const std::string data(3'000'000, 'u');
  send_all(client, concat("POST /upload HTTP/1.1\r\nContent-Length: ", data.size(), "\r\n\r\n", data));
  EXPECT_EQ(read_response(client).body, "3000000");
  EXPECT_EQ(get("/_ping").body, "OK");
}

TEST_F(ServerTest, ARefusedUploadIsDrainedAndAnswered) {
  const std::string data(3'000'000, 'u');
  send_all(client, concat("POST /upload?most=10&refuse=1 HTTP/1.1\r\nContent-Length: ", data.size(), "\r\n\r\n", data));
  const Response response = read_response(client);
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(response.body, "{\"message\":\"not a tar\"}\n");
  EXPECT_EQ(get("/_ping").body, "OK");
}

TEST_F(ServerTest, AnUploadThatBreaksOffIsNoEndOfFile) {
  send_all(client, "POST /upload HTTP/1.1\r\nContent-Length: 1000\r\n\r\nabc");
  ::shutdown(client.get(), SHUT_WR);
  EXPECT_EQ(read_to_end(client), "");  // the handler never saw an end, and answered nothing
}

TEST_F(ServerTest, AMalformedChunkIsAnsweredWith400) {
  send_all(client, "POST /upload HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n");
  EXPECT_EQ(read_response(client).status, 400);
  EXPECT_TRUE(is_at_end(client));
}

TEST_F(ServerTest, AttachHandshakeIsByteExact) {
  send_all(client, "POST /hijack?framed=1 HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nearly");
  EXPECT_EQ(read_head(client),
            "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\nConnection: "
            "Upgrade\r\nUpgrade: tcp\r\n\r\n");
  EXPECT_EQ(read_exactly(client, 7), "<early>");
  send_all(client, "late");
  ::shutdown(client.get(), SHUT_WR);  // a half-close leaves the other direction open
  EXPECT_EQ(read_to_end(client), "[late]");
}

TEST_F(ServerTest, HandshakeWithoutUpgradeIs200Raw) {
  send_all(client, "POST /v1.47/hijack?framed=1 HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}in");
  EXPECT_EQ(read_head(client), "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n");
  ::shutdown(client.get(), SHUT_WR);
  EXPECT_EQ(read_to_end(client), "<in>[]");
}

TEST_F(ServerTest, OldVersionsAndTerminalsAreRawStreams) {
  send_all(client, "POST /v1.41/hijack?framed=1 HTTP/1.1\r\nUpgrade: tcp\r\n\r\n");
  EXPECT_NE(read_head(client).find("vnd.docker.raw-stream"), std::string::npos);
  ::shutdown(client.get(), SHUT_RDWR);
  const UniqueFd second = server.connect();
  send_all(second, "POST /hijack?framed=0 HTTP/1.1\r\nUpgrade: tcp\r\n\r\n");
  EXPECT_NE(read_head(second).find("vnd.docker.raw-stream"), std::string::npos);
  ::shutdown(second.get(), SHUT_RDWR);
}

TEST_F(ServerTest, ExecHandshakeCarriesTheCommonHeaders) {
  send_all(client, "POST /hijack?framed=1&exec=1 HTTP/1.1\r\nUpgrade: tcp\r\n\r\n");
  EXPECT_EQ(read_head(client),
            "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\nConnection: "
            "Upgrade\r\nUpgrade: tcp\r\nApi-Version: 1.51\r\nDocker-Experimental: false\r\nOstype: linux\r\nServer: "
            "Docker/28.5.0 (linux)\r\n\r\n");
  ::shutdown(client.get(), SHUT_RDWR);
}

TEST_F(ServerTest, AClientThatGoesCancelsItsStream) {
  std::promise<void> ended;
  stream_ended = &ended;
  send_all(client, "GET /endless HTTP/1.1\r\n\r\n");
  read_head(client);
  client.reset();
  EXPECT_EQ(ended.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
  EXPECT_TRUE(server.wait_for_connections(0));
}

TEST_F(ServerTest, AHalfClosedClientKeepsItsStream) {
  std::promise<void> ended;
  stream_ended = &ended;
  std::future<void> end = ended.get_future();
  send_all(client, "GET /endless HTTP/1.1\r\n\r\n");
  read_head(client);
  ::shutdown(client.get(), SHUT_WR);
  EXPECT_EQ(read_exactly(client, 11), "6\r\nbegin\n\r\n");
  client.reset();
  EXPECT_EQ(end.wait_for(std::chrono::seconds(10)), std::future_status::ready);
}

TEST(ListenOnUnix, TheSocketIsNotForEveryone) {
  const test::TempTree tree{};
  const std::string path = tree.path() + "/api.sock";
  const UniqueFd socket = listen_on_unix(path, static_cast<gid_t>(-1));
  struct stat status{};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0660U);
  try {
    listen_on_unix(path, static_cast<gid_t>(-1));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::conflict);
  }
}

TEST(ListenOnUnix, AStaleSocketIsReplaced) {
  const test::TempTree tree{};
  const std::string path = tree.path() + "/api.sock";
  listen_on_unix(path, static_cast<gid_t>(-1)).reset();
  EXPECT_TRUE(listen_on_unix(path, static_cast<gid_t>(-1)));
}

}  // namespace
}  // namespace mydocker::api
