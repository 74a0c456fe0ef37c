#include "image/reference.h"

#include <algorithm>
#include <optional>

#include "engine/base/error.h"

namespace mydocker::image {

namespace {

constexpr std::string_view default_host = "docker.io";
constexpr std::string_view official_prefix = "library/";
constexpr std::size_t max_path_length = 255;

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool is_lower(char c) noexcept { return c >= 'a' && c <= 'z'; }
bool is_upper(char c) noexcept { return c >= 'A' && c <= 'Z'; }
bool is_alnum(char c) noexcept { return is_digit(c) || is_lower(c) || is_upper(c); }
bool is_lower_alnum(char c) noexcept { return is_digit(c) || is_lower(c); }
bool is_hex(char c) noexcept { return is_digit(c) || (c >= 'a' && c <= 'f'); }

Error bad_format(std::string_view detail = "") {
  return Error(ErrorKind::invalid_argument,
               detail.empty() ? "invalid reference format" : concat("invalid reference format: ", detail));
}

/// Letters, digits, and '-' inside.
bool is_host_label(std::string_view label) noexcept {
  if (label.empty() || label.front() == '-' || label.back() == '-') return false;
  return std::all_of(label.begin(), label.end(), [](char c) { return is_alnum(c) || c == '-'; });
}

bool is_ipv6_literal(std::string_view text) noexcept {
  return text.size() >= 4 && text.front() == '[' && text.back() == ']' &&
         std::all_of(text.begin() + 1, text.end() - 1, [](char c) {
           return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':';
         });
}

bool is_host(std::string_view host) noexcept {
  const std::size_t bracket = host.rfind(']');
  const std::size_t colon = host.rfind(':');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
    const std::string_view port = host.substr(colon + 1);
    if (port.empty() || port.size() > 5 || !std::all_of(port.begin(), port.end(), is_digit)) return false;
    host = host.substr(0, colon);
  }
  if (host.starts_with('[')) return is_ipv6_literal(host);
  std::size_t begin = 0;
  for (;;) {
    const std::size_t end = std::min(host.find('.', begin), host.size());
    if (!is_host_label(host.substr(begin, end - begin))) return false;
    if (end == host.size()) return true;
    begin = end + 1;
  }
}

/// Runs of [a-z0-9] joined by ".", "_", "__" or any number of "-".
bool is_path_component(std::string_view text) noexcept {
  std::size_t i = 0;
  const auto skip_word = [&] {
    const std::size_t begin = i;
    while (i < text.size() && is_lower_alnum(text[i])) ++i;
    return i > begin;
  };
  if (!skip_word()) return false;
  while (i < text.size()) {
    const std::size_t begin = i;
    const char separator = text[i];
    while (i < text.size() && text[i] == separator) ++i;
    const std::size_t length = i - begin;
    const bool known = separator == '-' || (separator == '.' && length == 1) || (separator == '_' && length <= 2);
    if (!known || !skip_word()) return false;
  }
  return true;
}

bool is_path(std::string_view path) noexcept {
  std::size_t begin = 0;
  for (;;) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    if (!is_path_component(path.substr(begin, end - begin))) return false;
    if (end == path.size()) return true;
    begin = end + 1;
  }
}

bool has_upper(std::string_view text) noexcept { return std::any_of(text.begin(), text.end(), is_upper); }

/// The first element is a host if it cannot be a path component of the default registry.
bool names_host(std::string_view first) noexcept {
  return first.find_first_of(".:") != std::string_view::npos || first == "localhost" || has_upper(first);
}

Digest parse_reference_digest(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0) throw bad_format();
  const std::string_view algorithm = text.substr(0, colon);
  const std::string_view hex = text.substr(colon + 1);
  if (!std::all_of(algorithm.begin(), algorithm.end(),
                   [](char c) { return is_alnum(c) || c == '+' || c == '.' || c == '_' || c == '-'; })) {
    throw bad_format();
  }
  if (hex.size() < 32 || !std::all_of(hex.begin(), hex.end(), is_alnum)) throw bad_format();
  if (algorithm != "sha256") throw Error(ErrorKind::invalid_argument, "unsupported digest algorithm");
  if (hex.size() != 64) throw Error(ErrorKind::invalid_argument, "invalid checksum digest length");
  if (!std::all_of(hex.begin(), hex.end(), is_hex)) {
    throw Error(ErrorKind::invalid_argument, "invalid checksum digest format");
  }
  return Digest::parse(text);
}

bool is_all_hex(std::string_view text) noexcept { return std::all_of(text.begin(), text.end(), is_hex); }

