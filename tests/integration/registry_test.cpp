// Pulls from Debian's docker-registry on loopback: the blobs are put into its storage as files.

#include <fcntl.h>

#include "engine/base/digest.h"
#include "engine/base/sys.h"
#include "tests/support/daemon_test.h"

namespace mydocker::test {
namespace {

constexpr const char* manifest_type = "application/vnd.docker.distribution.manifest.v2+json";

/// A registry whose storage the test writes itself.
class RegistryTest : public DaemonTest {
 protected:
  void SetUp() override {
    REQUIRE_PROGRAM("docker-registry");
    DaemonTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    storage_ = scratch("registry");
    make_dirs(storage_);
    const std::string config = scratch("registry.yml");
    put(config, concat("version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: ", storage_,
                       "\nhttp:\n  addr: 127.0.0.1:5000\nlog:\n  level: error\n"));
    registry_.emplace(std::vector<std::string>{"docker-registry", "serve", config});
    ASSERT_TRUE(eventually([] {
      return run_command({payload_program(), "connect", "127.0.0.1", "5000"},
                         {.timeout = std::chrono::milliseconds(100)})
                 .err.find("refused") == std::string::npos;
    })) << registry_->err();
    image_ = {.name = "",
              .layers = {base_layer(), TarBuilder().file("second", "2\n").finish(),
                         TarBuilder().file("third", "3\n").finish()},
              .config = {{"Cmd", json::array{"/payload", "pause"}}}};
  }

  void TearDown() override {
    registry_.reset();
    DaemonTest::TearDown();
  }

  static void put(const std::string& path, std::string_view content) {
    make_dirs(path.substr(0, path.rfind('/')));
    write_all(open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0644).get(), content);
  }
  std::string blob_path(const std::string& digest) {
    const std::string hex = digest.substr(7);
    return storage_ + "/docker/registry/v2/blobs/sha256/" + hex.substr(0, 2) + "/" + hex + "/data";
  }
  json::object put_blob(const std::string& repository, const std::string& bytes, const std::string& type) {
    const std::string digest = sha256_of(bytes).text();
    put(blob_path(digest), bytes);
    put(storage_ + "/docker/registry/v2/repositories/" + repository + "/_layers/sha256/" + digest.substr(7) + "/link",
        digest);
    return {{"mediaType", type}, {"size", bytes.size()}, {"digest", digest}};
  }
  /// Writes the image under repository:tag; gives the manifest's digest.
  std::string publish(const std::string& repository, const std::string& tag, bool compressed = true) {
    const BuiltImage built = build_image(image_);
    json::array layers;
    for (const std::string& layer : image_.layers) {
      layers.push_back(put_blob(
          repository, compressed ? gzip(layer) : layer,
          compressed ? "application/vnd.docker.image.rootfs.diff.tar.gzip" : "application/vnd.oci.image.layer.v1.tar"));
    }
    const std::string manifest = write_json(
        json::object{{"schemaVersion", 2},
                     {"mediaType", manifest_type},
                     {"config", put_blob(repository, built.config, "application/vnd.docker.container.image.v1+json")},
                     {"layers", layers}});
    const std::string digest = sha256_of(manifest).text();
    put(blob_path(digest), manifest);
    const std::string base = storage_ + "/docker/registry/v2/repositories/" + repository + "/_manifests";
    put(base + "/revisions/sha256/" + digest.substr(7) + "/link", digest);
    put(base + "/tags/" + tag + "/current/link", digest);
    put(base + "/tags/" + tag + "/index/sha256/" + digest.substr(7) + "/link", digest);
    return digest;
  }
  Response pull(const std::string& name, const std::string& tag) {
    return client().request("POST", "/images/create?fromImage=" + url_encode(name) + "&tag=" + tag, "", {},
                            std::chrono::minutes(2));
  }

  ImageSpec image_;
  std::string storage_;
  std::optional<RunningCommand> registry_;
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
  const std::string last = blob_path(sha256_of(gzip(image_.layers[1])).text());
  std::string bytes = read_file(last);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 0x20);
  put(last, bytes);
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
