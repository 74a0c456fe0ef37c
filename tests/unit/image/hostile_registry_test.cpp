#include <gtest/gtest.h>

#include <chrono>
#include <latch>

#include "image/http_client.h"
#include "image/pull.h"
#include "tests/unit/image/fake_registry.h"
#include "tests/unit/image/image_fixture.h"

/// SECURITY G1, G2, G3, A4: a registry that means harm. Every test ends with an empty store.
namespace mydocker::image {
namespace {

using test::FakeRegistry;
using test::gzip;
using test::HttpServer;
using test::make_image;
using test::make_tar;
using test::Reply;
using test::Request;
using test::TestImage;

const std::string secret = "s3cr3t-canary";
const std::string basic_secret = "dXNlcjpzM2NyM3QtY2FuYXJ5";  // user:s3cr3t-canary

class HostileRegistryTest : public test::StoreFixture {
 protected:
  void SetUp() override {
    StoreFixture::SetUp();
    if (IsSkipped()) return;
    options.retry_delay = std::chrono::milliseconds(1);
    options.max_download_attempts = 2;
    options.tmp_dir = paths.tmp();
    options.certs_dir = "";
  }
  void TearDown() override {
    if (!IsSkipped() && !expects_image) EXPECT_EQ(leftovers(), "");
  }
  PullResult pull(const std::string& name, bool with_credentials = false) {
    RegistryAuth auth;
    if (with_credentials) auth = {.username = "user", .password = secret};
    Puller puller(*images, options);
    return puller.pull({.reference = Reference::parse(name), .auth = auth}, lines.sink());
  }
  static std::string blob_path(const std::string& bytes) { return "/blobs/" + sha256_of(bytes).text(); }
  /// Answers this blob with `reply` from now on.
  static void replace_blob(FakeRegistry& registry, const std::string& bytes, Reply reply) {
    registry.documents["/v2/app/blobs/" + sha256_of(bytes).text()] = std::move(reply);
  }

  PullerOptions options;
  test::Lines lines;
  TestImage image = make_image({make_tar({{"a", std::string(5000, 'x')}})});
  std::string blob = gzip(image.layers[0]);
  bool expects_image = false;
};

Reply unauthorized(const std::string& challenge) {
  return {401,
          {{"WWW-Authenticate", challenge}},
          R"({"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]})"};
}

TEST_F(HostileRegistryTest, BasicCredentialsAreSentWhereTheyWereAsked) {
  expects_image = true;
  FakeRegistry registry;
  registry.put_image("app", "1", image, gzip);
  registry.hook = [](const Request& request) -> std::optional<Reply> {
    if (request.header("authorization") == "Basic " + basic_secret) return std::nullopt;
    return unauthorized("Basic realm=\"x\"");
  };
  pull(registry.reference("app:1"), true);
}

TEST_F(HostileRegistryTest, WrongCredentialsAreUnauthorized) {
  FakeRegistry registry;
  registry.hook = [](const Request&) { return unauthorized("Basic realm=\"x\""); };
  EXPECT_THROW_ERROR(pull(registry.reference("app:1"), true), ErrorKind::unauthorized, "unauthorized");
}

TEST_F(HostileRegistryTest, WithoutCredentialsAccessIsDenied) {
  FakeRegistry registry;
  registry.hook = [](const Request&) { return unauthorized("Basic realm=\"x\""); };
  EXPECT_THROW_ERROR(pull(registry.reference("app:1")), ErrorKind::not_found,
                     "pull access denied for " + registry.reference("app") +
                         ", repository does not exist or may require 'docker login': unauthorized:");
}

TEST_F(HostileRegistryTest, TheTokenFlowWorks) {
  expects_image = true;
  FakeRegistry registry;
  registry.put_image("app", "1", image, gzip);
  const std::string realm = registry.server().origin() + "/token";
  registry.hook = [&](const Request& request) -> std::optional<Reply> {
    if (request.path() == "/token") {
      if (request.header("authorization") != "Basic " + basic_secret) return Reply{401, {}, ""};
      return Reply{200, {}, R"({"token":"tok","expires_in":300})"};
    }
    if (request.header("authorization") == "Bearer tok") return std::nullopt;
    return unauthorized(concat("Bearer realm=\"", realm, "\",service=\"reg istry\",scope=\"ignored\""));
  };
  pull(registry.reference("app:1"), true);
  bool asked = false;
  for (const Request& request : registry.server().requests()) {
    if (request.path() != "/token") continue;
    asked = true;
    EXPECT_NE(request.target.find("service=reg%20istry&scope=repository%3Aapp%3Apull"), std::string::npos);
  }
  EXPECT_TRUE(asked);
}

