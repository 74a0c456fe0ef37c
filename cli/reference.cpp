#include "cli/reference.h"

#include <algorithm>

#include "cli/options/words.h"

namespace mydocker::cli {
namespace {

constexpr std::size_t max_tag_length = 128;
constexpr std::size_t max_name_length = 255;

bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

// a-z0-9 words joined by one ".", one or two "_", or any number of "-".
bool is_path_component(std::string_view text) {
  if (text.empty() || !is_word(text.front()) || !is_word(text.back())) return false;
  for (std::size_t at = 0; at < text.size();) {
    if (is_word(text[at])) {
      ++at;
      continue;
    }
    std::size_t end = at;
    while (end < text.size() && !is_word(text[end])) ++end;
    const std::string_view joint = text.substr(at, end - at);
    const bool dashes = joint.find_first_not_of('-') == std::string_view::npos;
    if (joint != "." && joint != "_" && joint != "__" && !dashes) return false;
    at = end;
  }
  return true;
}

bool is_tag(std::string_view text) {
  return !text.empty() && text.size() <= max_tag_length && text[0] != '.' && text[0] != '-' &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return is_word(c) || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' || c == '-'; });
}

bool is_domain(std::string_view text) {
  return !text.empty() &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]") ==
             std::string_view::npos;
}

bool is_digest(std::string_view text) {
  if (!text.starts_with("sha256:")) return text.find(':') != std::string_view::npos && !text.starts_with("sha");
  return text.size() == 71 && text.substr(7).find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

std::string ImageReference::familiar_name() const {
  if (domain != "docker.io") return concat(domain, "/", path);
  const std::string_view library = "library/";
  const bool official = path.starts_with(library) && path.find('/', library.size()) == std::string::npos;
  return official ? path.substr(library.size()) : path;
}

std::string ImageReference::canonical() const {
  std::string out = concat(domain, "/", path);
  if (!tag.empty()) out += ":" + tag;
  if (!digest.empty()) out += "@" + digest;
  return tag.empty() && digest.empty() ? out + ":latest" : out;
}

std::string ImageReference::familiar() const {
  std::string out = familiar_name();
  if (!tag.empty()) out += ":" + tag;
  if (!digest.empty()) out += "@" + digest;
  return tag.empty() && digest.empty() ? out + ":latest" : out;
}

ImageReference parse_reference(std::string_view text) {
  const auto fail = [] { return invalid_option("invalid reference format"); };
  ImageReference out;
  std::string_view rest = text;
  if (const std::size_t at = rest.find('@'); at != std::string_view::npos) {
    out.digest = std::string(rest.substr(at + 1));
    if (!is_digest(out.digest)) throw fail();
    rest = rest.substr(0, at);
  }
  const std::size_t slash = rest.find('/');
  const std::string_view first = rest.substr(0, slash);
  const bool has_host = slash != std::string_view::npos && (first.find_first_of(".:") != std::string_view::npos ||
                                                            first == "localhost" || to_lower(first) != first);
  out.domain = has_host && first != "index.docker.io" ? std::string(first) : "docker.io";
  if (!is_domain(out.domain)) throw fail();
  if (has_host) rest.remove_prefix(slash + 1);
  if (const std::size_t colon = rest.rfind(':');
      colon != std::string_view::npos && colon > (rest.rfind('/') == std::string_view::npos ? 0 : rest.rfind('/'))) {
    out.tag = std::string(rest.substr(colon + 1));
    if (!is_tag(out.tag)) throw fail();
    rest = rest.substr(0, colon);
  }
  out.path = std::string(rest);
  const bool short_name = out.domain == "docker.io" && rest.find('/') == std::string_view::npos;
  if (short_name) out.path = concat("library/", rest);
  const std::string lower = to_lower(out.path);
  const auto all_components = [](const std::string& path) {
    const auto parts = split(path, '/');
    return std::all_of(parts.begin(), parts.end(), [](const std::string& part) { return is_path_component(part); });
  };
  if (lower != out.path && all_components(lower)) {
    throw invalid_option("invalid reference format: repository name (", out.path, ") must be lowercase");
  }
  if (!all_components(out.path)) throw fail();
  if (short_name && rest.size() == 64 && rest.find_first_not_of("0123456789abcdef") == std::string_view::npos &&
      out.tag.empty()) {
    throw invalid_option("invalid repository name (", rest, "), cannot specify 64-byte hexadecimal strings");
  }
  if (out.domain.size() + out.path.size() + 1 > max_name_length + 10) throw fail();
  return out;
}

}  // namespace mydocker::cli
