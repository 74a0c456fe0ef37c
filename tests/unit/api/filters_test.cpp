#include "api/server/filters.h"

#include <gtest/gtest.h>

#include "engine/base/error.h"

namespace mydocker::api {
namespace {

using Filters = std::map<std::string, std::vector<std::string>>;

TEST(Filters, MapAndListEncodingsMeanTheSame) {
  const Filters expected{{"label", {"a=b", "c"}}, {"status", {"running"}}};
  EXPECT_EQ(parse_filters(R"({"label":{"a=b":true,"c":true},"status":{"running":true}})"), expected);
  EXPECT_EQ(parse_filters(R"({"label":["a=b","c"],"status":["running"]})"), expected);
  EXPECT_EQ(parse_filters(R"({"label":["a=b","c"],"status":{"running":true}})"), expected);
}

TEST(Filters, PresenceSelectsEvenWhenTheValueIsFalse) {
  EXPECT_EQ(parse_filters(R"({"dangling":{"true":false}})"), (Filters{{"dangling", {"true"}}}));
}

TEST(Filters, EmptyFormsAreNoFilter) {
  for (const char* text : {"", "{}", "null", R"({"label":[]})", R"({"label":{}})", R"({"label":null})"}) {
    EXPECT_TRUE(parse_filters(text).empty()) << text;
  }
}

TEST(Filters, AnythingElseIsAnError) {
  for (const char* text :
       {"{", "[]", "5", R"("x")", R"({"a":1})", R"({"a":[1]})", R"({"a":"b"})", R"({"a":{"b":1}})"}) {
    try {
      parse_filters(text);
      FAIL() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::invalid_argument);
      EXPECT_TRUE(error.message().starts_with("invalid filter")) << error.message();
    }
  }
}

}  // namespace
}  // namespace mydocker::api