TEST_F(HostileRegistryTest, ARealmOnAnotherHostNeverSeesCredentials) {
  HttpServer thief([](const Request&) { return Reply{200, {}, R"({"token":"t"})"}; });
  FakeRegistry registry;
  // "localhost" and "127.0.0.1" are different hosts.
  const std::string realm = concat("http://localhost:", thief.port(), "/token");
  registry.hook = [&](const Request&) { return unauthorized(concat("Bearer realm=\"", realm, "\"")); };
  EXPECT_THROW(pull(registry.reference("app:1"), true), Error);
  EXPECT_FALSE(thief.requests().empty());
  EXPECT_EQ(thief.transcript().find(basic_secret), std::string::npos);
  EXPECT_EQ(thief.transcript().find("authorization"), std::string::npos);
}

TEST_F(HostileRegistryTest, RefreshTokensAreNotRedirected) {
  HttpServer thief([](const Request&) { return Reply{200, {}, R"({"token":"t"})"}; });
  FakeRegistry registry;
  registry.hook = [&](const Request& request) -> std::optional<Reply> {
    if (request.path() == "/token") return Reply{307, {{"Location", thief.origin() + "/token"}}, ""};
    return unauthorized(concat("Bearer realm=\"", registry.server().origin(), "/token\""));
  };
  Puller puller(*images, options);
  EXPECT_THROW(
      puller.pull({.reference = Reference::parse(registry.reference("app:1")), .auth = {.identity_token = secret}},
                  lines.sink()),
      Error);
  EXPECT_TRUE(thief.requests().empty());
}

class RedirectTest : public HostileRegistryTest, public ::testing::WithParamInterface<int> {};

TEST_P(RedirectTest, CredentialsStayAtTheirOrigin) {
  expects_image = true;
  HttpServer storage([&](const Request&) { return Reply{200, {}, blob}; });
  FakeRegistry registry;
  registry.put_image("app", "1", image, gzip);
  registry.hook = [&](const Request& request) -> std::optional<Reply> {
    if (request.header("authorization") != "Basic " + basic_secret) return unauthorized("Basic realm=\"x\"");
    if (!request.path().ends_with(blob_path(blob))) return std::nullopt;
    return Reply{GetParam(), {{"Location", storage.origin() + "/blob?signature=1"}}, ""};
  };
  EXPECT_EQ(pull(registry.reference("app:1"), true).image_id, image.id());
  ASSERT_EQ(storage.requests().size(), 1U);
  EXPECT_EQ(storage.requests()[0].header("authorization"), "");
  EXPECT_EQ(storage.transcript().find(basic_secret), std::string::npos);
}
INSTANTIATE_TEST_SUITE_P(Statuses, RedirectTest, ::testing::Values(301, 302, 303, 307, 308));

TEST_F(HostileRegistryTest, BadRedirectsAreRefused) {
  FakeRegistry registry;
  registry.put_image("app", "1", image, gzip);
  for (const std::string& location :
       {std::string("file:///etc/passwd"), std::string("gopher://127.0.0.1/x"),
        std::string("http://user:pass@127.0.0.1/x"), std::string("//user@127.0.0.1/x"), std::string("")}) {
    replace_blob(registry, blob, {302, {{"Location", location}}, ""});
    EXPECT_THROW(pull(registry.reference("app:1")), Error) << location;
    EXPECT_EQ(leftovers(), "") << location;
  }
}

TEST_F(HostileRegistryTest, EndlessRedirectsEnd) {
  FakeRegistry registry;
  registry.put_image("app", "1", image, gzip);
  replace_blob(registry, blob, {302, {{"Location", "/v2/app" + blob_path(blob)}}, ""});
  EXPECT_THROW_ERROR(pull(registry.reference("app:1")), ErrorKind::internal, "too many redirects");
}

