#include "cli/options/words.h"

#include <algorithm>
#include <cctype>

namespace mydocker::cli {

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> out;
  for (;;) {
    const std::size_t end = text.find(separator);
    out.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return out;
    text.remove_prefix(end + 1);
  }
}

std::string join(const std::vector<std::string>& words, std::string_view separator) {
  std::string out;
  for (std::size_t at = 0; at < words.size(); ++at) {
    if (at > 0) out += separator;
    out += words[at];
  }
  return out;
}

std::string to_lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::string to_upper(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return out;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n\v\f";
  const std::size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

std::vector<std::string> split_csv(std::string_view text) {
  if (text.empty()) throw invalid_option("EOF");
  std::vector<std::string> out(1);
  bool quoted = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (quoted) {
      if (c != '"') {
        out.back() += c;
      } else if (at + 1 < text.size() && text[at + 1] == '"') {
        out.back() += '"';
        ++at;
      } else {
        quoted = false;
        if (at + 1 < text.size() && text[at + 1] != ',') {
          throw invalid_option("parse error on line 1, column ", at + 2, ": extraneous or missing \" in quoted-field");
        }
      }
    } else if (c == ',') {
      out.emplace_back();
    } else if (c == '"') {
      if (!out.back().empty())
        throw invalid_option("parse error on line 1, column ", at + 1, ": bare \" in non-quoted-field");
      quoted = true;
    } else {
      out.back() += c;
    }
  }
  if (quoted)
    throw invalid_option("parse error on line 1, column ", text.size() + 1,
                         ": extraneous or missing \" in quoted-field");
  return out;
}

}  // namespace mydocker::cli
