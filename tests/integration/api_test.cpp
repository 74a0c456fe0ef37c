// The HTTP envelope: ping, versions, errors, and what must never bring the engine down.

#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

class ApiTest : public DaemonTest {};

TEST_F(ApiTest, PingAnswersWithAllItsHeaders) {
  const Response response = client().get("/_ping");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "OK");
  EXPECT_EQ(response.header("api-version"), "1.51");
  EXPECT_EQ(response.header("ostype"), "linux");
  EXPECT_EQ(response.header("docker-experimental"), "false");
  EXPECT_EQ(response.header("builder-version"), "1");
  EXPECT_EQ(response.header("swarm"), "inactive");
  EXPECT_EQ(response.header("cache-control"), "no-cache, no-store, must-revalidate");
  EXPECT_NE(response.header("server"), "");
}

TEST_F(ApiTest, HeadPingHasNoBodyAndTheConnectionIsReusable) {
  const std::string twice = client().raw(
      "HEAD /_ping HTTP/1.1\r\nHost: api.moby.localhost\r\n\r\n"
      "GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n");
  const std::size_t first_end = twice.find("\r\n\r\n");
  ASSERT_NE(first_end, std::string::npos);
  EXPECT_TRUE(twice.substr(first_end + 4).starts_with("HTTP/1.1 200")) << twice;
  EXPECT_TRUE(twice.ends_with("\r\n\r\nOK")) << twice;
}

TEST_F(ApiTest, VersionPrefixesAreNegotiated) {
  EXPECT_EQ(client().get("/v1.24/_ping").status, 200);
  EXPECT_EQ(client().get("/v1.51/version").status, 200);
  EXPECT_EQ(client().get("/v1.41/version").status, 200);
  const Response too_new = client().get("/v1.99/version");
  EXPECT_EQ(too_new.status, 400);
  EXPECT_EQ(too_new.message(), "client version 1.99 is too new. Maximum supported API version is 1.51");
  const Response too_old = client().get("/v1.11/version");
  EXPECT_EQ(too_old.status, 400);
  EXPECT_EQ(too_old.message(),
            "client version 1.11 is too old. Minimum supported API version is 1.24, please upgrade your client to a "
            "newer version");
}

TEST_F(ApiTest, ErrorsHaveDockersForm) {
  const Response response = client().get("/containers/nope/json");
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(response.header("content-type"), "application/json");
  EXPECT_EQ(response.body, "{\"message\":\"No such container: nope\"}\n");
  EXPECT_EQ(response.header("api-version"), "1.51");
}

TEST_F(ApiTest, UnknownPathsAndMethodsArePageNotFound) {
  for (const auto& [method, path] : {std::pair("GET", "/nope"), std::pair("POST", "/version"),
                                     std::pair("GET", "/containers/create"), std::pair("PATCH", "/info")}) {
    const Response response = client().request(method, path);
    EXPECT_EQ(response.status, 404) << method << path;
    EXPECT_EQ(response.message(), "page not found");
  }
}

TEST_F(ApiTest, VersionAndInfoTellWhatTheEngineIs) {
  const json::value version = client().get("/version").json();
  EXPECT_EQ(text(at(version, "ApiVersion")), "1.51");
  EXPECT_EQ(text(at(version, "MinAPIVersion")), "1.24");
  EXPECT_EQ(text(at(version, "Os")), "linux");
  const json::value info = client().get("/info").json();
  EXPECT_EQ(text(at(info, "Driver")), "overlay2");
  EXPECT_EQ(text(at(info, "OSType")), "linux");
  EXPECT_EQ(text(at(info, "DockerRootDir")), engine().data_root());
  EXPECT_EQ(at(info, "Containers").to_number<int>(), 0);
  EXPECT_GE(at(info, "Images").to_number<int>(), 1);
  EXPECT_GT(at(info, "MemTotal").to_number<std::int64_t>(), 0);
}

TEST_F(ApiTest, KeysOfABodyMatchWithoutCase) {
  const Response response = client().post(
      "/containers/create", json::object{{"image", "payload"}, {"hostconfig", json::object{{"networkmode", "none"}}}});
  ASSERT_EQ(response.status, 201) << response.body;
  const json::value container = inspect(text(at(response.json(), "Id")));
  EXPECT_EQ(text(at(container, "HostConfig.NetworkMode")), "none");
}

TEST_F(ApiTest, AHundredKeepAliveRequestsOnOneConnection) {
  std::string requests;
  for (int i = 0; i < 99; ++i) requests += "GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n";
  requests += "GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n";
  const std::string answers = client().raw(requests);
  std::size_t count = 0;
  for (std::size_t i = answers.find("HTTP/1.1 200"); i != std::string::npos; i = answers.find("HTTP/1.1 200", i + 1))
    ++count;
  EXPECT_EQ(count, 100U);
}

TEST_F(ApiTest, ExpectContinueAndChunkedBodiesAreUnderstood) {
  const std::string body = R"({"Image":"payload","HostConfig":{"NetworkMode":"none"}})";
  const std::string answer =
      client().raw(concat("POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
                          "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
                          "37\r\n", body, "\r\n0\r\n\r\n"));
  EXPECT_NE(answer.find("HTTP/1.1 201"), std::string::npos) << answer;
}

TEST_F(ApiTest, BrokenHttpIsRefusedAndTheEngineLives) {
  const std::string corpus[] = {
      "GET / HTTP/9.9\r\n\r\n",
      "\r\n\r\n\r\n",
      "GET\r\n\r\n",
      std::string("\0\x01\x02\x03\r\n\r\n", 8),
      "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: -5\r\n\r\n",
      "POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
      "POST /containers/create HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
      "GET /_ping HTTP/1.1\r\nX: " + std::string(2 << 20, 'a') + "\r\n\r\n",
      "GET /" + std::string(1 << 20, 'a') + " HTTP/1.1\r\n\r\n",
      "GET /containers/%zz/json HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n",
      "GET /containers/..%2f..%2fetc/json HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n",
  };
  for (const std::string& bytes : corpus) {
    const std::string answer = client().raw(bytes, std::chrono::milliseconds(300));
    EXPECT_EQ(answer.find("HTTP/1.1 2"), std::string::npos) << bytes.substr(0, 60) << "\n" << answer.substr(0, 200);
    ASSERT_FALSE(engine().has_died());
  }
  EXPECT_EQ(client().get("/_ping").status, 200);
}

}  // namespace
}  // namespace mydocker::test
