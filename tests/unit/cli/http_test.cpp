#include "cli/http.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "cli/client.h"
#include "engine/base/sys.h"

namespace mydocker::cli {
namespace {

/// A connection whose peer has already said everything, and hung up if `closes`.
HttpConnection connection_with(std::string_view response, UniqueFd& peer, bool closes = true) {
  auto [ours, theirs] = make_socket_pair(SOCK_STREAM);
  write_all(theirs.get(), response);
  if (closes) ::shutdown(theirs.get(), SHUT_WR);
  peer = std::move(theirs);
  return HttpConnection(std::move(ours));
}

TEST(Http, ContentLength) {
  UniqueFd peer;
  auto connection = connection_with(
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A:  b \r\n\r\nhelloHTTP/1.1 204 No Content\r\n\r\n", peer);
  const HttpHead head = connection.read_head();
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.header("x-a"), "b");
  EXPECT_EQ(connection.read_whole_body(), "hello");
  EXPECT_TRUE(connection.reusable());
  EXPECT_EQ(connection.read_head().status, 204);
  EXPECT_EQ(connection.read_whole_body(), "");
}

TEST(Http, ChunksWithExtensionsAndTrailers) {
  UniqueFd peer;
  auto connection = connection_with(
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n00A\r\n0123456789\r\n0\r\nTrailer: "
      "t\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n",
      peer);
  connection.read_head();
  EXPECT_EQ(connection.read_whole_body(), "abc0123456789");
  EXPECT_EQ(connection.read_head().status, 304);
}

TEST(Http, BodyUntilTheEndOfTheConnection) {
  UniqueFd peer;
  auto connection = connection_with("HTTP/1.0 200 OK\r\n\r\nall of it", peer);
  connection.read_head();
  EXPECT_EQ(connection.read_whole_body(), "all of it");
  EXPECT_FALSE(connection.reusable());
}

TEST(Http, ContinueIsSkippedAndHeadHasNoBody) {
  UniqueFd peer;
  auto connection = connection_with(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: "
      "0\r\n\r\n",
      peer);
  EXPECT_EQ(connection.read_head(true).status, 200);
  EXPECT_EQ(connection.read_whole_body(), "");
  EXPECT_EQ(connection.read_head().status, 200);
}

TEST(Http, HijackKeepsTheBytesBehindTheHead) {
  UniqueFd peer;
  auto connection = connection_with("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\n\r\nearly", peer, false);
  EXPECT_EQ(connection.read_head().status, 101);
  auto [socket, pending] = std::move(connection).hijack();
  EXPECT_EQ(pending, "early");
  EXPECT_TRUE(socket);
}

TEST(Http, CutAndMalformedResponsesAreErrors) {
  for (const std::string_view response :
       {"", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "SSH-2.0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"}) {
    UniqueFd peer;
    auto connection = connection_with(response, peer);
    EXPECT_THROW(
        {
          connection.read_head();
          connection.read_whole_body();
        },
        Error)
        << response;
  }
}

TEST(Http, RequestsSayTheirLength) {
  EXPECT_EQ(serialize({.method = "POST", .target = "/x?a=b", .headers = {{"A", "b"}}, .body = "{}"}),
            "POST /x?a=b HTTP/1.1\r\nHost: localhost\r\nA: b\r\nContent-Length: 2\r\n\r\n{}");
  EXPECT_EQ(serialize({.method = "POST", .target = "/x", .has_body = true}),
            "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(encode_query({{"filters", "{\"a\":[\"b c\"]}"}, {"x", "1&2"}}),
            "filters=%7B%22a%22%3A%5B%22b%20c%22%5D%7D&x=1%262");
  EXPECT_EQ(path_part("127.0.0.1:5000/a b?c"), "127.0.0.1:5000/a%20b%3Fc");
}

TEST(JsonSequence, DocumentsMayBeCutAnywhere) {
  const std::string text = "{\"a\":\"}{\"}\r\n{\"b\":[1,{\"c\":\"\\\"\"}]} \n[2]";
  for (std::size_t step = 1; step < text.size(); ++step) {
    JsonSequence sequence;
    std::string out;
    for (std::size_t at = 0; at < text.size(); at += step) {
      sequence.feed(std::string_view(text).substr(at, step),
                    [&](const json::value& value) { out += write_json(value) + ";"; });
    }
    EXPECT_EQ(out, "{\"a\":\"}{\"};{\"b\":[1,{\"c\":\"\\\"\"}]};[2];") << step;
  }
}

}  // namespace
}  // namespace mydocker::cli
