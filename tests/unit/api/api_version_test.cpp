#include "api/server/api_version.h"

#include <gtest/gtest.h>

#include "engine/base/error.h"

namespace mydocker::api {
namespace {

TEST(ApiVersion, APrefixIsSplitOff) {
  EXPECT_EQ(split_version("/v1.47/containers/json").version, "1.47");
  EXPECT_EQ(split_version("/v1.47/containers/json").path, "/containers/json");
  EXPECT_EQ(split_version("/v1/_ping").version, "1");
}

TEST(ApiVersion, PathsWithoutPrefixStay) {
  for (const char* path : {"/version", "/volumes/v", "/v/x", "/vx.1/json", "/v1.47", "/"}) {
    EXPECT_EQ(split_version(path).version, "") << path;
    EXPECT_EQ(split_version(path).path, path);
  }
}

TEST(ApiVersion, PartsAreComparedAsNumbers) {
  EXPECT_EQ(check_version(""), newest_version);
  EXPECT_EQ(check_version("1.24").minor, 24);
  EXPECT_EQ(check_version("1.51").minor, 51);
  EXPECT_EQ(check_version("1.041").minor, 41);
  EXPECT_THROW(check_version("1.9"), Error);
  EXPECT_THROW(check_version("1.100"), Error);
  EXPECT_THROW(check_version("99999999999999999999.1"), Error);
  EXPECT_THROW(check_version("1"), Error);
  EXPECT_THROW(check_version("1.51.1"), Error);
}

TEST(ApiVersion, TheTextsAreThoseThatClientsShow) {
  try {
    check_version("1.99");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::invalid_argument);
    EXPECT_EQ(error.message(), "client version 1.99 is too new. Maximum supported API version is 1.51");
  }
  try {
    check_version("1.11");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message(),
              "client version 1.11 is too old. Minimum supported API version is 1.24, please upgrade your client to a "
              "newer version");
  }
}

}  // namespace
}  // namespace mydocker::api
