#include "image/registry_client.h"

#include <arpa/inet.h>
#include <dirent.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "engine/base/base64.h"
#include "engine/base/failpoint.h"
#include "engine/base/sys.h"
#include "image/limits.h"

namespace mydocker::image {

namespace {

struct RegistryError {
  std::string code;
  std::string message;

  static constexpr auto json_fields() {
    return std::tuple(field("code", &RegistryError::code), field("message", &RegistryError::message));
  }
};
struct RegistryErrors {
  std::optional<std::vector<RegistryError>> errors;
  std::string details;  ///< of token servers

  static constexpr auto json_fields() {
    return std::tuple(field("errors", &RegistryErrors::errors), field("details", &RegistryErrors::details));
  }
};
struct TokenAnswer {
  std::string token;
  std::string access_token;
  std::int64_t expires_in = 60;

  static constexpr auto json_fields() {
    return std::tuple(field("token", &TokenAnswer::token), field("access_token", &TokenAnswer::access_token),
                      field("expires_in", &TokenAnswer::expires_in));
  }
};
struct TagList {
  std::optional<std::vector<std::string>> tags;

  static constexpr auto json_fields() { return std::tuple(field("tags", &TagList::tags)); }
};

RegistryError first_error(const HttpResponse& response) {
  try {
    const auto errors = from_json<RegistryErrors>(parse_json(response.body));
    if (errors.errors && !errors.errors->empty()) return errors.errors->front();
    if (!errors.details.empty()) return {"UNAUTHORIZED", errors.details};
  } catch (const Error&) {  // not every 4xx has a body that can be read; the status says enough
  }
  return {};
}

/// "MANIFEST_UNKNOWN" -> "manifest unknown", with the message behind it.
std::string describe(const RegistryError& error, std::string_view fallback) {
  if (error.code.empty()) return std::string(fallback);
  std::string code = error.code;
  for (char& c : code) c = c == '_' ? ' ' : static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  const std::string message = to_valid_utf8(error.message.substr(0, 512));
  return concat(code, ": ", message.empty() ? code : message);
}

std::string escape_query(std::string_view text) {
  static constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '.' || c == '_' || c == '~';
    const auto byte = static_cast<unsigned char>(c);
    if (plain) {
      out += c;
    } else {
      out += {'%', digits[byte >> 4U], digits[byte & 15U]};
    }
  }
  return out;
}

/// "host" and "port" of an endpoint; the port may be empty.
std::pair<std::string, std::string> split_port(std::string_view endpoint) {
  const std::size_t colon = endpoint.rfind(':');
  const std::size_t bracket = endpoint.rfind(']');
  if (colon == std::string_view::npos || (bracket != std::string_view::npos && colon < bracket)) {
    return {std::string(endpoint), ""};
  }
  return {std::string(endpoint.substr(0, colon)), std::string(endpoint.substr(colon + 1))};
}

bool in_network(const std::string& host, const std::string& network) {
  const std::size_t slash = network.find('/');
  if (slash == std::string::npos) return false;
  unsigned bits = 0;
  const char* const begin = network.data() + slash + 1;
  const char* const end = network.data() + network.size();
  if (const auto [stop, error] = std::from_chars(begin, end, bits); error != std::errc() || stop != end) return false;
  const std::string base = network.substr(0, slash);
  const std::string plain = host.starts_with('[') ? host.substr(1, host.size() - 2) : host;
  for (const int family : {AF_INET, AF_INET6}) {
    std::array<unsigned char, 16> a{};
    std::array<unsigned char, 16> b{};
    const unsigned width = family == AF_INET ? 32 : 128;
    if (bits > width) continue;
    if (inet_pton(family, plain.c_str(), a.data()) != 1 || inet_pton(family, base.c_str(), b.data()) != 1) continue;
    bool equal = true;
    for (unsigned i = 0; i < bits && equal; ++i) {
      equal = ((a[i / 8] ^ b[i / 8]) & (0x80U >> (i % 8))) == 0;
    }
    if (equal) return true;
  }
  return false;
}

/// The first file of the directory with this ending, by name.
std::string find_file_ending(const std::string& directory, std::string_view ending) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(directory.c_str()), ::closedir);
  std::string best;
  if (!dir) return best;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string name = entry->d_name;
    if (name.ends_with(ending) && (best.empty() || name < best)) best = name;
  }
  return best.empty() ? best : concat(directory, "/", best);
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t out = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (text.empty() || error != std::errc() || stop != text.data() + text.size()) return std::nullopt;
  return out;
}

