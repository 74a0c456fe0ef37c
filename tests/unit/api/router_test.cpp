#include "api/server/router.h"

#include <gtest/gtest.h>

namespace mydocker::api {
namespace {

using Params = std::vector<std::pair<std::string, std::string>>;

TEST(Router, NamesTakeOnePart) {
  EXPECT_EQ(match_pattern("/containers/{id}/json", "/containers/web/json"), (Params{{"id", "web"}}));
  EXPECT_EQ(match_pattern("/containers/{id}/json", "/containers/a/b/json"), std::nullopt);
  EXPECT_EQ(match_pattern("/containers/{id}/json", "/containers//json"), std::nullopt);
  EXPECT_EQ(match_pattern("/containers/json", "/containers/json"), Params{});
  EXPECT_EQ(match_pattern("/containers/json", "/containers/json/"), std::nullopt);
}

TEST(Router, ImageNamesAreGreedy) {
  EXPECT_EQ(match_pattern("/images/{name*}/json", "/images/h:5/a/b:1@sha256:x/json"),
            (Params{{"name", "h:5/a/b:1@sha256:x"}}));
  EXPECT_EQ(match_pattern("/images/{name*}/json", "/images/json"), std::nullopt);
  EXPECT_EQ(match_pattern("/images/{name*}/json", "/images/json/json"), (Params{{"name", "json"}}));
  EXPECT_EQ(match_pattern("/images/{name*}", "/images/a/b"), (Params{{"name", "a/b"}}));
  EXPECT_EQ(match_pattern("/images/{name*}", "/images/"), std::nullopt);
}

TEST(Router, TheFirstRowThatFitsWins) {
  std::vector<Route> rows(3);
  rows[0] = {Method::get, "/images/get", nullptr};
  rows[1] = {Method::get, "/images/{name*}/get", nullptr};
  rows[2] = {Method::delete_, "/images/{name*}", nullptr};
  const Router router(std::move(rows));
  EXPECT_EQ(router.find(Method::get, "/images/get").route->pattern, "/images/get");
  EXPECT_EQ(router.find(Method::get, "/images/a/b/get").params[0].second, "a/b");
  EXPECT_EQ(router.find(Method::delete_, "/images/get").params[0].second, "get");
  EXPECT_EQ(router.find(Method::post, "/images/get").route, nullptr);
  EXPECT_EQ(router.find(Method::get, "/nothing").route, nullptr);
}

}  // namespace
}  // namespace mydocker::api
