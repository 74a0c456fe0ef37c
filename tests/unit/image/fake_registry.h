#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/base/digest.h"
#include "engine/base/unique_fd.h"
#include "image/manifest.h"
#include "tests/unit/image/image_fixture.h"

namespace mydocker::image::test {

struct Request {
  std::string method;
  std::string target;  ///< path and query
  std::map<std::string, std::string> headers;
  std::string body;

  std::string path() const { return target.substr(0, target.find('?')); }
  std::string header(const std::string& name) const { return headers.contains(name) ? headers.at(name) : ""; }
};

struct Reply {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::optional<std::uint64_t> announced_length;  ///< a lie in Content-Length
  bool no_length = false;                         ///< the body ends with the connection
  std::size_t cut_after = std::string::npos;      ///< the connection breaks after so much of the body
  std::function<void()> before;                   ///< runs first; may wait
  std::function<void()> at_cut;                   ///< runs when `cut_after` is reached, before the connection ends
};

/// An HTTP/1.1 server on a free port of 127.0.0.1: every connection has a thread and serves requests until it breaks.
class HttpServer {
 public:
  using Handler = std::function<Reply(const Request&)>;
  enum class Tls { off, on };

  explicit HttpServer(Handler handler, Tls tls = Tls::off);
  ~HttpServer();

  int port() const { return port_; }
  std::string host() const { return "127.0.0.1:" + std::to_string(port_); }
  std::string origin() const { return (tls_ ? "https://" : "http://") + host(); }
  std::vector<Request> requests() const;
  /// All that was ever received, as one text: for "this secret was never here".
  std::string transcript() const;

 private:
  struct TlsContext;
  void serve(int connection);

  Handler handler_;
  std::shared_ptr<TlsContext> tls_;
  UniqueFd listener_;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::vector<Request> requests_;
  std::vector<int> connections_;  ///< -1 once closed
  std::vector<std::jthread> threads_;
  std::jthread acceptor_;
};

/// A registry in memory, with hooks to misbehave. "/v2/" answers 200.
class FakeRegistry {
 public:
  explicit FakeRegistry(HttpServer::Tls tls = HttpServer::Tls::off);

  /// Answers first; nullopt: as usual.
  std::function<std::optional<Reply>(const Request&)> hook;
  /// By path.
  std::map<std::string, Reply> documents;

  using Compress = std::function<std::string(std::string_view)>;
  /// Stores blobs and manifest; returns the manifest's digest.
  Digest put_image(const std::string& name, const std::string& tag, const TestImage& image, const Compress& compress);
  Digest put_manifest(const std::string& name, const std::string& tag, const std::string& bytes, std::string_view type);
  Digest put_blob(const std::string& name, const std::string& bytes);
  std::string reference(const std::string& name) const { return server_->host() + "/" + name; }
  HttpServer& server() { return *server_; }

 private:
  Reply answer(const Request& request);
  std::unique_ptr<HttpServer> server_;
};

/// The manifest for an image whose blobs were compressed so.
std::string make_manifest_json(const TestImage& image, const std::vector<std::string>& blobs,
                               std::string_view layer_type = "application/vnd.oci.image.layer.v1.tar+gzip");

}  // namespace mydocker::image::test
