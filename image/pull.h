#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "image/image_store.h"
#include "image/progress.h"
#include "image/reference.h"
#include "image/registry_auth.h"

namespace mydocker::image {

/// From the daemon's configuration. Immutable once given.
struct PullerOptions {
  std::vector<std::string> insecure_registries;  ///< "host[:port]" or CIDR; 127.0.0.0/8, ::1, localhost always are
  std::vector<std::string> mirrors;              ///< URLs, for docker.io only, tried in order before it
  unsigned max_concurrent_downloads = 3;         ///< of all pulls together
  unsigned max_download_attempts = 5;
  std::chrono::milliseconds retry_delay{5000};  ///< times the number of the attempt
  std::chrono::seconds connect_timeout{15};
  std::chrono::seconds stall_timeout{60};         ///< a transfer below 64 bytes/s for so long is cut
  std::string ca_file;                            ///< empty: the system's
  std::string certs_dir = "/etc/docker/certs.d";  ///< <host[:port]>/ca.crt
  std::string bundled_image;                      ///< path of busybox-bundled.tar; empty: no such image
  std::string tmp_dir;                            ///< on the data-root's file system
  std::string user_agent = "mydocker";
  std::string https_proxy, http_proxy, no_proxy;  ///< the environment is not looked at
};

struct PullRequest {
  Reference reference;    ///< with tag or digest; without both it is `latest` unless all_tags
  bool all_tags = false;  ///< every tag of the repository
  std::string platform;   ///< "linux/arm64/v8"; empty: this machine's
  RegistryAuth auth;
};

struct PullResult {
  Digest image_id;          ///< of the last tag when all were pulled
  Digest manifest_digest;   ///< what "Digest:" said
  bool up_to_date = false;  ///< the reference pointed to this image already
};

/// Fetches images (WIRE 19.1). Thread-safe; pull() blocks for as long as the network takes and starts a few threads of
/// its own for the layers. Pulls that need the same layer at the same time share its download.
class Puller {
 public:
  Puller(ImageStore& images, PullerOptions options);
  ~Puller();
  Puller(const Puller&) = delete;
  Puller& operator=(const Puller&) = delete;

  /// Every layer is hashed compressed and plain while the confined worker unpacks it; the image exists only when all
  /// digests were right (SECURITY R8), and an error leaves nothing behind. `sink` gets nothing before the registry
  /// has shown the manifest, so that an error before can still choose the HTTP status. A requested stop ends it within
  /// a second with Error{unavailable} "pull was cancelled".
  /// Throws Error{not_found} "manifest for x:y not found: ...", "pull access denied for x, ...", Error{unauthorized},
  /// Error{internal} for an unreachable registry and for content that is not what its digest says.
  PullResult pull(const PullRequest& request, const ProgressSink& sink, std::stop_token stop = {});

  /// POST /auth: proves the credentials at `auth.server_address` (empty: the hub). Throws Error{unauthorized}.
  void check_login(const RegistryAuth& auth, std::stop_token stop = {});

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// Name of the image that needs no registry.
inline constexpr std::string_view bundled_reference = "busybox:bundled";

}  // namespace mydocker::image
