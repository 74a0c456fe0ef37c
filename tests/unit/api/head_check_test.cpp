#include "api/server/head_check.h"

#include <gtest/gtest.h>

#include <string>

namespace mydocker::api {
namespace {

HeadVerdict check(const std::string& head) { return check_head(head, ApiLimits{}); }

TEST(HeadCheck, OrdinaryHeadsAreGood) {
  for (const char* head : {
           "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n",
           "GET / HTTP/1.1\r\nHost:\r\nX-Registry-Auth: e30=\r\n\r\n",
           "POST /x HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
           "POST /x HTTP/1.1\r\nTransfer-Encoding: Chunked\r\nExpect: 100-continue\r\n\r\n",
           "GET / HTTP/1.0\r\n\r\n",
       }) {
    EXPECT_EQ(check(head), HeadVerdict::good) << head;
  }
}

TEST(HeadCheck, AmbiguousFramingIsRefused) {
  const std::string line = "POST /x HTTP/1.1\r\n";
  for (const char* fields : {
           "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
           "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
           "Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
           "Content-Length: 5, 5\r\n\r\n",
           "Content-Length: +5\r\n\r\n",
           "Content-Length: -1\r\n\r\n",
           "Content-Length: 0x5\r\n\r\n",
           "Content-Length: \r\n\r\n",
           "Content-Length: 99999999999999999999\r\n\r\n",
           "Transfer-Encoding: gzip, chunked\r\n\r\n",
           "Transfer-Encoding: identity\r\n\r\n",
           "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
           "Content-Length : 5\r\n\r\n",
       }) {
    EXPECT_EQ(check(line + fields), HeadVerdict::bad_request) << fields;
  }
}

TEST(HeadCheck, LinesAreLines) {
  using namespace std::string_literals;
  for (const std::string& head : {
           "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n"s,
           "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n"s,
           "GET / HTTP/1.1\r\nA: b\nc: d\r\n\r\n"s,
           "GET / HTTP/1.1\nA: b\r\n\r\n"s,
           "GET / HTTP/1.1\r\nA: b\0c\r\n\r\n"s,
           "GET /\0 HTTP/1.1\r\n\r\n"s,
           "\r\nGET / HTTP/1.1\r\n\r\n"s,
           "GET / HTTP/1.1\r\nno colon\r\n\r\n"s,
           "GET / HTTP/1.1\r\n: x\r\n\r\n"s,
           "GET / HTTP/1.1\r\nA\x01: x\r\n\r\n"s,
       }) {
    EXPECT_EQ(check(head), HeadVerdict::bad_request) << head;
  }
}

TEST(HeadCheck, FieldsAreCounted) {
  std::string head = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 128; ++i) head += "A: b\r\n";
  EXPECT_EQ(check(head + "\r\n"), HeadVerdict::good);
  EXPECT_EQ(check(head + "A: b\r\n\r\n"), HeadVerdict::too_many_fields);
}

}  // namespace
}  // namespace mydocker::api
