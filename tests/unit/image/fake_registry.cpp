#include "tests/unit/image/fake_registry.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "engine/base/sys.h"

namespace mydocker::image::test {

struct HttpServer::TlsContext {
  SSL_CTX* context = SSL_CTX_new(TLS_server_method());

  TlsContext() {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* cert = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -60);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME* name = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("127.0.0.1"), -1, -1,
                               0);
    X509_set_issuer_name(cert, name);
    X509_sign(cert, key, EVP_sha256());
    SSL_CTX_use_certificate(context, cert);
    SSL_CTX_use_PrivateKey(context, key);
    X509_free(cert);
    EVP_PKEY_free(key);
  }
  ~TlsContext() { SSL_CTX_free(context); }
};

namespace {

/// A connection with or without TLS.
class Stream {
 public:
  Stream(int fd, SSL_CTX* context) : fd_(fd) {
    if (context == nullptr) return;
    ssl_ = SSL_new(context);
    SSL_set_fd(ssl_, fd);
    usable_ = SSL_accept(ssl_) == 1;
  }
  ~Stream() {
    if (ssl_ != nullptr) SSL_free(ssl_);
  }
  bool usable() const { return usable_; }
  long read(char* data, std::size_t size) {
    return ssl_ != nullptr ? SSL_read(ssl_, data, static_cast<int>(size)) : ::recv(fd_, data, size, 0);
  }
  bool write(std::string_view data) {
    while (!data.empty()) {
      const long sent = ssl_ != nullptr ? SSL_write(ssl_, data.data(), static_cast<int>(data.size()))
                                        : ::send(fd_, data.data(), data.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      data.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

 private:
  int fd_;
  SSL* ssl_ = nullptr;
  bool usable_ = true;
};

std::string to_lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

std::optional<Request> read_request(Stream& stream, std::string& buffer) {
  std::size_t end = std::string::npos;
  std::string chunk(65536, '\0');
  const auto more = [&] {
    const long got = stream.read(chunk.data(), chunk.size());
    if (got <= 0) return false;
    buffer.append(chunk, 0, static_cast<std::size_t>(got));
    return true;
  };
  while ((end = buffer.find("\r\n\r\n")) == std::string::npos) {
    if (!buffer.empty() && buffer[0] == '\x16') return std::nullopt;  // TLS on a plain port
    if (!more()) return std::nullopt;
  }
  Request out;
  const std::string head = buffer.substr(0, end + 2);
  buffer.erase(0, end + 4);
  std::size_t begin = head.find("\r\n") + 2;
  const std::string line = head.substr(0, begin - 2);
  out.method = line.substr(0, line.find(' '));
  out.target = line.substr(line.find(' ') + 1, line.rfind(' ') - line.find(' ') - 1);
  while (begin < head.size()) {
    const std::size_t stop = head.find("\r\n", begin);
    const std::size_t colon = head.find(':', begin);
    out.headers[to_lower(head.substr(begin, colon - begin))] = head.substr(colon + 2, stop - colon - 2);
    begin = stop + 2;
  }
  const std::string length = out.header("content-length");
  const std::size_t wanted = length.empty() ? 0 : std::stoul(length);
  while (buffer.size() < wanted) {
    if (!more()) return std::nullopt;
  }
  out.body = buffer.substr(0, wanted);
  buffer.erase(0, wanted);
  return out;
}

}  // namespace

HttpServer::HttpServer(Handler handler, Tls tls) : handler_(std::move(handler)) {
  if (tls == Tls::on) tls_ = std::make_shared<TlsContext>();
  listener_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) throw sys_error("bind");
  if (::listen(listener_.get(), 64) != 0) throw sys_error("listen");
  ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  acceptor_ = std::jthread([this] {
    for (;;) {
      const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      const std::scoped_lock lock(mutex_);
      const std::size_t index = connections_.size();
      connections_.push_back(fd);
      threads_.emplace_back([this, fd, index] {
        serve(fd);
        const std::scoped_lock inner(mutex_);
        connections_[index] = -1;
        ::close(fd);
      });
    }
  });
}

HttpServer::~HttpServer() {
  ::shutdown(listener_.get(), SHUT_RDWR);
  acceptor_.join();
  {
    const std::scoped_lock lock(mutex_);
    for (const int fd : connections_) {
      if (fd >= 0) ::shutdown(fd, SHUT_RDWR);
    }
  }
  threads_.clear();
}

void HttpServer::serve(int connection) {
  Stream stream(connection, tls_ ? tls_->context : nullptr);
  std::string buffer;
  while (stream.usable()) {
    const std::optional<Request> request = read_request(stream, buffer);
    if (!request) return;
    {
      const std::scoped_lock lock(mutex_);
      requests_.push_back(*request);
    }
    const Reply reply = handler_(*request);
    if (reply.before) reply.before();
    std::string head = concat("HTTP/1.1 ", reply.status, " X\r\n");
    for (const auto& [name, value] : reply.headers) head += concat(name, ": ", value, "\r\n");
    if (!reply.no_length)
      head += concat("Content-Length: ", reply.announced_length.value_or(reply.body.size()), "\r\n");
    // One write: two would wait for each other (Nagle's algorithm and delayed acknowledgements).
    if (!stream.write(concat(head, "\r\n", std::string_view(reply.body).substr(0, reply.cut_after)))) return;
    if (reply.cut_after != std::string::npos && reply.at_cut) reply.at_cut();
    const bool lies = reply.announced_length && *reply.announced_length != reply.body.size();
    if (reply.no_length || reply.cut_after != std::string::npos || lies) {
      ::shutdown(connection, SHUT_RDWR);
      return;
    }
  }
}

std::vector<Request> HttpServer::requests() const {
  const std::scoped_lock lock(mutex_);
  return requests_;
}

std::string HttpServer::transcript() const {
  std::string out;
  for (const Request& one : requests()) {
    out += concat(one.method, " ", one.target, "\n");
    for (const auto& [name, value] : one.headers) out += concat(name, ": ", value, "\n");
    out += concat(one.body, "\n");
  }
  return out;
}

FakeRegistry::FakeRegistry(HttpServer::Tls tls)
    : server_(std::make_unique<HttpServer>([this](const Request& request) { return answer(request); }, tls)) {}

Reply FakeRegistry::answer(const Request& request) {
  if (hook) {
    if (std::optional<Reply> reply = hook(request)) return *std::move(reply);
  }
  if (request.path() == "/v2/") return {};
  const auto found = documents.find(request.path());
  if (found == documents.end()) {
    return {404, {}, R"({"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]})"};
  }
  Reply reply = found->second;
  const std::string range = request.header("range");
  if (range.starts_with("bytes=")) {
    const std::size_t begin = std::stoul(range.substr(6));
    reply.status = 206;
    reply.headers.emplace_back("Content-Range",
                               concat("bytes ", begin, "-", reply.body.size() - 1, "/", reply.body.size()));
    reply.body = reply.body.substr(begin);
  }
  return reply;
}

