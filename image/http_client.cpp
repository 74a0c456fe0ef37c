#include "image/http_client.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <mutex>

#include "engine/base/json.h"
#include "engine/base/sys.h"
#include "image/limits.h"

namespace mydocker::image {

namespace {

constexpr long min_bytes_per_second = 64;

using UrlHandle = std::unique_ptr<CURLU, void (*)(CURLU*)>;

UrlHandle parse_url(const std::string& url) {
  UrlHandle out(curl_url(), curl_url_cleanup);
  if (!out || curl_url_set(out.get(), CURLUPART_URL, url.c_str(), CURLU_DISALLOW_USER | CURLU_NON_SUPPORT_SCHEME) !=
                  CURLUE_OK) {
    throw Error(ErrorKind::invalid_argument, concat("invalid URL \"", to_valid_utf8(url), "\""));
  }
  return out;
}

std::string url_part(const UrlHandle& url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url.get(), part, &text, flags) != CURLUE_OK) return "";
  std::string out(text);
  curl_free(text);
  return out;
}

std::string to_lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return text;
}

/// Loopback, link-local, "this host": addresses that only mean something on this machine (SECURITY G2).
bool is_internal_v4(std::uint32_t address) noexcept {
  const std::uint32_t first = address >> 24U;
  return first == 127 || first == 0 || (address >> 16U) == 0xa9feU;
}

bool is_internal_address(const sockaddr* address) noexcept {
  if (address->sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, address, sizeof v4);
    return is_internal_v4(ntohl(v4.sin_addr.s_addr));
  }
  if (address->sa_family != AF_INET6) return true;
  sockaddr_in6 v6{};
  std::memcpy(&v6, address, sizeof v6);
  const in6_addr& a = v6.sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&a) || IN6_IS_ADDR_V4COMPAT(&a)) {
    std::uint32_t inner = 0;
    std::memcpy(&inner, a.s6_addr + 12, sizeof inner);
    return IN6_IS_ADDR_LOOPBACK(&a) || is_internal_v4(ntohl(inner));
  }
  return IN6_IS_ADDR_LOOPBACK(&a) || IN6_IS_ADDR_UNSPECIFIED(&a) || IN6_IS_ADDR_LINKLOCAL(&a);
}

bool is_redirect(long status) noexcept {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

void init_curl_once() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

}  // namespace

Origin parse_origin(const std::string& url) {
  const UrlHandle parsed = parse_url(url);
  Origin out{to_lower(url_part(parsed, CURLUPART_SCHEME)), to_lower(url_part(parsed, CURLUPART_HOST)),
             url_part(parsed, CURLUPART_PORT, CURLU_DEFAULT_PORT)};
  if ((out.scheme != "http" && out.scheme != "https") || out.host.empty()) {
    throw Error(ErrorKind::invalid_argument, concat("unsupported URL \"", to_valid_utf8(url), "\""));
  }
  return out;
}

std::string resolve_url(const std::string& base, const std::string& location) {
  const UrlHandle url = parse_url(base);
  if (curl_url_set(url.get(), CURLUPART_URL, location.c_str(), CURLU_DISALLOW_USER | CURLU_NON_SUPPORT_SCHEME) !=
      CURLUE_OK) {
    throw Error(ErrorKind::internal, "registry redirects to an invalid URL");
  }
  return url_part(url, CURLUPART_URL);
}

bool is_loopback_host(std::string_view host) noexcept {
  if (host == "localhost" || host == "[::1]" || host == "::1") return true;
  in_addr address{};
  const std::string text(host);
  return inet_pton(AF_INET, text.c_str(), &address) == 1 && (ntohl(address.s_addr) >> 24U) == 127;
}

std::string HttpResponse::header(const std::string& lower_case_name) const {
  const auto found = headers.find(lower_case_name);
  return found == headers.end() ? "" : found->second;
}

/// What the callbacks of one transfer see.
struct HttpSession::Transfer {
  CURL* easy = nullptr;
  HttpResponse response;
  const OnHeaders* on_headers = nullptr;
  Sink sink;
  bool headers_done = false;
  bool keep_following = true;
  std::size_t header_bytes = 0;
  bool block_internal = false;
  bool blocked = false;
  std::stop_token stop;
  std::exception_ptr failure;

  bool ignores_body() const { return keep_following && is_redirect(response.status); }
  void end_headers() {
    if (headers_done) return;
    headers_done = true;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &response.status);
    if (!ignores_body()) sink = (*on_headers)(response);
  }
};

class HttpSession::Impl {
 public:
  explicit Impl(const HttpOptions& options) : options_(options) {
    init_curl_once();
    easy_.reset(curl_easy_init());
    if (!easy_) throw Error(ErrorKind::internal, "curl_easy_init failed");
  }

