#include "api/server/head_check.h"

#include <algorithm>
#include <cctype>
#include <string>

namespace mydocker::api {
namespace {

bool is_token_byte(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool is_text(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte >= 0x20 && byte != 0x7F) || byte == '\t';
  });
}

std::string to_lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// What the fields say about the length of the body.
struct Framing {
  int content_lengths = 0;
  int transfer_encodings = 0;

  bool ambiguous() const { return content_lengths + transfer_encodings > 1; }
};

bool check_field(std::string_view line, Framing& framing) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const std::string_view name = line.substr(0, colon);
  if (!std::all_of(name.begin(), name.end(), is_token_byte)) return false;
  const std::string_view value = trim(line.substr(colon + 1));
  if (!is_text(value)) return false;
  const std::string lower = to_lower(name);
  if (lower == "content-length") {
    ++framing.content_lengths;
    // 18 digits fit in 64 bits: no length that only seems small after an overflow.
    return !value.empty() && value.size() <= 18 && value.find_first_not_of("0123456789") == std::string_view::npos;
  }
  if (lower == "transfer-encoding") {
    ++framing.transfer_encodings;
    return to_lower(value) == "chunked";
  }
  return true;
}

}  // namespace

HeadVerdict check_head(std::string_view head, const ApiLimits& limits) {
  Framing framing;
  std::size_t fields = 0;
  for (std::size_t number = 0;; ++number) {
    const std::size_t end = head.find("\r\n");
    if (end == std::string_view::npos) return HeadVerdict::bad_request;
    const std::string_view line = head.substr(0, end);
    head.remove_prefix(end + 2);
    if (line.find('\r') != std::string_view::npos || line.find('\n') != std::string_view::npos) {
      return HeadVerdict::bad_request;
    }
    if (number == 0) {
      if (line.empty() || !is_text(line)) return HeadVerdict::bad_request;
      continue;
    }
    if (line.empty()) break;
    if (++fields > limits.head_fields) return HeadVerdict::too_many_fields;
    if (!check_field(line, framing)) return HeadVerdict::bad_request;
  }
  return framing.ambiguous() ? HeadVerdict::bad_request : HeadVerdict::good;
}

}  // namespace mydocker::api