Digest FakeRegistry::put_blob(const std::string& name, const std::string& bytes) {
  const Digest digest = sha256_of(bytes);
  documents[concat("/v2/", name, "/blobs/", digest.text())] = {200, {}, bytes};
  return digest;
}

Digest FakeRegistry::put_manifest(const std::string& name, const std::string& tag, const std::string& bytes,
                                  std::string_view type) {
  const Digest digest = sha256_of(bytes);
  const Reply reply{200, {{"Content-Type", std::string(type)}, {"Docker-Content-Digest", digest.text()}}, bytes};
  if (!tag.empty()) documents[concat("/v2/", name, "/manifests/", tag)] = reply;
  documents[concat("/v2/", name, "/manifests/", digest.text())] = reply;
  return digest;
}

Digest FakeRegistry::put_image(const std::string& name, const std::string& tag, const TestImage& image,
                               const Compress& compress) {
  std::vector<std::string> blobs;
  for (const std::string& layer : image.layers) {
    blobs.push_back(compress(layer));
    put_blob(name, blobs.back());
  }
  put_blob(name, image.config);
  return put_manifest(name, tag, make_manifest_json(image, blobs), media_type::oci_manifest);
}

std::string make_manifest_json(const TestImage& image, const std::vector<std::string>& blobs,
                               std::string_view layer_type) {
  json::array layers;
  for (const std::string& blob : blobs) {
    layers.push_back(
        json::object{{"mediaType", layer_type}, {"digest", sha256_of(blob).text()}, {"size", blob.size()}});
  }
  return write_json(json::object{{"schemaVersion", 2},
                                 {"mediaType", media_type::oci_manifest},
                                 {"config", json::object{{"mediaType", media_type::oci_config},
                                                         {"digest", image.id().text()},
                                                         {"size", image.config.size()}}},
                                 {"layers", layers}});
}

}  // namespace mydocker::image::test