TEST_F(HostileRegistryTest, FromHttpsToHttpIsRefused) {
  FakeRegistry registry(HttpServer::Tls::on);
  HttpServer plain([&](const Request&) { return Reply{200, {}, blob}; });
  registry.put_image("app", "1", image, gzip);
  replace_blob(registry, blob, {302, {{"Location", plain.origin() + "/x"}}, ""});
  EXPECT_THROW_ERROR(pull(registry.reference("app:1")), ErrorKind::internal, "redirect from https to http refused");
  EXPECT_TRUE(plain.requests().empty());
}

TEST_F(HostileRegistryTest, TlsWithAnUnknownAuthorityIsForInsecureRegistriesOnly) {
  expects_image = true;
  FakeRegistry registry(HttpServer::Tls::on);
  registry.put_image("app", "1", image, gzip);
  EXPECT_EQ(pull(registry.reference("app:1")).image_id, image.id());  // loopback counts as insecure
}

struct BodyCase {
  const char* name;
  std::function<Reply(const std::string&)> make;
  const char* message;
};

class BodyTest : public HostileRegistryTest, public ::testing::WithParamInterface<BodyCase> {};

TEST_P(BodyTest, ABlobThatIsNotItsDescriptorIsRefused) {
  FakeRegistry registry;
  registry.put_image("app", "1", image, gzip);
  replace_blob(registry, blob, GetParam().make(blob));
  EXPECT_THROW_ERROR(pull(registry.reference("app:1")), ErrorKind::internal, GetParam().message);
}
INSTANTIATE_TEST_SUITE_P(
    Bodies, BodyTest,
    ::testing::Values(
        BodyCase{"longer", [](const std::string& b) { return Reply{200, {}, b + "x"}; }, "longer than its descriptor"},
        BodyCase{"longer_without_length",
                 [](const std::string& b) {
                   Reply reply{200, {}, b + std::string(100000, 'x')};
                   reply.no_length = true;
                   return reply;
                 },
                 "longer than its descriptor"},
        BodyCase{"shorter", [](const std::string& b) { return Reply{200, {}, b.substr(0, b.size() - 1)}; },
                 "end of data"},
        BodyCase{"shorter_without_length",
                 [](const std::string& b) {
                   Reply reply{200, {}, b.substr(1)};
                   reply.no_length = true;
                   return reply;
                 },
                 "end of data"},
        BodyCase{"length_promises_more",
                 [](const std::string& b) {
                   Reply reply{200, {}, b};
                   reply.announced_length = std::uint64_t{1} << 40U;
                   return reply;
                 },
                 "longer than its descriptor"},
        BodyCase{"empty", [](const std::string&) { return Reply{200, {}, ""}; }, "end of data"},
        BodyCase{"other", [](const std::string& b) { return Reply{200, {}, std::string(b.size(), 'x')}; },
                 "filesystem layer verification failed"},
        BodyCase{"wrong_range", [](const std::string& b) { return Reply{206, {{"Content-Range", "bytes 5-9/10"}}, b}; },
                 "another range"},
        BodyCase{"gone", [](const std::string&) { return Reply{500, {}, ""}; }, "unexpected status 500"}),
    [](const auto& one) { return std::string(one.param.name); });

TEST_F(HostileRegistryTest, ALayerWithAnotherDiffIdIsRefused) {
  FakeRegistry registry;
  TestImage liar = image;
  liar.layers[0] = make_tar({{"evil", "1"}});
  registry.put_image("app", "1", liar, gzip);
  EXPECT_THROW_ERROR(pull(registry.reference("app:1")), ErrorKind::invalid_argument, "wrong content");
}

TEST_F(HostileRegistryTest, LayerCountAndConfigMustAgree) {
  FakeRegistry registry;
  TestImage more = image;
  more.layers.push_back(make_tar({{"b", "2"}}));
  registry.put_image("app", "1", more, gzip);
  EXPECT_THROW_ERROR(pull(registry.reference("app:1")), ErrorKind::internal,
                     "layers from manifest don't match image configuration");
}

TEST_F(HostileRegistryTest, AManifestMustBeItsDigest) {
  FakeRegistry registry;
  registry.put_image("app", "1", image, gzip);
  const Digest other = sha256_of("other");
  registry.documents["/v2/app/manifests/" + other.text()] = registry.documents["/v2/app/manifests/1"];
  registry.documents["/v2/app/manifests/" + other.text()].headers.pop_back();
  EXPECT_THROW_ERROR(pull(registry.reference("app@" + other.text())), ErrorKind::internal,
                     "manifest verification failed");
  Reply liar = registry.documents["/v2/app/manifests/1"];
  liar.headers = {{"Content-Type", std::string(media_type::oci_manifest)}, {"Docker-Content-Digest", other.text()}};
  registry.documents["/v2/app/manifests/1"] = liar;
  EXPECT_THROW_ERROR(pull(registry.reference("app:1")), ErrorKind::internal, "does not match the digest");
}