/// First byte of "bytes 100-199/200".
std::optional<std::uint64_t> content_range_begin(std::string_view header) {
  if (!header.starts_with("bytes ")) return std::nullopt;
  header.remove_prefix(6);
  return parse_number(header.substr(0, header.find('-')));
}

std::string next_page(const HttpResponse& response) {
  const std::string link = response.header("link");
  const std::size_t begin = link.find('<');
  const std::size_t end = link.find('>');
  if (begin == std::string::npos || end == std::string::npos || end < begin) return "";
  if (link.find("next", end) == std::string::npos) return "";
  return link.substr(begin + 1, end - begin - 1);
}

}  // namespace

/// A session out of the idle ones; goes back unless the transfer broke.
class RegistryClient::Lease {
 public:
  explicit Lease(RegistryClient& client) : client_(client) {
    {
      const std::scoped_lock lock(client.mutex_);
      if (!client.idle_.empty()) {
        session_ = std::move(client.idle_.back());
        client.idle_.pop_back();
      }
    }
    if (!session_) session_ = std::make_unique<HttpSession>(client.make_http_options(client.verify_tls_));
  }
  ~Lease() {
    if (!healthy_) return;
    const std::scoped_lock lock(client_.mutex_);
    client_.idle_.push_back(std::move(session_));
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  HttpSession& operator*() { return *session_; }
  HttpSession* operator->() { return session_.get(); }
  void keep() { healthy_ = true; }

 private:
  RegistryClient& client_;
  std::unique_ptr<HttpSession> session_;
  bool healthy_ = false;
};

bool is_insecure_registry(std::string_view endpoint, const std::vector<std::string>& insecure) {
  const auto [host, port] = split_port(endpoint);
  if (is_loopback_host(host)) return true;
  return std::any_of(insecure.begin(), insecure.end(), [&, h = host](const std::string& one) {
    return one == endpoint || one == h || in_network(h, one);
  });
}

RegistryClient::RegistryClient(const PullerOptions& options, const Reference& repository, std::string endpoint,
                               RegistryAuth auth, std::stop_token stop)
    : options_(options),
      repository_(repository.without_tag_and_digest()),
      endpoint_(std::move(endpoint)),
      auth_(std::move(auth)),
      stop_(std::move(stop)) {}

RegistryClient::~RegistryClient() = default;

HttpOptions RegistryClient::make_http_options(bool verify_tls) const {
  HttpOptions out;
  out.user_agent = options_.user_agent;
  out.connect_timeout = options_.connect_timeout;
  out.stall_timeout = options_.stall_timeout;
  out.verify_tls = verify_tls;
  out.ca_file = options_.ca_file;
  out.https_proxy = options_.https_proxy;
  out.http_proxy = options_.http_proxy;
  out.no_proxy = options_.no_proxy;
  const std::string name = endpoint_.substr(endpoint_.find("://") == std::string::npos ? 0 : endpoint_.find("://") + 3);
  if (!options_.certs_dir.empty() && name.find('/') == std::string::npos) {
    const std::string directory = concat(options_.certs_dir, "/", name);
    if (const std::string ca = find_file_ending(directory, ".crt"); !ca.empty()) out.ca_file = ca;
    out.client_cert = find_file_ending(directory, ".cert");
    out.client_key = find_file_ending(directory, ".key");
  }
  const std::string own_host = split_port(name.substr(0, name.find('/'))).first;
  out.may_be_internal = [own_host, insecure = options_.insecure_registries](const std::string& host) {
    if (host == own_host || is_loopback_host(own_host)) return true;
    return !is_loopback_host(host) && is_insecure_registry(host, insecure);
  };
  return out;
}

void RegistryClient::try_scheme(const std::string& scheme) {
  const std::string base = endpoint_.find("://") != std::string::npos ? endpoint_ : concat(scheme, "://", endpoint_);
  HttpSession session(make_http_options(verify_tls_));
  const HttpResponse response = session.fetch({.url = base + "/v2/"}, max_error_bytes, stop_);
  if (response.status >= 500) {
    throw Error(ErrorKind::internal, concat("registry ", endpoint_, ": unexpected status ", response.status));
  }
  base_url_ = base;
  const std::scoped_lock lock(mutex_);
  if (response.status != 401) return;
  const auto [begin, end] = response.headers.equal_range("www-authenticate");
  for (auto header = begin; header != end; ++header) {
    for (Challenge& one : parse_challenges(header->second)) {
      if (one.scheme == "bearer" || (one.scheme == "basic" && !challenge_)) challenge_ = std::move(one);
    }
  }
}

void RegistryClient::connect() {
  failpoint("pull.connect");
  while (endpoint_.ends_with('/')) endpoint_.pop_back();
  const std::string name = endpoint_.substr(endpoint_.find("://") == std::string::npos ? 0 : endpoint_.find("://") + 3);
  const bool insecure = is_insecure_registry(name.substr(0, name.find('/')), options_.insecure_registries);
  verify_tls_ = !insecure;
  const bool scheme_given = endpoint_.find("://") != std::string::npos;
  std::optional<TransportError> https_failure;
  try {
    try_scheme("https");
    return;
  } catch (const TransportError& error) {
    if (!insecure || scheme_given) throw;
    https_failure = error;
  }
  try_scheme("http");
}

std::string RegistryClient::authorization() {
  if (!auth_.registry_token.empty()) {
    if (auth_.registry_token.find_first_of("\r\n") != std::string::npos) {
      throw Error(ErrorKind::invalid_argument, "invalid registry token");
    }
    return concat("Bearer ", auth_.registry_token);
  }
  std::optional<Challenge> challenge;
  {
    const std::scoped_lock lock(mutex_);
    challenge = challenge_;
  }
  if (!challenge) return "";
  if (challenge->scheme == "basic") {
    if (auth_.username.empty()) return "";
    return concat("Basic ", encode_base64(concat(auth_.username, ":", auth_.password)));
  }
  const std::scoped_lock token_lock(token_mutex_);
  if (token_.empty() || std::chrono::steady_clock::now() >= token_expires_) {
    HttpSession session(make_http_options(verify_tls_));
    token_ = fetch_token(session);
  }
  return token_.empty() ? "" : concat("Bearer ", token_);
}

std::string RegistryClient::fetch_token(HttpSession& session) {
  const std::string realm = challenge_->parameters["realm"];
  const Origin registry = parse_origin(base_url_);
  const Origin server = parse_origin(realm);
  if (registry.scheme == "https" && server.scheme != "https") {
    throw Error(ErrorKind::internal, concat("registry ", endpoint_, " names a token server without TLS: refused"));
  }
  const bool with_credentials = may_send_credentials(registry, server);
  const std::string service = challenge_->parameters["service"];
  const std::string scope = concat("repository:", repository_.path(), ":pull");
  HttpRequest request;
  request.url = realm;
  std::string query = concat("service=", escape_query(service), "&scope=", escape_query(scope));
  if (with_credentials && !auth_.identity_token.empty()) {
    request.method = "POST";
    request.body = concat("grant_type=refresh_token&client_id=mydocker&", query,
                          "&refresh_token=", escape_query(auth_.identity_token));
    request.follow_redirects = false;  // the body is a secret of this origin
  } else {
    if (with_credentials && !auth_.username.empty()) {
      request.authorization = concat("Basic ", encode_base64(concat(auth_.username, ":", auth_.password)));
      query += concat("&account=", escape_query(auth_.username));
    }
    request.url += concat(realm.find('?') == std::string::npos ? '?' : '&', query);
  }
  const HttpResponse response = session.fetch(request, max_token_bytes, stop_);
  if (response.status != 200) {
    const std::string text = describe(first_error(response), concat("status ", response.status));
    if (response.status == 401 || response.status == 403) {
      throw Error(auth_.empty() ? ErrorKind::not_found : ErrorKind::unauthorized,
                  auth_.empty() ? concat("pull access denied for ", repository_.familiar_repository(),
                                         ", repository does not exist or may require 'docker login': ", text)
                                : concat("Get \"", realm, "\": ", text));
    }
    throw Error(ErrorKind::internal, concat("Get \"", realm, "\": ", text));
  }
  const auto answer = from_json<TokenAnswer>(parse_json(response.body), "token");
  const auto lifetime = std::clamp<std::int64_t>(answer.expires_in, 60, 3600);
  token_expires_ = std::chrono::steady_clock::now() + std::chrono::seconds(lifetime * 9 / 10);
  const std::string& token = answer.token.empty() ? answer.access_token : answer.token;
  if (token.find_first_of("\r\n") != std::string::npos) {
    throw Error(ErrorKind::internal, concat("Get \"", realm, "\": invalid token"));
  }
  return token;
}

HttpResponse RegistryClient::get(const std::string& path, const std::vector<std::string>& headers,
                                 std::uint64_t range_begin, const HttpSession::OnHeaders& on_headers) {
  for (bool retried = false;; retried = true) {
    HttpRequest request;
    request.url = base_url_ + path;
    request.headers = headers;
    request.range_begin = range_begin;
    request.authorization = authorization();
    Lease session(*this);
    std::string error_body;
    const auto split = [&](const HttpResponse& response) -> HttpSession::Sink {
      if (response.status < 300) return on_headers(response);
      return [&](std::string_view data) {
        error_body.append(data.substr(0, max_error_bytes - std::min(max_error_bytes, error_body.size())));
      };
    };
    HttpResponse response = session->stream(request, split, stop_);
    session.keep();
    if (response.status < 300) return response;
    response.body = std::move(error_body);
    if (response.status != 401 || retried) return response;
    // The token ran out, or this registry asks only here and not at /v2/.
    const std::scoped_lock token_lock(token_mutex_);
    const std::scoped_lock lock(mutex_);
    token_.clear();
    if (challenge_) continue;
    const std::vector<Challenge> challenges = parse_challenges(response.header("www-authenticate"));
    if (challenges.empty()) return response;
    challenge_ = challenges.front();
  }
}

HttpResponse RegistryClient::get_small(const std::string& path, const std::vector<std::string>& headers,
                                       std::size_t limit) {
  std::string body;
  HttpResponse response = get(path, headers, 0, [&](const HttpResponse&) -> HttpSession::Sink {
    body.clear();
    return [&](std::string_view data) {
      if (data.size() > limit - body.size()) throw Error(ErrorKind::too_large, "registry: answer is too large");
      body.append(data);
    };
  });
  if (response.status < 300) response.body = std::move(body);
  return response;
}

void RegistryClient::throw_status(const HttpResponse& response, const std::string& what) const {
  const RegistryError error = first_error(response);
  const std::string text = describe(error, concat("unexpected status ", response.status));
  if (response.status == 401 || response.status == 403 || error.code == "DENIED" || error.code == "UNAUTHORIZED") {
    if (response.status == 401 && !auth_.empty()) throw Error(ErrorKind::unauthorized, concat(what, ": ", text));
    throw Error(ErrorKind::not_found,
                concat("pull access denied for ", repository_.familiar_repository(),
                       ", repository does not exist or may require 'docker login': ",
                       error.code.empty() ? "denied: requested access to the resource is denied" : text));
  }
  if (response.status == 404 && error.code == "NAME_UNKNOWN") {
    throw Error(ErrorKind::not_found, concat("repository ", repository_.familiar_repository(), " not found: ", text));
  }
  if (response.status == 404) {
    throw Error(ErrorKind::not_found,
                concat(what, " not found: ", error.code.empty() ? "manifest unknown: manifest unknown" : text));
  }
  if (response.status == 429) throw Error(ErrorKind::unavailable, text);
  throw Error(ErrorKind::internal, concat(what, ": registry ", endpoint_, ": ", text));
}

void RegistryClient::check_login() {
  connect();
  if (!challenge_) return;
  HttpSession session(make_http_options(verify_tls_));
  const HttpResponse response =
      session.fetch({.url = base_url_ + "/v2/", .authorization = authorization()}, max_error_bytes, stop_);
  if (response.status == 200) return;
  throw Error(ErrorKind::unauthorized,
              concat("Get \"", base_url_,
                     "/v2/\": ", describe(first_error(response), "unauthorized: authentication required")));
}

RegistryClient::Document RegistryClient::read_manifest(const std::string& name) {
  failpoint("pull.manifest");
  const std::string path = concat("/v2/", repository_.path(), "/manifests/", name);
  HttpResponse response = get_small(path, {concat("Accept: ", manifest_accept_header())}, max_manifest_bytes);
  const bool by_digest = name.find(':') != std::string::npos;
  if (response.status != 200) {
    throw_status(response, concat("manifest for ", repository_.familiar_repository(), by_digest ? '@' : ':', name));
  }
  Document out{std::move(response.body), response.header("content-type"), {}};
  out.digest = sha256_of(out.bytes);
  const std::string announced = response.header("docker-content-digest");
  if (!announced.empty() && announced.starts_with("sha256:") && announced != out.digest.text()) {
    throw Error(ErrorKind::internal,
                concat("manifest ", name, " does not match the digest that the registry announced"));
  }
  return out;
}

RegistryClient::Document RegistryClient::get_manifest(const std::string& tag) { return read_manifest(tag); }

RegistryClient::Document RegistryClient::get_manifest(const Digest& digest) {
  Document out = read_manifest(digest.text());
  if (out.digest != digest) {
    throw Error(ErrorKind::internal, concat("manifest verification failed for digest ", digest.text()));
  }
  return out;
}

std::string RegistryClient::get_blob(const Descriptor& descriptor, std::size_t limit) {
  if (descriptor.size < 0 || static_cast<std::uint64_t>(descriptor.size) > limit) {
    throw Error(ErrorKind::invalid_argument, concat("blob ", descriptor.digest.text(), " is too large"));
  }
  std::string out;
  get_blob(descriptor, 0, [&](std::string_view data) { out.append(data); });
  if (sha256_of(out) != descriptor.digest) {
    throw Error(ErrorKind::internal, concat("blob verification failed for digest ", descriptor.digest.text()));
  }
  return out;
}

void RegistryClient::get_blob(const Descriptor& descriptor, std::uint64_t offset, const HttpSession::Sink& sink) {
  failpoint("pull.blob");
  const auto size = static_cast<std::uint64_t>(descriptor.size);
  const std::string what = concat("blob ", descriptor.digest.text());
  std::uint64_t position = offset;  // of the next byte that comes
  std::uint64_t wanted = offset;    // of the next byte that the sink wants
  const auto take = [&](std::string_view data) {
    if (data.size() > size - std::min(size, position)) {
      throw Error(ErrorKind::internal, concat(what, ": longer than its descriptor says"));
    }
    if (position < wanted) {  // the server ignored the range: what is there already is skipped
      const std::size_t skipped = std::min<std::size_t>(data.size(), wanted - position);
      position += skipped;
      data.remove_prefix(skipped);
    }
    if (data.empty()) return;
    position += data.size();
    wanted = position;
    sink(data);
  };
  const HttpResponse response =
      get(concat("/v2/", repository_.path(), "/blobs/", descriptor.digest.text()), {}, offset,
          [&](const HttpResponse& head) -> HttpSession::Sink {
            if (head.status == 206) {
              if (content_range_begin(head.header("content-range")) != offset) {
                throw Error(ErrorKind::internal, concat(what, ": the registry sent another range than was asked for"));
              }
            } else {
              position = 0;
              const auto length = parse_number(head.header("content-length"));
              if (length && *length > size)
                throw Error(ErrorKind::internal, concat(what, ": longer than its descriptor says"));
            }
            return take;
          });
  if (response.status >= 500 || response.status == 429) {
    throw TransportError(TransportError::Stage::transfer,
                         concat(what, ": registry ", endpoint_, ": unexpected status ", response.status));
  }
  if (response.status != 200 && response.status != 206) throw_status(response, what);
  if (position < size) throw TransportError(TransportError::Stage::transfer, concat(what, ": unexpected end of data"));
}

std::vector<std::string> RegistryClient::list_tags() {
  std::vector<std::string> out;
  std::string path = concat("/v2/", repository_.path(), "/tags/list");
  for (int page = 0; !path.empty(); ++page) {
    if (page >= max_tag_pages) throw Error(ErrorKind::internal, "registry: too many pages of tags");
    const HttpResponse response = get_small(path, {}, max_tag_page_bytes);
    if (response.status != 200) throw_status(response, concat("repository ", repository_.familiar_repository()));
    const auto list = from_json<TagList>(parse_json(response.body), "tags");
    if (list.tags) {
      for (const std::string& tag : *list.tags) {
        if (is_valid_tag(tag)) out.push_back(tag);
      }
    }
    const std::string next = next_page(response);
    path.clear();
    if (next.empty()) break;
    const std::string url = resolve_url(response.url, next);
    if (!(parse_origin(url) == parse_origin(base_url_))) {
      throw Error(ErrorKind::internal, "registry: the next page of tags is at another place");
    }
    path = url.substr(url.find('/', url.find("://") + 3));
  }
  return out;
}

}  // namespace mydocker::image
