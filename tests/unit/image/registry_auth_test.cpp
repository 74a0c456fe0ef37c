#include "image/registry_auth.h"

#include <gtest/gtest.h>

#include "image/registry_client.h"

namespace mydocker::image {
namespace {

TEST(RegistryAuth, BothAlphabetsWithAndWithoutPadding) {
  // {"username":"u","password":"p?>~"}
  for (const char* text :
       {"eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6InA_Pn4ifQ==", "eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6InA/Pn4ifQ==",
        "eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6InA_Pn4ifQ"}) {
    const RegistryAuth auth = parse_registry_auth(text);
    EXPECT_EQ(auth.username, "u");
    EXPECT_EQ(auth.password, "p?>~");
  }
}

TEST(RegistryAuth, JunkIsAnonymous) {
  for (const char* text : {"", "e30=", "!!!!", "bm90IGpzb24=", "W10=", "bnVsbA=="}) {
    EXPECT_TRUE(parse_registry_auth(text).empty()) << text;
  }
}

TEST(RegistryAuth, ChallengesAreTakenApart) {
  const auto challenges = parse_challenges(
      R"(Basic realm="a b", Bearer realm="https://auth.example/token",service="x,y",scope="repository:a:pull" , Broken)");
  ASSERT_EQ(challenges.size(), 3U);
  EXPECT_EQ(challenges[0].scheme, "basic");
  EXPECT_EQ(challenges[0].parameters.at("realm"), "a b");
  EXPECT_EQ(challenges[1].parameters.at("service"), "x,y");
  EXPECT_EQ(challenges[1].parameters.at("realm"), "https://auth.example/token");
  EXPECT_TRUE(parse_challenges("").empty());
  EXPECT_TRUE(parse_challenges("=\"\",,,=").empty());
}

struct RealmCase {
  const char* registry;
  const char* realm;
  bool allowed;
};

TEST(RegistryAuth, CredentialsStayWithTheirSite) {
  for (const RealmCase& one : {RealmCase{"https://registry-1.docker.io", "https://auth.docker.io/token", true},
                               RealmCase{"https://registry.gitlab.com", "https://gitlab.com/jwt/auth", true},
                               RealmCase{"https://ghcr.io", "https://ghcr.io/token", true},
                               RealmCase{"https://quay.io", "http://quay.io/token", false},
                               RealmCase{"https://registry.example.com", "https://evil.org/token", false},
                               RealmCase{"https://a.co.uk", "https://b.co.uk/token", false},
                               RealmCase{"https://reg.a.co.uk", "https://auth.a.co.uk/token", true},
                               RealmCase{"https://10.0.0.1", "https://10.0.0.2/token", false},
                               RealmCase{"http://127.0.0.1:5000", "http://127.0.0.1:5001/token", true},
                               RealmCase{"http://localhost:5000", "http://evil.localhost/token", false}}) {
    EXPECT_EQ(may_send_credentials(parse_origin(one.registry), parse_origin(one.realm)), one.allowed)
        << one.registry << " " << one.realm;
  }
}

TEST(RegistryAuth, InsecureRegistriesAreListedOrLoopback) {
  const std::vector<std::string> listed{"reg.lan:5000", "10.1.0.0/16", "fd00::/8", "plain.lan"};
  for (const char* host : {"localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000", "reg.lan:5000",
                           "10.1.2.3:80", "[fd00::1]:5000", "plain.lan:443"}) {
    EXPECT_TRUE(is_insecure_registry(host, listed)) << host;
  }
  for (const char* host :
       {"reg.lan", "reg.lan:5001", "10.2.0.1", "registry.example", "[fe00::1]", "127.0.0.1.evil.org"}) {
    EXPECT_FALSE(is_insecure_registry(host, listed)) << host;
  }
}

TEST(RegistryAuth, UrlsWithUserInfoAreRefused) {
  EXPECT_THROW(parse_origin("https://user:pass@registry.example/"), Error);
  EXPECT_THROW(parse_origin("file:///etc/passwd"), Error);
  EXPECT_THROW(parse_origin("gopher://x/"), Error);
  EXPECT_EQ(parse_origin("HTTPS://Registry.Example/x").text(), "https://registry.example:443");
}

}  // namespace
}  // namespace mydocker::image