TEST_F(HostileRegistryTest, TheSameBytesAreNotManifestAndIndex) {
  FakeRegistry registry;
  const Digest digest = registry.put_image("app", "1", image, gzip);
  json::object manifest = parse_json(registry.documents["/v2/app/manifests/1"].body).get_object();
  manifest["manifests"] =
      json::array{json::object{{"mediaType", media_type::oci_manifest}, {"digest", digest.text()}, {"size", 1}}};
  manifest.erase("mediaType");
  for (const std::string_view type : {media_type::oci_manifest, media_type::oci_index}) {
    registry.put_manifest("app", "both", write_json(manifest), type);
    EXPECT_THROW_ERROR(pull(registry.reference("app:both")), ErrorKind::invalid_argument,
                       "both a manifest and an index");
  }
  registry.documents["/v2/app/manifests/1"].headers[0].second = media_type::oci_index;
  EXPECT_THROW_ERROR(pull(registry.reference("app:1")), ErrorKind::invalid_argument, "differs");
}

TEST_F(HostileRegistryTest, AnIndexOfItselfEnds) {
  FakeRegistry registry;
  registry.hook = [&](const Request& request) -> std::optional<Reply> {
    if (request.path().find("/manifests/") == std::string::npos) return std::nullopt;
    const json::object index{
        {"schemaVersion", 2},
        {"mediaType", media_type::oci_index},
        {"manifests", json::array{json::object{
                          {"mediaType", media_type::oci_index}, {"digest", sha256_of("x").text()}, {"size", 1}}}}};
    return Reply{200, {{"Content-Type", std::string(media_type::oci_index)}}, write_json(index)};
  };
  EXPECT_THROW(pull(registry.reference("app:1")), Error);
}

TEST_F(HostileRegistryTest, HugeDocumentsAreCut) {
  FakeRegistry registry;
  registry.put_image("app", "1", image, gzip);
  registry.documents["/v2/app/manifests/1"].body = std::string(5U << 20U, ' ');
  EXPECT_THROW_ERROR(pull(registry.reference("app:1")), ErrorKind::too_large, "too large");
  registry.hook = [&](const Request& request) -> std::optional<Reply> {
    if (request.path() == "/token") return Reply{200, {}, std::string(2U << 20U, 'x')};
    return unauthorized(concat("Bearer realm=\"", registry.server().origin(), "/token\""));
  };
  EXPECT_THROW_ERROR(pull(registry.reference("app:1")), ErrorKind::too_large, "too large");
  registry.hook = [](const Request&) {
    Reply reply;
    for (int i = 0; i < 2000; ++i) reply.headers.emplace_back(concat("X-", i), std::string(100, 'x'));
    return reply;
  };
  EXPECT_THROW_ERROR(pull(registry.reference("app:1")), ErrorKind::internal, "headers are too large");
}

TEST_F(HostileRegistryTest, EndlessTagPagesEnd) {
  FakeRegistry registry;
  registry.hook = [](const Request& request) -> std::optional<Reply> {
    if (request.path() != "/v2/app/tags/list") return std::nullopt;
    return Reply{200, {{"Link", "</v2/app/tags/list?last=x>; rel=\"next\""}}, R"({"name":"app","tags":["a"]})"};
  };
  Puller puller(*images, options);
  EXPECT_THROW_ERROR(
      puller.pull({.reference = Reference::parse(registry.reference("app")), .all_tags = true}, lines.sink()),
      ErrorKind::internal, "too many pages");
}

TEST_F(HostileRegistryTest, TagPagesStayAtTheirOrigin) {
  HttpServer other([](const Request&) { return Reply{}; });
  FakeRegistry registry;
  registry.hook = [&](const Request& request) -> std::optional<Reply> {
    if (request.path() != "/v2/app/tags/list") return std::nullopt;
    return Reply{200, {{"Link", "<" + other.origin() + "/x>; rel=\"next\""}}, R"({"tags":[]})"};
  };
  Puller puller(*images, options);
  EXPECT_THROW_ERROR(
      puller.pull({.reference = Reference::parse(registry.reference("app")), .all_tags = true}, lines.sink()),
      ErrorKind::internal, "at another place");
  EXPECT_TRUE(other.requests().empty());
}