  HttpResponse run(const HttpRequest& request, const OnHeaders& on_headers, std::stop_token stop) {
    std::string url = request.url;
    const Origin first = parse_origin(url);
    for (int redirects = 0;; ++redirects) {
      const Origin origin = parse_origin(url);
      Transfer transfer;
      transfer.on_headers = &on_headers;
      transfer.keep_following = request.follow_redirects;
      transfer.stop = stop;
      transfer.block_internal = options_.may_be_internal && !options_.may_be_internal(origin.host);
      perform(request, url, origin == first, origin, transfer);
      transfer.response.url = url;
      if (!transfer.ignores_body()) return std::move(transfer.response);
      const std::string location = transfer.response.header("location");
      if (location.empty()) throw Error(ErrorKind::internal, concat(origin.text(), ": redirect without a location"));
      if (redirects >= max_redirects) throw Error(ErrorKind::internal, concat(first.text(), ": too many redirects"));
      url = resolve_url(url, location);
      if (origin.scheme == "https" && parse_origin(url).scheme != "https") {
        throw Error(ErrorKind::internal, concat(origin.text(), ": redirect from https to http refused"));
      }
    }
  }

 private:
  struct EasyDeleter {
    void operator()(CURL* easy) const noexcept { curl_easy_cleanup(easy); }
  };
  struct ListDeleter {
    void operator()(curl_slist* list) const noexcept { curl_slist_free_all(list); }
  };
  using HeaderList = std::unique_ptr<curl_slist, ListDeleter>;

  static void append(HeaderList& list, const std::string& line) {
    curl_slist* longer = curl_slist_append(list.get(), line.c_str());
    if (longer == nullptr) throw Error(ErrorKind::internal, "curl_slist_append failed");
    (void)list.release();
    list.reset(longer);
  }