std::string_view without_algorithm(std::string_view text) noexcept {
  if (text.starts_with("sha256:")) text.remove_prefix(7);
  return text;
}

}  // namespace

Reference Reference::parse(std::string_view text) {
  if (text.size() == 64 && is_all_hex(text)) {
    throw Error(ErrorKind::invalid_argument,
                concat("invalid repository name (", text, "), cannot specify 64-byte hexadecimal strings"));
  }
  Reference out;
  std::string_view rest = text;
  if (const std::size_t at = rest.find('@'); at != std::string_view::npos) {
    out.digest_ = parse_reference_digest(rest.substr(at + 1));
    rest = rest.substr(0, at);
  }
  const std::size_t slash = rest.find('/');
  if (slash != std::string_view::npos && names_host(rest.substr(0, slash))) {
    out.host_ = rest.substr(0, slash);
    rest = rest.substr(slash + 1);
  } else {
    out.host_ = default_host;
  }
  if (out.host_ == "index.docker.io") out.host_ = default_host;
  // The last colon of what follows the host begins the tag.
  if (const std::size_t colon = rest.find(':'); colon != std::string_view::npos) {
    out.tag_ = rest.substr(colon + 1);
    rest = rest.substr(0, colon);
    if (!is_valid_tag(out.tag_)) throw bad_format();
  }
  out.path_ = rest;
  if (out.host_ == default_host && !rest.empty() && rest.find('/') == std::string_view::npos) {
    out.path_ = concat(official_prefix, rest);
  }
  if (has_upper(out.path_)) throw bad_format(concat("repository name (", out.path_, ") must be lowercase"));
  if (!is_host(out.host_) || out.path_.empty() || !is_path(out.path_)) throw bad_format();
  if (out.path_.size() > max_path_length) {
    throw Error(ErrorKind::invalid_argument, "repository name must not be more than 255 characters");
  }
  return out;
}

Reference Reference::parse(std::string_view name, std::string_view tag_or_digest) {
  while (name.ends_with(':')) name.remove_suffix(1);
  Reference out = parse(name);
  if (out.repository() == "docker.io/library/scratch") {
    throw Error(ErrorKind::invalid_argument, "'scratch' is a reserved name");
  }
  if (tag_or_digest.empty()) return out;
  if (tag_or_digest.find(':') != std::string_view::npos) {
    return out.without_tag_and_digest().with_digest(parse_reference_digest(tag_or_digest));
  }
  return out.without_tag_and_digest().with_tag(tag_or_digest);
}

std::string Reference::repository() const { return concat(host_, '/', path_); }

std::string Reference::familiar_repository() const {
  if (host_ != default_host) return repository();
  const std::string_view path = path_;
  if (path.starts_with(official_prefix) && path.find('/', official_prefix.size()) == std::string_view::npos) {
    return std::string(path.substr(official_prefix.size()));
  }
  return path_;
}

std::string Reference::familiar() const {
  std::string out = familiar_repository();
  if (!tag_.empty()) out += concat(':', tag_);
  if (!digest_.empty()) out += concat('@', digest_.text());
  return out;
}

std::string Reference::canonical() const {
  std::string out = repository();
  if (!tag_.empty()) out += concat(':', tag_);
  if (!digest_.empty()) out += concat('@', digest_.text());
  return out;
}

Reference Reference::with_default_tag() const {
  if (!tag_.empty() || !digest_.empty()) return *this;
  return with_tag("latest");
}

Reference Reference::with_tag(std::string_view tag) const {
  if (!is_valid_tag(tag)) throw Error(ErrorKind::invalid_argument, "invalid tag format");
  Reference out = *this;
  out.tag_ = tag;
  return out;
}

Reference Reference::with_digest(const Digest& digest) const {
  Reference out = *this;
  out.digest_ = digest;
  return out;
}

Reference Reference::without_tag_and_digest() const {
  Reference out = *this;
  out.tag_.clear();
  out.digest_ = Digest();
  return out;
}

bool is_valid_tag(std::string_view tag) noexcept {
  if (tag.empty() || tag.size() > 128 || tag.front() == '.' || tag.front() == '-') return false;
  return std::all_of(tag.begin(), tag.end(), [](char c) { return is_alnum(c) || c == '_' || c == '.' || c == '-'; });
}

bool is_image_id(std::string_view text) noexcept {
  const std::string_view hex = without_algorithm(text);
  return hex.size() == 64 && is_all_hex(hex);
}

bool is_id_prefix(std::string_view text) noexcept {
  const std::string_view hex = without_algorithm(text);
  return !hex.empty() && hex.size() <= 64 && is_all_hex(hex);
}

}  // namespace mydocker::image
