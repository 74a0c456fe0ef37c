#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"

/// HTTP as the registry client needs it: libcurl with redirects followed by hand, so that credentials and addresses are
/// decided here (SECURITY R20, G1, G2).
namespace mydocker::image {

/// What must be equal for credentials to be sent.
struct Origin {
  std::string scheme;  ///< "http" or "https"
  std::string host;    ///< lower-case; IPv6 in brackets
  std::string port;

  bool operator==(const Origin&) const = default;
  std::string text() const { return concat(scheme, "://", host, ":", port); }
};

/// Throws Error{invalid_argument} for anything but an absolute http(s) URL without user info.
Origin parse_origin(const std::string& url);
/// `location` relative to `base`.
std::string resolve_url(const std::string& base, const std::string& location);
/// "localhost", 127.0.0.0/8, ::1.
bool is_loopback_host(std::string_view host) noexcept;

/// The transfer did not come to an HTTP answer, or broke inside of one.
class TransportError : public Error {
 public:
  enum class Stage { connect, tls, transfer };
  TransportError(Stage stage, std::string message) : Error(ErrorKind::internal, std::move(message)), stage_(stage) {}
  Stage stage() const noexcept { return stage_; }

 private:
  Stage stage_;
};

struct HttpOptions {
  std::string user_agent;
  std::chrono::milliseconds connect_timeout{15000};
  std::chrono::seconds stall_timeout{60};
  std::string ca_file;      ///< beside the system's authorities
  std::string client_cert;  ///< PEM files
  std::string client_key;
  bool verify_tls = true;
  std::string https_proxy, http_proxy, no_proxy;
  /// Hosts (of the URL) that may resolve to loopback and link-local addresses, because somebody configured them.
  std::function<bool(const std::string& host)> may_be_internal;
};

using HttpHeaders = std::multimap<std::string, std::string>;  ///< lower-case names

struct HttpRequest {
  std::string url;
  std::string method = "GET";  ///< GET or POST
  std::vector<std::string> headers;
  std::string authorization;  ///< sent to the origin of `url` only
  std::string body;           ///< of a POST, form-encoded
  std::uint64_t range_begin = 0;
  bool follow_redirects = true;
};

struct HttpResponse {
  long status = 0;
  HttpHeaders headers;
  std::string body;  ///< where no sink took it
  std::string url;   ///< after redirects

  std::string header(const std::string& lower_case_name) const;
};

/// One connection's worth of HTTP: one thread at a time, blocks. Connections are kept and reused.
class HttpSession {
 public:
  explicit HttpSession(const HttpOptions& options);
  ~HttpSession();
  HttpSession(const HttpSession&) = delete;
  HttpSession& operator=(const HttpSession&) = delete;

  /// The body is kept up to `limit` bytes; a longer one throws Error{too_large}.
  HttpResponse fetch(const HttpRequest& request, std::size_t limit, std::stop_token stop);

  /// Called once with status and headers of the final answer; returns where its body goes. A status that is not the
  /// caller's is thrown from there.
  using Sink = std::function<void(std::string_view)>;
  using OnHeaders = std::function<Sink(const HttpResponse&)>;
  HttpResponse stream(const HttpRequest& request, const OnHeaders& on_headers, std::stop_token stop);

 private:
  struct Transfer;
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mydocker::image
