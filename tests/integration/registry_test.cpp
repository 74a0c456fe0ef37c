// Pulls from Debian's docker-registry on loopback: the blobs are put into its storage as files.

#include "engine/base/digest.h"
#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"
#include "tests/support/local_registry.h"

namespace mydocker::test {
namespace {

class RegistryTest : public DaemonTest {
 protected:
  void SetUp() override {
    REQUIRE_PROGRAM("docker-registry");
    DaemonTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    registry_.emplace(scratch("registry"));
    image_ = {.name = "",
              .layers = {base_layer(), TarBuilder().file("second", "2\n").finish(),
                         TarBuilder().file("third", "3\n").finish()},
              .config = {{"Cmd", json::array{"/payload", "pause"}}}};
  }

  void TearDown() override {
    registry_.reset();
    DaemonTest::TearDown();
  }

  std::string publish(const std::string& repository, const std::string& tag, bool compressed = true) {
    return registry_->publish(image_, repository, tag, compressed);
  }
  Response pull(const std::string& name, const std::string& tag) {
    return client().request("POST", "/images/create?fromImage=" + url_encode(name) + "&tag=" + tag, "", {},
                            std::chrono::minutes(2));
  }

  ImageSpec image_;
  std::optional<LocalRegistry> registry_;
};

TEST_F(RegistryTest, AThreeLayerImageIsPulledRunAndRemoved) {
  const std::string digest = publish("team/app", "v1");
  const Response pulled = pull("127.0.0.1:5000/team/app", "v1");
  ASSERT_EQ(pulled.status, 200) << pulled.body;
  EXPECT_EQ(pulled.body.find("errorDetail"), std::string::npos) << pulled.body;
  for (const char* line : {"Pulling from team/app", "Pulling fs layer", "Pull complete",
                           "Digest: sha256:", "Status: Downloaded newer image for 127.0.0.1:5000/team/app:v1"}) {
    EXPECT_NE(pulled.body.find(line), std::string::npos) << line << "\n" << pulled.body;
  }
  EXPECT_NE(pulled.body.find(digest), std::string::npos);
  const json::value image = client().get("/images/127.0.0.1:5000/team/app:v1/json").json();
  EXPECT_EQ(text(at(image, "Id")), build_image(image_).id);
  EXPECT_EQ(text(at(image, "RepoDigests.0")), "127.0.0.1:5000/team/app@" + digest);

  EXPECT_EQ(run_to_end({.image = "127.0.0.1:5000/team/app:v1", .command = {"cat", "/second", "/third"}}).out, "2\n3\n");

  const Response again = pull("127.0.0.1:5000/team/app", "v1");
  EXPECT_NE(again.body.find("Image is up to date"), std::string::npos) << again.body;
  EXPECT_EQ(pull("127.0.0.1:5000/team/app", digest).status, 200);

  EXPECT_EQ(client().remove("/images/127.0.0.1:5000/team/app:v1").status, 200);
  EXPECT_EQ(client().get("/images/127.0.0.1:5000/team/app:v1/json").status, 404);
}

TEST_F(RegistryTest, ACorruptedBlobIsRefusedAndNothingStays) {
  publish("team/bad", "v1");
  const std::string last = registry_->blob_path(sha256_of(gzip(image_.layers[1])).text());
  std::string bytes = read_file(last);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 0x20);
  LocalRegistry::put(last, bytes);
  const Response pulled = pull("127.0.0.1:5000/team/bad", "v1");
  EXPECT_TRUE(pulled.status >= 400 || pulled.body.find("errorDetail") != std::string::npos) << pulled.body;
  EXPECT_EQ(client().get("/images/127.0.0.1:5000/team/bad:v1/json").status, 404);
}

TEST_F(RegistryTest, UncompressedLayersAreAccepted) {
  publish("team/plain", "v1", false);
  const Response pulled = pull("127.0.0.1:5000/team/plain", "v1");
  EXPECT_EQ(pulled.body.find("errorDetail"), std::string::npos) << pulled.body;
  EXPECT_EQ(run_to_end({.image = "127.0.0.1:5000/team/plain:v1", .command = {"cat", "/third"}}).out, "3\n");
  client().remove("/images/127.0.0.1:5000/team/plain:v1");
}

TEST_F(RegistryTest, AMissingTagIs404) {
  publish("team/app", "v1");
  const Response response = pull("127.0.0.1:5000/team/app", "nope");
  EXPECT_EQ(response.status, 404) << response.body;
  EXPECT_NE(response.message().find("manifest for 127.0.0.1:5000/team/app:nope not found"), std::string::npos)
      << response.body;
}

TEST_F(RegistryTest, ALayerThatIsThereIsNotFetchedAgain) {
  publish("team/app", "v1");
  ASSERT_EQ(pull("127.0.0.1:5000/team/app", "v1").status, 200);
  image_.layers.push_back(TarBuilder().file("fourth", "4\n").finish());
  publish("team/app", "v2");
  const Response pulled = pull("127.0.0.1:5000/team/app", "v2");
  EXPECT_NE(pulled.body.find("Already exists"), std::string::npos) << pulled.body;
  EXPECT_EQ(run_to_end({.image = "127.0.0.1:5000/team/app:v2", .command = {"cat", "/fourth"}}).out, "4\n");
  client().remove("/images/127.0.0.1:5000/team/app:v1");
  client().remove("/images/127.0.0.1:5000/team/app:v2");
}

}  // namespace
}  // namespace mydocker::test
