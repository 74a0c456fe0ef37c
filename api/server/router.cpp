#include "api/server/router.h"

#include <algorithm>

namespace mydocker::api {
namespace {

std::vector<std::string_view> split_parts(std::string_view path) {
  std::vector<std::string_view> parts;
  if (path.starts_with('/')) path.remove_prefix(1);
  while (true) {
    const std::size_t slash = path.find('/');
    parts.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return parts;
    path.remove_prefix(slash + 1);
  }
}

bool is_name(std::string_view part) { return part.starts_with('{') && part.ends_with('}'); }
bool is_greedy(std::string_view part) { return part.ends_with("*}"); }

}  // namespace

std::optional<std::vector<std::pair<std::string, std::string>>> match_pattern(std::string_view pattern,
                                                                              std::string_view path) {
  const std::vector<std::string_view> wanted = split_parts(pattern);
  const std::vector<std::string_view> parts = split_parts(path);
  const bool greedy = std::any_of(wanted.begin(), wanted.end(), is_greedy);
  if (parts.size() < wanted.size() || (!greedy && parts.size() != wanted.size())) return std::nullopt;
  std::vector<std::pair<std::string, std::string>> params;
  std::size_t next = 0;
  for (const std::string_view word : wanted) {
    if (!is_name(word)) {
      if (parts[next++] != word) return std::nullopt;
      continue;
    }
    const std::size_t count = is_greedy(word) ? parts.size() - wanted.size() + 1 : 1;
    std::string value;
    for (std::size_t i = 0; i < count; ++i) {
      if (parts[next].empty()) return std::nullopt;
      if (i > 0) value.push_back('/');
      value += parts[next++];
    }
    const std::string_view name = word.substr(1, word.size() - (is_greedy(word) ? 3 : 2));
    params.emplace_back(std::string(name), std::move(value));
  }
  return params;
}

RouteMatch Router::find(Method method, std::string_view path) const {
  for (const Route& route : routes_) {
    if (route.method != method) continue;
    if (auto params = match_pattern(route.pattern, path)) return {&route, std::move(*params)};
  }
  return {};
}

}  // namespace mydocker::api
