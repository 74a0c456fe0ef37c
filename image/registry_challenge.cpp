#include <algorithm>

#include "image/registry_client.h"

/// WWW-Authenticate (RFC 9110, 11.6.1) and where credentials may go.
namespace mydocker::image {

namespace {

bool is_token_char(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

std::string to_lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

class HeaderScanner {
 public:
  explicit HeaderScanner(std::string_view text) : text_(text) {}

  bool at_end() const { return position_ >= text_.size(); }
  void skip_spaces() {
    while (!at_end() && (text_[position_] == ' ' || text_[position_] == '\t')) ++position_;
  }
  bool take(char c) {
    if (at_end() || text_[position_] != c) return false;
    ++position_;
    return true;
  }
  std::string take_token() {
    const std::size_t begin = position_;
    while (!at_end() && is_token_char(text_[position_])) ++position_;
    return std::string(text_.substr(begin, position_ - begin));
  }
  std::string take_value() {
    if (!take('"')) return take_token();
    std::string out;
    while (!at_end() && text_[position_] != '"') {
      if (text_[position_] == '\\' && position_ + 1 < text_.size()) ++position_;
      out += text_[position_++];
    }
    take('"');
    return out;
  }
  void skip_one() { ++position_; }

 private:
  std::string_view text_;
  std::size_t position_ = 0;
};

std::vector<std::string_view> labels_of(std::string_view host) {
  std::vector<std::string_view> out;
  for (std::size_t begin = 0; begin <= host.size();) {
    const std::size_t end = std::min(host.find('.', begin), host.size());
    out.push_back(host.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

bool is_address(std::string_view host) noexcept {
  return host.starts_with('[') || host.find_first_not_of("0123456789.") == std::string_view::npos;
}

/// The part of a name that one owner registers: the last two labels, or three under co.uk and its like.
std::string site_of(std::string_view host) {
  const std::vector<std::string_view> labels = labels_of(host);
  const std::size_t count = labels.size();
  if (count < 2) return std::string(host);
  const bool second_level = labels[count - 1].size() == 2 && labels[count - 2].size() <= 3;
  const std::size_t wanted = second_level ? 3 : 2;
  if (count < wanted) return std::string(host);
  std::string out;
  for (std::size_t i = count - wanted; i < count; ++i) out += concat(out.empty() ? "" : ".", labels[i]);
  return out;
}

}  // namespace

std::vector<Challenge> parse_challenges(std::string_view header) {
  std::vector<Challenge> out;
  HeaderScanner scanner(header);
  for (;;) {
    scanner.skip_spaces();
    while (scanner.take(',')) scanner.skip_spaces();
    if (scanner.at_end()) return out;
    const std::string word = scanner.take_token();
    if (word.empty()) {
      scanner.skip_one();
      continue;
    }
    scanner.skip_spaces();
    if (!scanner.take('=')) {
      out.push_back({to_lower(word), {}});
      continue;
    }
    scanner.skip_spaces();
    std::string value = scanner.take_value();
    if (!out.empty()) out.back().parameters[to_lower(word)] = std::move(value);
  }
}

bool may_send_credentials(const Origin& registry, const Origin& realm) {
  if (registry.scheme == "https" && realm.scheme != "https") return false;
  if (registry.host == realm.host) return true;
  if (is_address(registry.host) || is_address(realm.host)) return false;
  const std::string site = site_of(registry.host);
  return site.find('.') != std::string::npos && site == site_of(realm.host);
}

}  // namespace mydocker::image
