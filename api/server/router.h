#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/server/request.h"
#include "api/server/writer.h"

namespace mydocker::api {

/// What becomes of a handler whose client goes away. Verbs run to their end (STYLE 3.7); streams are cancelled.
enum class OnHangup { finish, cancel };

/// How the handler wants the request's body: read whole (JSON, forms; limit of SECURITY 7) or as a pipe.
enum class BodyKind { whole, upload };

/// Answers one request. An Error that leaves it before the head is written becomes the response.
using Handler = std::function<awaitable<void>(const Request&, Writer&)>;

/// A row of the routing table. Pattern: "/containers/{id}/json"; "{name*}" takes one part or more (image names).
struct Route {
  Method method = Method::get;
  std::string pattern;
  Handler handler;
  OnHangup on_hangup = OnHangup::finish;
  BodyKind body = BodyKind::whole;
};

struct RouteMatch {
  const Route* route = nullptr;
  std::vector<std::pair<std::string, std::string>> params;
};

/// The parts of `path` that stand for the pattern's names, or nullopt. Pure.
std::optional<std::vector<std::pair<std::string, std::string>>> match_pattern(std::string_view pattern,
                                                                              std::string_view path);

/// The routing table; the first row that fits wins. Immutable once it serves.
class Router {
 public:
  explicit Router(std::vector<Route> routes) : routes_(std::move(routes)) {}

  /// `path` as Request::path. `route` is null when nothing fits, be it the path or the method (WIRE 2.1).
  RouteMatch find(Method method, std::string_view path) const;

 private:
  std::vector<Route> routes_;
};

}  // namespace mydocker::api
