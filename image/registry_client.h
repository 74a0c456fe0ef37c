#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "image/http_client.h"
#include "image/manifest.h"
#include "image/pull.h"

/// One repository of one registry (OCI distribution-spec; Docker's token authentication).
namespace mydocker::image {

/// One challenge of a WWW-Authenticate header.
struct Challenge {
  std::string scheme;  ///< lower-case: "basic", "bearer"
  std::map<std::string, std::string> parameters;
};
/// All challenges of a header value; what cannot be read is left out. Pure.
std::vector<Challenge> parse_challenges(std::string_view header);

/// Whether credentials for `registry` may be shown to a token server at `realm`: the same host, or one of the same
/// site (registry.gitlab.com and gitlab.com, registry-1.docker.io and auth.docker.io), over https unless the registry
/// itself is plain http (SECURITY R20). Pure.
bool may_send_credentials(const Origin& registry, const Origin& realm);

/// Whether `host[:port]` is one that may be spoken to without verified TLS: listed, in a listed network, or loopback.
bool is_insecure_registry(std::string_view host, const std::vector<std::string>& insecure);

/// Thread-safe: several threads fetch blobs at once. All calls block on the network and end within a second of a stop.
class RegistryClient {
 public:
  /// `endpoint`: "host[:port]", or a mirror's URL. Credentials are kept for it alone.
  RegistryClient(const PullerOptions& options, const Reference& repository, std::string endpoint, RegistryAuth auth,
                 std::stop_token stop);
  ~RegistryClient();

  /// Finds scheme and authentication (GET /v2/). Throws TransportError when nothing answers.
  void connect();
  /// connect(), and proves the credentials. Throws Error{unauthorized}.
  void check_login();

  struct Document {
    std::string bytes;
    std::string media_type;  ///< Content-Type
    Digest digest;           ///< of the bytes
  };
  /// By tag. Throws Error{not_found} and others with the texts of WIRE 19.1.
  Document get_manifest(const std::string& tag);
  /// By digest: verified.
  Document get_manifest(const Digest& digest);
  /// A small blob, verified against size and digest.
  std::string get_blob(const Descriptor& descriptor, std::size_t limit);
  /// The bytes of a blob from `offset` on, unverified but never more than the descriptor says. A body that ends early
  /// throws TransportError: the caller may go on from where it was.
  void get_blob(const Descriptor& descriptor, std::uint64_t offset, const HttpSession::Sink& sink);
  std::vector<std::string> list_tags();

 private:
  struct Answer;
  class Lease;

  HttpOptions make_http_options(bool verify_tls) const;
  void try_scheme(const std::string& scheme);
  std::string authorization();
  std::string fetch_token(HttpSession& session);
  HttpResponse get(const std::string& path, const std::vector<std::string>& headers, std::uint64_t range_begin,
                   const HttpSession::OnHeaders& on_headers);
  HttpResponse get_small(const std::string& path, const std::vector<std::string>& headers, std::size_t limit);
  Document read_manifest(const std::string& name);
  [[noreturn]] void throw_status(const HttpResponse& response, const std::string& what) const;

  const PullerOptions& options_;
  Reference repository_;
  std::string endpoint_;
  RegistryAuth auth_;
  std::stop_token stop_;
  std::string base_url_;  ///< set by connect(), "https://host:port"
  bool verify_tls_ = true;

  std::mutex mutex_;  ///< guards what follows
  std::vector<std::unique_ptr<HttpSession>> idle_;
  std::optional<Challenge> challenge_;
  std::string token_;
  std::chrono::steady_clock::time_point token_expires_;
  std::mutex token_mutex_;  ///< one thread fetches a token, the others wait for it
};

}  // namespace mydocker::image
