// SECURITY 4 P2-P4 in small: what a hostile client gets, and that the server serves the next one.
#include <gtest/gtest.h>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "engine/base/error.h"
#include "tests/unit/api/http_client.h"

namespace mydocker::api {
namespace {

awaitable<void> ping(const Request&, Writer& out) { return out.text(Status::ok, "text/plain", "OK"); }

awaitable<void> read_json(const Request& request, Writer& out) {
  return out.json(Status::ok, request.json_body(BodyRule::required));
}

awaitable<void> hang(const Request&, Writer&) {
  boost::asio::steady_timer never(co_await boost::asio::this_coro::executor,
                                  boost::asio::steady_timer::time_point::max());
  co_await never.async_wait(boost::asio::use_awaitable);
}

std::vector<Route> limit_routes() {
  return {{Method::get, "/_ping", ping},
          {Method::post, "/json", read_json},
          {Method::get, "/hang", hang, OnHangup::cancel}};
}

constexpr std::string_view good_request = "GET /_ping HTTP/1.1\r\n\r\n";

TEST(HostileClient, MalformedHeadsAre400InJsonAndClose) {
  using namespace std::string_literals;
  TestServer server(limit_routes());
  for (const std::string& request : {
           "GET / HTTP/9.9\r\n\r\n"s,
           "GET / HTTP/2.0\r\n\r\n"s,
           "nonsense\r\n\r\n"s,
           "GET /_ping\r\n\r\n"s,
           "GET  /_ping HTTP/1.1\r\n\r\n"s,
           "GET /_ping HTTP/1.1\nHost: x\n\n"s,
           "POST /json HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"s,
           "POST /json HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"s,
           "POST /json HTTP/1.1\r\nContent-Length: -5\r\n\r\n"s,
           "GET /_ping HTTP/1.1\r\nA: b\r\n folded\r\n\r\n"s,
           "GET /_ping HTTP/1.1\r\nA: b\0\r\n\r\n"s,
           "POST /json HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"s,
           "POST /json HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n"s,
           "POST /json HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;" + std::string(200'000, 'e') + "\r\nabc\r\n"s,
       }) {
    const UniqueFd client = server.connect();
    send_all(client, request);
    const Response response = read_response(client);
    EXPECT_EQ(response.status, 400) << request.substr(0, 80);
    EXPECT_EQ(response.headers.at("content-type"), "application/json");
    EXPECT_EQ(response.headers.at("connection"), "close");
    EXPECT_TRUE(response.body.starts_with("{\"message\":\"")) << response.body;
    EXPECT_TRUE(is_at_end(client)) << request.substr(0, 80);
  }
  EXPECT_TRUE(server.wait_for_connections(0));
}

TEST(HostileClient, BytesAfterAnEmptyBodyAreTheNextRequest) {
  TestServer server(limit_routes());
  const UniqueFd client = server.connect();
  send_all(client, "GET /_ping HTTP/1.1\r\nContent-Length: 0\r\n\r\nsmuggled\r\n\r\n");
  EXPECT_EQ(read_response(client).status, 200);
  EXPECT_EQ(read_response(client).status, 400);
}

TEST(HostileClient, EndlessHeadsAre431) {
  TestServer server(limit_routes());
  for (const std::string& part : {std::string("GET /"), std::string("GET /_ping HTTP/1.1\r\nA: ")}) {
    const UniqueFd client = server.connect();
    send_all(client, part + std::string(1 << 20, 'x'));
    EXPECT_EQ(read_response(client).status, 431);
  }
  std::string many = "GET /_ping HTTP/1.1\r\n";
  for (int i = 0; i < 1000; ++i) many += "A: b\r\n";
  const UniqueFd client = server.connect();
  send_all(client, many + "\r\n");
  EXPECT_EQ(read_response(client).status, 431);
}

TEST(HostileClient, LongButAllowedHeadsPass) {
  TestServer server(limit_routes());
  const UniqueFd client = server.connect();
  send_all(client, "GET /_ping HTTP/1.1\r\nX-Registry-Auth: " + std::string(60'000, 'x') + "\r\n\r\n");
  EXPECT_EQ(read_response(client).status, 200);
}

TEST(HostileClient, ABodyOverTheLimitIs413) {
  ApiLimits limits;
  limits.json_body_bytes = 1000;
  TestServer server(limit_routes(), limits);
  const UniqueFd announced = server.connect();
  send_all(announced, "POST /json HTTP/1.1\r\nContent-Length: 1001\r\n\r\n" + std::string(1001, 'x'));
  EXPECT_EQ(read_response(announced).status, 413);
  EXPECT_TRUE(is_at_end(announced));
  const UniqueFd chunked = server.connect();
  send_all(chunked,
           "POST /json HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n" + std::string(1024, 'x') + "\r\n");
  EXPECT_EQ(read_response(chunked).status, 413);
  const UniqueFd promised = server.connect();
  send_all(promised, "POST /json HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 99999999999999\r\n\r\n");
  EXPECT_EQ(read_response(promised).status, 413);
}

TEST(HostileClient, HostileJsonIs400) {
  TestServer server(limit_routes());
  const UniqueFd client = server.connect();
  for (const std::string& body :
       {std::string("{"), std::string(100'000, '['), std::string("{}{}"), std::string("nul")}) {
    send_all(client, concat("POST /json HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: ", body.size(),
                            "\r\n\r\n", body));
    EXPECT_EQ(read_response(client).status, 400) << body.substr(0, 20);
  }
}

TEST(HostileClient, ASlowHeadIs408) {
  ApiTimeouts timeouts;
  timeouts.head = std::chrono::milliseconds(50);
  TestServer server(limit_routes(), {}, timeouts);
  const UniqueFd client = server.connect();
  send_all(client, "GET /_pi");
  EXPECT_EQ(read_response(client).status, 408);
  EXPECT_TRUE(is_at_end(client));
}

TEST(HostileClient, ASlowBodyIs408) {
  ApiTimeouts timeouts;
  timeouts.body = std::chrono::milliseconds(50);
  TestServer server(limit_routes(), {}, timeouts);
  const UniqueFd client = server.connect();
  send_all(client, "POST /json HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc");
  EXPECT_EQ(read_response(client).status, 408);
}

TEST(HostileClient, AnIdleConnectionIsClosedInSilence) {
  ApiTimeouts timeouts;
  timeouts.idle = std::chrono::milliseconds(50);
  TestServer server(limit_routes(), {}, timeouts);
  const UniqueFd client = server.connect();
  send_all(client, good_request);
  EXPECT_EQ(read_response(client).status, 200);
  EXPECT_EQ(read_to_end(client), "");
}

TEST(HostileClient, IdleConnectionsMakeRoomForNewOnes) {
  ApiLimits limits;
  limits.connections_per_user = 20;
  TestServer server(limit_routes(), limits);
  std::vector<UniqueFd> idle;
  for (int i = 0; i < 50; ++i) idle.push_back(server.connect());
  const UniqueFd client = server.connect();
  send_all(client, good_request);
  EXPECT_EQ(read_response(client).status, 200);
  EXPECT_TRUE(is_at_end(idle.front()));
}

TEST(HostileClient, WhenAllAreBusyANewOneGets503) {
  ApiLimits limits;
  limits.connections_per_user = 5;
  TestServer server(limit_routes(), limits);
  std::vector<UniqueFd> busy;
  for (int i = 0; i < 5; ++i) {
    busy.push_back(server.connect());
    send_all(busy.back(), "GET /hang HTTP/1.1\r\n\r\n");
  }
  // Whether a request was seen as busy yet is up to the server's thread: ask until it is.
  Response response;
  for (int i = 0; i < 1000 && response.status != 503; ++i) {
    const UniqueFd client = server.connect();
    send_all(client, good_request);
    response = read_response(client);
  }
  EXPECT_EQ(response.status, 503);
  EXPECT_EQ(response.body, "{\"message\":\"too many connections of this user\"}\n");
}

}  // namespace
}  // namespace mydocker::api
