#include "engine/detach_keys.h"

#include <string_view>

#include "engine/base/error.h"

namespace mydocker::engine {
namespace {

constexpr std::string_view default_keys = "ctrl-p,ctrl-q";

char parse_key(std::string_view key, const std::string& text) {
  constexpr std::string_view control = "@abcdefghijklmnopqrstuvwxyz[\\]^_";
  if (key.size() == 1) return key.front();
  if (key == "DEL") return 0x7f;
  if (key.starts_with("ctrl-") && key.size() == 6) {
    const std::size_t code = control.find(key.back());
    if (code != std::string_view::npos) return static_cast<char>(code);
  }
  throw Error(ErrorKind::invalid_argument, concat("Invalid detach keys (", text, ") provided"));
}

}  // namespace

std::string parse_detach_keys(const std::string& text) {
  std::string_view rest = text.empty() ? default_keys : std::string_view(text);
  std::string bytes;
  for (;;) {
    const std::size_t comma = rest.find(',');
    bytes.push_back(parse_key(rest.substr(0, comma), text));
    if (comma == std::string_view::npos) return bytes;
    rest.remove_prefix(comma + 1);
  }
}

}  // namespace mydocker::engine
