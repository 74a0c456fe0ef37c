#include "tests/unit/image/local_registry.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "engine/base/sys.h"

namespace mydocker::image::test {

namespace {

struct Answer {
  int status = 0;
  std::string head;
};

Answer send_request(int port, const std::string& method, const std::string& target, const std::string& type,
                    std::string_view body) {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) throw sys_error("connect");
  write_all(socket.get(), concat(method, " ", target, " HTTP/1.1\r\nHost: 127.0.0.1:", port, "\r\nContent-Type: ", type,
                                 "\r\nContent-Length: ", body.size(), "\r\nConnection: close\r\n\r\n"));
  write_all(socket.get(), body);
  const std::string text = read_all(socket.get(), std::size_t{1} << 20, "registry");
  Answer out{std::stoi(text.substr(9, 3)), text.substr(0, text.find("\r\n\r\n") + 2)};
  if (out.status >= 300) throw Error(ErrorKind::internal, text);
  return out;
}

}  // namespace

LocalRegistry::LocalRegistry() {
  root_.write("config.yml", concat("version: 0.1\nlog:\n  level: info\nstorage:\n  filesystem:\n    rootdirectory: ",
                                   root_.path("data"), "\n  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:0\n"));
  Pipe pipe = make_pipe();
  SpawnOptions options;
  options.program = mydocker::test::find_program("docker-registry");
  options.arguments = {"docker-registry", "serve", root_.path("config.yml")};
  options.environment = {"PATH=/usr/bin:/bin"};
  options.fds = {{pipe.write.get(), 1}, {pipe.write.get(), 2}};
  process_ = Process::spawn(options);
  pipe.write.reset();
  log_ = std::move(pipe.read);
  static constexpr std::string_view announcement = "listening on 127.0.0.1:";
  std::string text;
  std::string chunk(4096, '\0');
  for (std::size_t at = std::string::npos;;) {
    at = text.find(announcement);
    if (at != std::string::npos && text.find_first_of("\"\n ", at + announcement.size()) != std::string::npos) {
      port_ = std::stoi(text.substr(at + announcement.size()));
      break;
    }
    const ssize_t got = retry_on_eintr([&] { return ::read(log_.get(), chunk.data(), chunk.size()); });
    if (got <= 0) throw Error(ErrorKind::internal, "docker-registry ended: " + text);
    text.append(chunk, 0, static_cast<std::size_t>(got));
  }
}

void LocalRegistry::push_blob(const std::string& name, const std::string& bytes) {
  const Answer begun = send_request(port_, "POST", concat("/v2/", name, "/blobs/uploads/"), "application/json", "");
  const std::size_t at = begun.head.find("Location: ") + 10;
  std::string location = begun.head.substr(at, begun.head.find("\r\n", at) - at);
  location = location.substr(location.find("/v2/"));
  send_request(
      port_, "PUT",
      concat(location, location.find('?') == std::string::npos ? "?" : "&", "digest=", sha256_of(bytes).text()),
      "application/octet-stream", bytes);
}

Digest LocalRegistry::push_manifest(const std::string& name, const std::string& tag, const std::string& bytes,
                                    std::string_view type) {
  const Digest digest = sha256_of(bytes);
  send_request(port_, "PUT", concat("/v2/", name, "/manifests/", tag.empty() ? digest.text() : tag), std::string(type),
               bytes);
  return digest;
}

Digest LocalRegistry::push_image(const std::string& name, const std::string& tag, const TestImage& image,
                                 const FakeRegistry::Compress& compress) {
  std::vector<std::string> blobs;
  for (const std::string& layer : image.layers) {
    blobs.push_back(compress(layer));
    push_blob(name, blobs.back());
  }
  push_blob(name, image.config);
  return push_manifest(name, tag, make_manifest_json(image, blobs), media_type::oci_manifest);
}

std::string LocalRegistry::blob_file(const Digest& digest) const {
  return concat(root_.path("data"), "/docker/registry/v2/blobs/sha256/", digest.hex().substr(0, 2), "/", digest.hex(),
                "/data");
}

}  // namespace mydocker::image::test