  void perform(const HttpRequest& request, const std::string& url, bool with_credentials, const Origin& origin,
               Transfer& transfer) {
    CURL* easy = easy_.get();
    curl_easy_reset(easy);  // keeps connections, DNS cache and TLS sessions
    transfer.easy = easy;
    set_common(easy, transfer);
    set_tls(easy);
    set_proxy(easy, origin);
    HeaderList headers;
    for (const std::string& line : request.headers) append(headers, line);
    if (with_credentials && !request.authorization.empty()) {
      append(headers, concat("Authorization: ", request.authorization));
    }
    if (request.method == "POST") {
      curl_easy_setopt(easy, CURLOPT_POST, 1L);
      curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(request.body.size()));
      curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.body.c_str());
    }
    if (request.range_begin > 0) append(headers, concat("Range: bytes=", request.range_begin, "-"));
    if (headers) curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
    std::array<char, CURL_ERROR_SIZE> text{};
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, text.data());
    const CURLcode result = curl_easy_perform(easy);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, nullptr);
    if (transfer.failure) std::rethrow_exception(transfer.failure);
    if (transfer.stop.stop_requested()) throw Error(ErrorKind::unavailable, "pull was cancelled");
    if (result != CURLE_OK) throw transport_error(result, url, origin, transfer, text.data());
    try_end_headers(transfer);
  }

  static void try_end_headers(Transfer& transfer) { transfer.end_headers(); }

  void set_common(CURL* easy, Transfer& transfer) const {
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 262144L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, options_.user_agent.c_str());
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_.connect_timeout.count()));
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, min_bytes_per_second);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(options_.stall_timeout.count()));
    curl_easy_setopt(easy, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Impl::on_data);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Impl::on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, &Impl::on_progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, &transfer);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, &Impl::on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, &transfer);
  }

  void set_tls(CURL* easy) const {
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, options_.verify_tls ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, options_.verify_tls ? 2L : 0L);
    if (!options_.ca_file.empty()) {
      curl_easy_setopt(easy, CURLOPT_CAINFO, options_.ca_file.c_str());
      curl_easy_setopt(easy, CURLOPT_CAPATH, "/etc/ssl/certs");  // the system's stay trusted
    }
    if (!options_.client_cert.empty()) curl_easy_setopt(easy, CURLOPT_SSLCERT, options_.client_cert.c_str());
    if (!options_.client_key.empty()) curl_easy_setopt(easy, CURLOPT_SSLKEY, options_.client_key.c_str());
  }

  /// Explicitly, because libcurl would look into the environment otherwise.
  void set_proxy(CURL* easy, const Origin& origin) const {
    const std::string& proxy = origin.scheme == "https" ? options_.https_proxy : options_.http_proxy;
    curl_easy_setopt(easy, CURLOPT_PROXY, is_loopback_host(origin.host) ? "" : proxy.c_str());
    curl_easy_setopt(easy, CURLOPT_NOPROXY, options_.no_proxy.c_str());
  }

  static std::size_t on_data(char* data, std::size_t size, std::size_t count, void* user) noexcept {
    auto& transfer = *static_cast<Transfer*>(user);
    try {
      transfer.end_headers();
      if (transfer.ignores_body()) return size * count;
      if (transfer.sink) transfer.sink({data, size * count});
      return size * count;
    } catch (...) {  // must not cross the C library; perform() throws it on
      transfer.failure = std::current_exception();
      return 0;
    }
  }

  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* user) noexcept {
    auto& transfer = *static_cast<Transfer*>(user);
    try {
      std::string_view line(data, size * count);
      transfer.header_bytes += line.size();
      if (transfer.header_bytes > max_response_header_bytes) {
        throw Error(ErrorKind::internal, "registry: response headers are too large");
      }
      while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
      if (line.starts_with("HTTP/")) {  // after a 100 or a proxy's CONNECT the real one comes
        transfer.response.headers.clear();
      } else if (const std::size_t colon = line.find(':'); colon != std::string_view::npos) {
        std::string_view value = line.substr(colon + 1);
        while (value.starts_with(' ') || value.starts_with('\t')) value.remove_prefix(1);
        transfer.response.headers.emplace(to_lower(std::string(line.substr(0, colon))), value);
      }
      return size * count;
    } catch (...) {  // as above
      transfer.failure = std::current_exception();
      return 0;
    }
  }

  static int on_progress(void* user, curl_off_t /*total*/, curl_off_t /*now*/, curl_off_t /*up*/,
                         curl_off_t /*upnow*/) noexcept {
    return static_cast<Transfer*>(user)->stop.stop_requested() ? 1 : 0;
  }

  static curl_socket_t on_open_socket(void* user, curlsocktype /*purpose*/, curl_sockaddr* address) noexcept {
    auto& transfer = *static_cast<Transfer*>(user);
    if (transfer.block_internal && is_internal_address(&address->addr)) {
      transfer.blocked = true;
      return CURL_SOCKET_BAD;
    }
    return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  }

  TransportError transport_error(CURLcode code, const std::string& url, const Origin& origin, const Transfer& transfer,
                                 std::string_view text) const {
    using Stage = TransportError::Stage;
    // The query may hold a signed token: it is never shown (SECURITY R20).
    const std::string shown = concat("Get \"", url.substr(0, url.find('?')), "\": ");
    const std::string peer = concat(origin.host, ":", origin.port);
    if (transfer.blocked) {
      return {Stage::connect, concat(shown, "address of ", origin.host, " is internal to this machine: refused")};
    }
    long os_errno = 0;
    curl_easy_getinfo(easy_.get(), CURLINFO_OS_ERRNO, &os_errno);
    switch (code) {
      case CURLE_COULDNT_RESOLVE_HOST:
        return {Stage::connect, concat(shown, "dial tcp: lookup ", origin.host, ": no such host")};
      case CURLE_COULDNT_RESOLVE_PROXY:
      case CURLE_PROXY:
        return {Stage::connect, concat(shown, "proxy: ", text)};
      case CURLE_COULDNT_CONNECT:
        return {Stage::connect,
                concat(shown, "dial tcp ", peer, ": connect: ",
                       os_errno != 0 ? to_lower(errno_text(static_cast<int>(os_errno))) : std::string(text))};
      case CURLE_SSL_CONNECT_ERROR:
        if (text.find("wrong version number") != std::string_view::npos) {
          return {Stage::tls, concat(shown, "http: server gave HTTP response to HTTPS client")};
        }
        return {Stage::tls, concat(shown, "tls: ", text)};
      case CURLE_PEER_FAILED_VERIFICATION:
      case CURLE_SSL_CACERT_BADFILE:
      case CURLE_SSL_CERTPROBLEM:
        return {Stage::tls, concat(shown, "tls: failed to verify certificate: ", text)};
      case CURLE_OPERATION_TIMEDOUT: {
        double connected = 0;
        curl_easy_getinfo(easy_.get(), CURLINFO_CONNECT_TIME, &connected);
        if (connected == 0) return {Stage::connect, concat(shown, "dial tcp ", peer, ": i/o timeout")};
        return {Stage::transfer, concat(shown, "transfer stalled: ", text)};
      }
      case CURLE_GOT_NOTHING:
        return {Stage::transfer, concat(shown, "EOF")};
      default:
        return {Stage::transfer, concat(shown, text.empty() ? std::string_view(curl_easy_strerror(code)) : text)};
    }
  }

  const HttpOptions options_;
  std::unique_ptr<CURL, EasyDeleter> easy_;
};

HttpSession::HttpSession(const HttpOptions& options) : impl_(std::make_unique<Impl>(options)) {}

HttpSession::~HttpSession() = default;

HttpResponse HttpSession::fetch(const HttpRequest& request, std::size_t limit, std::stop_token stop) {
  std::string body;
  const auto keep = [&](const HttpResponse& response) -> Sink {
    body.clear();
    // An error's text is for people: more of it than this is cut, not refused.
    if (response.status >= 400) {
      return [&](std::string_view data) {
        body.append(data.substr(0, max_error_bytes - std::min(max_error_bytes, body.size())));
      };
    }
    return [&, limit](std::string_view data) {
      if (data.size() > limit - body.size()) throw Error(ErrorKind::too_large, "registry: answer is too large");
      body.append(data);
    };
  };
  HttpResponse out = impl_->run(request, keep, std::move(stop));
  out.body = std::move(body);
  return out;
}

HttpResponse HttpSession::stream(const HttpRequest& request, const OnHeaders& on_headers, std::stop_token stop) {
  return impl_->run(request, on_headers, std::move(stop));
}

}  // namespace mydocker::image
