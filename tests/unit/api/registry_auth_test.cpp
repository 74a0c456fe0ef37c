#include "api/server/registry_auth.h"

#include <gtest/gtest.h>

#include "engine/base/base64.h"

namespace mydocker::api {
namespace {

// {"username":"ü?>","password":"p~~"}: its base64 needs both letters in which the alphabets differ, and padding.
constexpr std::string_view document = "{\"username\":\"\xC3\xBC?>\",\"password\":\"p~~>?\"}";

std::string url_safe(std::string text) {
  for (char& c : text) c = c == '+' ? '-' : c == '/' ? '_' : c;
  return text;
}
std::string unpadded(std::string text) {
  while (text.ends_with('=')) text.pop_back();
  return text;
}

TEST(RegistryAuth, AllFourFlavoursOfBase64AreRead) {
  const std::string standard = encode_base64(document);
  for (const std::string& header : {standard, unpadded(standard), url_safe(standard), unpadded(url_safe(standard))}) {
    const AuthConfig auth = parse_registry_auth(header);
    EXPECT_EQ(auth.username, "\xC3\xBC?>") << header;
    EXPECT_EQ(auth.password, "p~~>?") << header;
  }
}

TEST(RegistryAuth, JunkIsAnonymous) {
  for (const char* header : {"", "e30=", "e30", "!!!", "x", "bnVsbA==", "WzFd", "eyJ1c2VybmFtZSI6MX0="}) {
    EXPECT_EQ(parse_registry_auth(header).username, "") << header;
  }
}

TEST(RegistryAuth, TheAuthFieldFillsInTheName) {
  const std::string header = encode_base64(R"({"auth":")" + encode_base64("joe:a:b") + R"("})");
  EXPECT_EQ(parse_registry_auth(header).username, "joe");
  EXPECT_EQ(parse_registry_auth(header).password, "a:b");
}

}  // namespace
}  // namespace mydocker::api
