#include "api/server/query.h"

#include <gtest/gtest.h>

#include "engine/base/error.h"

namespace mydocker::api {
namespace {

TEST(Query, KeysRepeatAndPlusIsABlank) {
  const QueryPairs expected{{"t", "a"}, {"t", "b c"}, {"empty", ""}, {"flag", ""}, {"x;y", "1;2"}, {"k", "=v="}};
  EXPECT_EQ(parse_query("t=a&t=b+c&empty=&flag&&x;y=1;2&k==v="), expected);
}

TEST(Query, BadEscapesAreNamed) {
  EXPECT_EQ(decode_percent("a%2Fb%3a+", false), "a/b:+");
  for (const char* text : {"%", "%1", "%zz", "a%g0"}) EXPECT_THROW(decode_percent(text, true), Error) << text;
}

TEST(Query, BooleansOfEveryClient) {
  for (const char* text : {"", "0", "no", "No", "false", "False", "FALSE", "none", "None", " 0 "}) {
    EXPECT_FALSE(parse_query_bool(text)) << text;
  }
  for (const char* text : {"1", "true", "True", "yes", "on", "2", "x", "00"})
    EXPECT_TRUE(parse_query_bool(text)) << text;
}

TEST(Query, NumbersAreWhole) {
  EXPECT_EQ(parse_number("-1"), -1);
  EXPECT_EQ(parse_number("9223372036854775807"), 9223372036854775807);
  for (const char* text : {"", "1x", " 1", "+1", "9223372036854775808", "1.5", "0x10"}) {
    EXPECT_EQ(parse_number(text), std::nullopt) << text;
  }
}

TEST(Path, IsDecodedAndDoubleSlashesMerge) {
  EXPECT_EQ(clean_request_path("//containers///json"), "/containers/json");
  EXPECT_EQ(clean_request_path("/images/a%2Fb%2fc%3A1/json"), "/images/a/b/c:1/json");
  EXPECT_EQ(clean_request_path("/containers/%2Fweb/json"), "/containers/web/json");
  EXPECT_EQ(clean_request_path("/networks/"), "/networks/");
  EXPECT_EQ(clean_request_path(""), "/");
}

TEST(Path, DotPartsAndControlBytesAreRefused) {
  for (const char* path : {"/a/../b", "/a/%2e%2e/b", "/..", "/./x", "/a/.", "/a/%2E"}) {
    try {
      clean_request_path(path);
      FAIL() << path;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::not_found) << path;
    }
  }
  EXPECT_THROW(clean_request_path("/a%00b"), Error);
  EXPECT_THROW(clean_request_path("/a%0ab"), Error);
  EXPECT_EQ(clean_request_path("/a/...x"), "/a/...x");
}

}  // namespace
}  // namespace mydocker::api
