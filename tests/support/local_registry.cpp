#include "tests/support/local_registry.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <thread>

#include "engine/base/digest.h"
#include "engine/base/sys.h"
#include "tests/support/patience.h"

namespace mydocker::test {
namespace {

constexpr const char* manifest_type = "application/vnd.docker.distribution.manifest.v2+json";

bool listens() {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(5000);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

}  // namespace

LocalRegistry::LocalRegistry(std::string directory) : storage_(std::move(directory)) {
  make_dirs(storage_);
  const std::string config = storage_ + ".yml";
  put(config, concat("version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: ", storage_,
                     "\nhttp:\n  addr: ", address, "\nlog:\n  level: error\n"));
  process_.emplace(std::vector<std::string>{"docker-registry", "serve", config});
  const auto deadline = std::chrono::steady_clock::now() + patient(std::chrono::seconds(20));
  while (!listens()) {
    if (std::chrono::steady_clock::now() > deadline) {
      throw Error(ErrorKind::internal, concat("docker-registry does not listen: ", process_->err()));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

void LocalRegistry::put(const std::string& path, std::string_view content) {
  make_dirs(path.substr(0, path.rfind('/')));
  write_all(open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0644).get(), content);
}

std::string LocalRegistry::blob_path(const std::string& digest) const {
  const std::string hex = digest.substr(7);
  return storage_ + "/docker/registry/v2/blobs/sha256/" + hex.substr(0, 2) + "/" + hex + "/data";
}

json::object LocalRegistry::put_blob(const std::string& repository, const std::string& bytes, const std::string& type) {
  const std::string digest = sha256_of(bytes).text();
  put(blob_path(digest), bytes);
  put(storage_ + "/docker/registry/v2/repositories/" + repository + "/_layers/sha256/" + digest.substr(7) + "/link",
      digest);
  return {{"mediaType", type}, {"size", bytes.size()}, {"digest", digest}};
}

std::string LocalRegistry::publish(const ImageSpec& image, const std::string& repository, const std::string& tag,
                                   bool compressed) {
  const BuiltImage built = build_image(image);
  json::array layers;
  for (const std::string& layer : image.layers) {
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

}  // namespace mydocker::test
