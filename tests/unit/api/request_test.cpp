#include "api/server/request.h"

#include <gtest/gtest.h>

#include "engine/base/error.h"

namespace mydocker::api {
namespace {

Request json_request(std::string body, std::string type = "application/json") {
  Request request;
  request.body = std::move(body);
  request.headers.emplace_back("content-type", std::move(type));
  return request;
}

std::string message_of(const Request& request, BodyRule rule) {
  try {
    request.json_body(rule);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::invalid_argument);
    return error.message();
  }
}

TEST(RequestBody, TheContentTypeMustBeJson) {
  EXPECT_EQ(message_of(json_request("{}"), BodyRule::required), "");
  EXPECT_EQ(message_of(json_request("{}", "application/json; charset=utf-8"), BodyRule::required), "");
  EXPECT_EQ(message_of(json_request("{}", "text/plain"), BodyRule::required),
            "unsupported Content-Type header (text/plain): must be 'application/json'");
}

TEST(RequestBody, AnEmptyBodyPassesWhereItMay) {
  EXPECT_EQ(message_of(json_request("", "text/plain"), BodyRule::optional), "");
  EXPECT_EQ(message_of(json_request(""), BodyRule::required), "invalid JSON: got EOF while reading request body");
}

TEST(RequestBody, HostileDocumentsAreRefused) {
  EXPECT_TRUE(message_of(json_request("{"), BodyRule::required).starts_with("invalid JSON: "));
  EXPECT_EQ(message_of(json_request("{}x"), BodyRule::required), "invalid JSON: unexpected content after JSON");
  EXPECT_NE(message_of(json_request(std::string(100'000, '[')), BodyRule::required), "");
  std::string many = "[0";
  for (int i = 0; i < 100'001; ++i) many += ",0";
  EXPECT_EQ(message_of(json_request(many + "]"), BodyRule::required), "invalid JSON: more than 100000 values");
  const std::string commas_in_text(200'000, ',');
  EXPECT_EQ(message_of(json_request("\"" + commas_in_text + "\\\",\""), BodyRule::required), "");
}

TEST(RequestQuery, DefaultsAndNumbers) {
  Request request;
  request.query = {{"h", "24"}, {"w", "x"}, {"all", "1"}, {"t", ""}, {"big", "99999999999"}};
  EXPECT_EQ(request.query_int("h"), 24);
  EXPECT_EQ(request.query_int("none"), std::nullopt);
  EXPECT_EQ(request.query_int("t"), std::nullopt);
  EXPECT_THROW(request.query_int("w"), Error);
  EXPECT_THROW(request.query_int("big"), Error);
  EXPECT_TRUE(request.query_bool("all"));
  EXPECT_TRUE(request.query_bool("quiet", true));
  EXPECT_FALSE(request.query_bool("t", true));
}

}  // namespace
}  // namespace mydocker::api