TEST_F(HostileRegistryTest, ABombIsStopped) {
  FakeRegistry registry;
  std::string zeros = make_tar({{"zeros", std::string(std::size_t{80} << 20, '\0')}});
  const TestImage bomb = make_image({std::move(zeros)});
  registry.put_image("app", "1", bomb, gzip);
  EXPECT_THROW_ERROR(pull(registry.reference("app:1")), ErrorKind::too_large, "expands more than 200 times");
}

TEST_F(HostileRegistryTest, AHostileTarIsRefused) {
  FakeRegistry registry;
  registry.put_image("app", "1", make_image({make_tar({{"../../escape", "1"}})}), gzip);
  EXPECT_THROW(pull(registry.reference("app:1")), Error);
}

TEST_F(HostileRegistryTest, SecretsAreInNoErrorAndNoLine) {
  FakeRegistry registry;
  registry.put_image("app", "1", image, gzip);
  registry.hook = [&](const Request& request) -> std::optional<Reply> {
    if (request.header("authorization").empty()) return unauthorized("Basic realm=\"x\"");
    if (request.path().ends_with(blob_path(blob)))
      return Reply{302, {{"Location", "http://127.0.0.1:1/x?sig=" + secret}}, ""};
    return std::nullopt;
  };
  try {
    pull(registry.reference("app:1"), true);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(error.message().find(secret), std::string::npos) << error.message();
  }
  for (const std::string& line : lines.texts()) EXPECT_EQ(line.find(secret), std::string::npos);
}

TEST_F(HostileRegistryTest, AStalledTransferIsCut) {
  std::latch over(1);  // outlives the threads of the registry, which wait for it
  FakeRegistry registry;
  registry.put_image("app", "1", image, gzip);
  options.stall_timeout = std::chrono::seconds(1);
  Reply stalled{200, {}, blob};
  stalled.cut_after = 3;
  stalled.at_cut = [&] { over.wait(); };
  replace_blob(registry, blob, std::move(stalled));
  EXPECT_THROW_ERROR(pull(registry.reference("app:1")), ErrorKind::internal, "transfer stalled");
  over.count_down();
}

TEST_F(HostileRegistryTest, AStopEndsAStalledTransfer) {
  std::latch over(1);
  std::stop_source stop;
  FakeRegistry registry;
  registry.put_image("app", "1", image, gzip);
  Reply stalled{200, {}, blob};
  stalled.cut_after = 3;
  stalled.at_cut = [&] {
    stop.request_stop();
    over.wait();
  };
  replace_blob(registry, blob, std::move(stalled));
  Puller puller(*images, options);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_THROW_ERROR(
      puller.pull({.reference = Reference::parse(registry.reference("app:1"))}, lines.sink(), stop.get_token()),
      ErrorKind::unavailable, "pull was cancelled");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  over.count_down();
}

TEST(HttpSession, InternalAddressesAreRefusedUnlessConfigured) {
  HttpServer server([](const Request&) { return Reply{200, {}, "x"}; });
  HttpOptions options;
  HttpSession trusting(options);
  EXPECT_EQ(trusting.fetch({.url = server.origin()}, 10, {}).status, 200);
  options.may_be_internal = [](const std::string&) { return false; };
  for (const char* host : {"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]", "2130706433", "0x7f.1", "0", "[::]",
                           "169.254.169.254", "[fe80::1]"}) {
    HttpSession session(options);
    EXPECT_THROW_ERROR(session.fetch({.url = concat("http://", host, ":", server.port(), "/")}, 10, {}),
                       ErrorKind::internal, "is internal to this machine: refused");
  }
  EXPECT_EQ(server.requests().size(), 1U);
}

TEST_F(HostileRegistryTest, SchemaOneIsRefusedInWords) {
  FakeRegistry registry;
  registry.put_manifest("app", "1", R"({"schemaVersion":1,"name":"app","tag":"1","fsLayers":[],"history":[]})",
                        media_type::docker_schema1_signed);
  EXPECT_THROW_ERROR(pull(registry.reference("app:1")), ErrorKind::invalid_argument, "schema 1 is not supported");
}

}  // namespace
}  // namespace mydocker::image
