#include "image/pull.h"

#include <fcntl.h>

#include <future>
#include <latch>

#include "engine/base/sys.h"
#include "tests/unit/image/fake_registry.h"
#include "tests/unit/image/image_fixture.h"
#include "tests/unit/image/local_registry.h"

namespace mydocker::image {
namespace {

using test::FakeRegistry;
using test::gzip;
using test::LocalRegistry;
using test::make_image;
using test::make_tar;
using test::Reply;
using test::Request;
using test::TestImage;
using test::zstd;

std::string plain(std::string_view data) { return std::string(data); }

class PullTest : public test::StoreFixture {
 protected:
  void SetUp() override {
    StoreFixture::SetUp();
    if (IsSkipped()) return;
    options.retry_delay = std::chrono::milliseconds(1);
    options.tmp_dir = paths.tmp();
    options.bundled_image = MYDOCKER_BUNDLED_IMAGE;
    options.certs_dir = "";
  }
  PullResult pull(const std::string& name, const std::string& platform = "", std::stop_token stop = {}) {
    Puller puller(*images, options);
    return puller.pull({.reference = Reference::parse(name), .platform = platform}, lines.sink(), std::move(stop));
  }

  PullerOptions options;
  test::Lines lines;
};

class RealRegistryTest : public PullTest {
 protected:
  void SetUp() override {
    REQUIRE_PROGRAM("docker-registry");
    PullTest::SetUp();
    if (!IsSkipped()) registry = std::make_unique<LocalRegistry>();
  }
  std::unique_ptr<LocalRegistry> registry;
};

TEST_F(RealRegistryTest, AThreeLayerImageComesWithItsDigestsAndProgress) {
  const TestImage image = test::three_layer_image();
  const Digest digest = registry->push_image("t/app", "1", image, gzip);
  const PullResult result = pull(registry->reference("t/app:1"));
  EXPECT_EQ(result.image_id, image.id());
  EXPECT_EQ(result.manifest_digest, digest);
  EXPECT_FALSE(result.up_to_date);
  const Image stored = images->get(registry->reference("t/app:1"));
  EXPECT_EQ(stored.repo_digests, (std::vector<std::string>{registry->reference("t/app@" + digest.text())}));
  EXPECT_EQ(layers->stack(stored.chain_id).size(), 3U);
  EXPECT_TRUE(read_layer(stored.chain_id) == image.layers[2]);
  EXPECT_EQ(lines.texts().front(), "1: Pulling from t/app");
  for (const char* status :
       {"Pulling fs layer", "Verifying Checksum", "Download complete", "Extracting", "Pull complete"}) {
    EXPECT_EQ(lines.count(status), 3U) << status;
  }
  EXPECT_GE(lines.count("Downloading"), 3U);
  EXPECT_TRUE(lines.contains("Digest: " + digest.text()));
  EXPECT_EQ(lines.texts().back(), "Status: Downloaded newer image for " + registry->reference("t/app:1"));
  for (const ProgressMessage& message : lines.all()) {
    if (message.id.size() == 12) EXPECT_TRUE(message.detail) << message.status;
  }
}

TEST_F(RealRegistryTest, PullingAgainIsUpToDate) {
  registry->push_image("app", "latest", test::three_layer_image(), gzip);
  pull(registry->reference("app"));
  EXPECT_TRUE(pull(registry->reference("app")).up_to_date);
  EXPECT_EQ(lines.texts().back(), "Status: Image is up to date for " + registry->reference("app:latest"));
  EXPECT_EQ(lines.count("Pull complete"), 3U);
}

TEST_F(RealRegistryTest, EveryCompressionGivesTheSameImage) {
  const TestImage image = test::three_layer_image();
  registry->push_image("app", "gzip", image, gzip);
  registry->push_image("app", "zstd", image, zstd);
  registry->push_image("app", "plain", image, plain);
  registry->push_image("app", "members", image,
                       [](std::string_view data) { return gzip(data.substr(0, 700)) + gzip(data.substr(700)); });
  for (const char* tag : {"gzip", "zstd", "plain", "members"}) {
    EXPECT_EQ(pull(registry->reference(concat("app:", tag))).image_id, image.id()) << tag;
    images->remove(image.id().text(), {.force = true}, {});
    EXPECT_EQ(leftovers(), "") << tag;
  }
}

TEST_F(RealRegistryTest, OfAnIndexTheRightPlatformIsTaken) {
  const TestImage amd = make_image({make_tar({{"a", "1"}})}, {}, host_architecture());
  const TestImage arm = make_image({make_tar({{"a", "2"}})}, {}, "s390x");
  json::array manifests;
  for (const auto& [image, architecture] :
       {std::pair(&amd, std::string(host_architecture())), std::pair(&arm, std::string("s390x"))}) {
    const Digest digest = registry->push_image("multi", "", *image, gzip);
    const std::string bytes = make_manifest_json(*image, {gzip(image->layers[0])});
    manifests.push_back(json::object{{"mediaType", media_type::oci_manifest},
                                     {"digest", digest.text()},
                                     {"size", bytes.size()},
                                     {"platform", json::object{{"os", "linux"}, {"architecture", architecture}}}});
  }
  const Digest index = registry->push_manifest(
      "multi", "latest",
      write_json(json::object{{"schemaVersion", 2}, {"mediaType", media_type::oci_index}, {"manifests", manifests}}),
      media_type::oci_index);
  const PullResult result = pull(registry->reference("multi"));
  EXPECT_EQ(result.image_id, amd.id());
  EXPECT_EQ(result.manifest_digest, index);
  EXPECT_EQ(images->get(registry->reference("multi")).repo_digests,
            (std::vector<std::string>{registry->reference("multi@" + index.text())}));
  EXPECT_EQ(pull(registry->reference("multi"), "linux/s390x").image_id, arm.id());
  EXPECT_THROW_ERROR(pull(registry->reference("multi"), "linux/arm/v7"), ErrorKind::not_found,
                     "no matching manifest for linux/arm/v7 in the manifest list entries");
}

TEST_F(RealRegistryTest, ByDigestOnlyTheDigestIsRecorded) {
  const Digest digest = registry->push_image("app", "1", test::three_layer_image(), gzip);
  pull(registry->reference("app@" + digest.text()));
  const Image image = images->get(registry->reference("app@" + digest.text()));
  EXPECT_TRUE(image.repo_tags.empty());
  EXPECT_EQ(image.repo_digests.size(), 1U);
}

TEST_F(RealRegistryTest, AllTagsComeWhenAsked) {
  registry->push_image("app", "1", make_image({make_tar({{"a", "1"}})}), gzip);
  registry->push_image("app", "2", make_image({make_tar({{"a", "2"}})}), gzip);
  Puller puller(*images, options);
  puller.pull({.reference = Reference::parse(registry->reference("app")), .all_tags = true}, lines.sink());
  EXPECT_TRUE(images->find(registry->reference("app:1")));
  EXPECT_TRUE(images->find(registry->reference("app:2")));
}

TEST_F(RealRegistryTest, ACorruptedBlobIsRefusedAndLeavesNothing) {
  const TestImage image = test::three_layer_image();
  registry->push_image("app", "1", image, gzip);
  const std::string blob = gzip(image.layers[1]);
  std::string corrupt = blob;
  corrupt[corrupt.size() / 2] = static_cast<char>(corrupt[corrupt.size() / 2] ^ 0x40);
  write_all(open_file(registry->blob_file(sha256_of(blob)), O_WRONLY | O_TRUNC).get(), corrupt);
  EXPECT_THROW_ERROR(pull(registry->reference("app:1")), ErrorKind::internal,
                     "filesystem layer verification failed for digest " + sha256_of(blob).text());
  EXPECT_EQ(leftovers(), "");
}

TEST_F(RealRegistryTest, UnknownImagesSayWhatIsMissing) {
  registry->push_image("app", "1", test::three_layer_image(), gzip);
  EXPECT_THROW_ERROR(pull(registry->reference("app:2")), ErrorKind::not_found,
                     "manifest for " + registry->reference("app:2") + " not found: manifest unknown: manifest unknown");
  EXPECT_THROW_ERROR(pull(registry->reference("nothing")), ErrorKind::not_found, "not found: ");
  EXPECT_TRUE(lines.all().empty());  // the HTTP status is still free
}

TEST_F(RealRegistryTest, WhatSkopeoPushesIsPulled) {
  REQUIRE_PROGRAM("skopeo");
  const mydocker::test::TempTree work;
  work.write("image.tar", test::make_docker_archive(test::three_layer_image(), {"x:1"}));
  test::run({"skopeo", "--insecure-policy", "--tmpdir", work.path(), "copy", "--dest-tls-verify=false",
             "docker-archive:" + work.path("image.tar"), "docker://" + registry->reference("x:1")});
  pull(registry->reference("x:1"));
  EXPECT_EQ(images->get(registry->reference("x:1")).diff_ids.size(), 3U);
}

TEST_F(PullTest, TheBundledImageNeedsNoRegistry) {
  if (!path_exists(options.bundled_image)) GTEST_SKIP() << "needs busybox-static when built";
  const PullResult result = pull("busybox:bundled");
  EXPECT_FALSE(result.up_to_date);
  EXPECT_EQ(images->get("busybox:bundled").config().cmd, (std::vector<std::string>{"sh"}));
  EXPECT_EQ(lines.texts().front(), "bundled: Pulling from library/busybox");
  EXPECT_EQ(lines.count("Pull complete"), 1U);
  EXPECT_EQ(lines.texts().back(), "Status: Downloaded newer image for busybox:bundled");
  EXPECT_TRUE(images->get("busybox:bundled").repo_digests.empty());
  EXPECT_TRUE(pull("docker.io/library/busybox:bundled").up_to_date);
  EXPECT_EQ(lines.texts().back(), "Status: Image is up to date for busybox:bundled");
}

TEST_F(PullTest, WithoutTheBundledFileItIsNotFound) {
  options.bundled_image = root.path("nothing");
  EXPECT_THROW_ERROR(pull("busybox:bundled"), ErrorKind::not_found, "is not installed");
}

TEST_F(PullTest, AnUnreachableRegistryIsNamedWithItsCause) {
  std::string host;
  {
    const test::HttpServer gone([](const Request&) { return Reply{}; });
    host = gone.host();
  }
  EXPECT_THROW_ERROR(pull(host + "/x"), ErrorKind::internal,
                     concat("Get \"http://", host, "/v2/\": dial tcp ", host, ": connect: connection refused"));
  EXPECT_TRUE(lines.all().empty());
}

TEST_F(PullTest, ACutTransferGoesOnWhereItWas) {
  FakeRegistry registry;
  const TestImage image = make_image({make_tar({{"a", std::string(3000000, 'x')}})});
  registry.put_image("app", "1", image, plain);
  const std::string path = concat("/v2/app/blobs/", sha256_of(image.layers[0]).text());
  std::atomic<int> cuts = 0;
  registry.hook = [&](const Request& request) -> std::optional<Reply> {
    if (request.path() != path || cuts >= 3) return std::nullopt;
    ++cuts;
    const std::string range = request.header("range");
    const std::size_t begin = range.empty() ? 0 : std::stoul(range.substr(6));
    Reply reply{range.empty() ? 200 : 206, {}, image.layers[0].substr(begin)};
    if (!range.empty()) reply.headers.emplace_back("Content-Range", concat("bytes ", begin, "-2999999/3000000"));
    reply.cut_after = 500000;
    return reply;
  };
  EXPECT_EQ(pull(registry.reference("app:1")).image_id, image.id());
  EXPECT_EQ(lines.count("Retrying in 1 second"), 3U);
  std::vector<std::string> ranges;
  for (const Request& request : registry.server().requests()) {
    if (request.path() == path) ranges.push_back(request.header("range"));
  }
  EXPECT_EQ(ranges, (std::vector<std::string>{"", "bytes=500000-", "bytes=1000000-", "bytes=1500000-"}));
}

TEST_F(PullTest, AServerThatIgnoresRangesIsReadFromTheStart) {
  FakeRegistry registry;
  const TestImage image = make_image({make_tar({{"a", std::string(3000000, 'x')}})});
  registry.put_image("app", "1", image, plain);
  std::atomic<bool> cut = false;
  registry.hook = [&](const Request& request) -> std::optional<Reply> {
    if (request.path() != concat("/v2/app/blobs/", sha256_of(image.layers[0]).text())) return std::nullopt;
    Reply reply{200, {}, image.layers[0]};
    if (!cut.exchange(true)) reply.cut_after = 1234567;
    return reply;
  };
  EXPECT_EQ(pull(registry.reference("app:1")).image_id, image.id());
}

TEST_F(PullTest, ItGivesUpAfterItsAttempts) {
  FakeRegistry registry;
  const TestImage image = test::three_layer_image();
  registry.put_image("app", "1", image, gzip);
  registry.hook = [&](const Request& request) -> std::optional<Reply> {
    if (request.path().find("/blobs/" + sha256_of(gzip(image.layers[1])).text()) == std::string::npos)
      return std::nullopt;
    return Reply{503, {}, "busy"};
  };
  EXPECT_THROW_ERROR(pull(registry.reference("app:1")), ErrorKind::internal, "unexpected status 503");
  EXPECT_EQ(leftovers(), "");
}

TEST_F(PullTest, AStopEndsItAndLeavesNothing) {
  FakeRegistry registry;
  const TestImage image = test::three_layer_image();
  registry.put_image("app", "1", image, gzip);
  std::stop_source stop;
  registry.hook = [&](const Request& request) -> std::optional<Reply> {
    const auto found = registry.documents.find(request.path());
    if (request.path().find("/blobs/" + sha256_of(gzip(image.layers[2])).text()) == std::string::npos)
      return std::nullopt;
    Reply reply = found->second;
    reply.cut_after = 10;
    reply.at_cut = [&] { stop.request_stop(); };
    return reply;
  };
  EXPECT_THROW_ERROR(pull(registry.reference("app:1"), "", stop.get_token()), ErrorKind::unavailable,
                     "pull was cancelled");
  EXPECT_EQ(leftovers(), "");
}

TEST_F(PullTest, ParallelPullsShareTheDownloadOfALayer) {
  FakeRegistry registry;
  const std::string base = make_tar({{"base", std::string(200000, 'b')}});
  const TestImage one = make_image({base, make_tar({{"a", "1"}})});
  const TestImage two = make_image({base, make_tar({{"a", "2"}})});
  registry.put_image("one", "latest", one, gzip);
  registry.put_image("two", "latest", two, gzip);
  const std::string shared = sha256_of(gzip(base)).text();
  // The shared layer is not answered before both pulls have announced it.
  std::latch both(2);
  std::atomic<int> downloads = 0;
  registry.hook = [&](const Request& request) -> std::optional<Reply> {
    if (!request.path().ends_with(shared)) return std::nullopt;
    ++downloads;
    Reply reply{200, {}, gzip(base)};
    reply.before = [&] { both.wait(); };
    return reply;
  };
  Puller puller(*images, options);
  const auto pull_one = [&](const std::string& name) {
    bool announced = false;
    const ProgressSink sink = [&](const ProgressMessage& message) {
      if (message.status == "Pulling fs layer" && !std::exchange(announced, true)) both.count_down();
    };
    return puller.pull({.reference = Reference::parse(registry.reference(name))}, sink);
  };
  auto first = std::async(std::launch::async, pull_one, "one");
  auto second = std::async(std::launch::async, pull_one, "two");
  EXPECT_EQ(first.get().image_id, one.id());
  EXPECT_EQ(second.get().image_id, two.id());
  EXPECT_LE(downloads.load(), 2);  // the second may come a moment too late to join, but never more often
  EXPECT_EQ(layers->list().size(), 3U);
}

TEST_F(PullTest, ManyParallelPullsOfOneImageAgree) {
  FakeRegistry registry;
  const TestImage image = test::three_layer_image();
  registry.put_image("app", "latest", image, gzip);
  Puller puller(*images, options);
  std::vector<std::future<PullResult>> pulls;
  for (int i = 0; i < 6; ++i) {
    pulls.push_back(std::async(std::launch::async, [&] {
      return puller.pull({.reference = Reference::parse(registry.reference("app"))}, [](const ProgressMessage&) {});
    }));
  }
  for (auto& one : pulls) EXPECT_EQ(one.get().image_id, image.id());
  EXPECT_EQ(layers->list().size(), 3U);
  images->remove(registry.reference("app"), {}, {});
  EXPECT_EQ(leftovers(), "");
}

TEST_F(PullTest, AFailedAddLeavesNothing) {
  // A crash between the layers and the image: the layers' owner is temporary, the next start drops it.
  FakeRegistry registry;
  const TestImage image = test::three_layer_image();
  registry.put_image("app", "1", make_image({image.layers[0]}), gzip);
  pull(registry.reference("app:1"));
  layers->retain(images->get(registry.reference("app:1")).chain_id, "pull:crashed");
  images->remove(registry.reference("app:1"), {}, {});
  EXPECT_NE(leftovers(), "");
  restart();
  EXPECT_EQ(leftovers(), "");
}

}  // namespace
}  // namespace mydocker::image
