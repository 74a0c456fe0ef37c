#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/server/api_version.h"
#include "api/server/filters.h"
#include "api/server/query.h"
#include "engine/base/json.h"
#include "engine/base/unique_fd.h"

namespace mydocker::api {

enum class Method { get, head, post, put, delete_, options, other };

/// Whether a call can do without its JSON body (WIRE 2.3).
enum class BodyRule { required, optional };

/// One request as a handler sees it: routed, its version checked, its body read (or, for uploads, as a pipe).
/// I/O thread; nothing blocks.
class Request {
 public:
  Method method = Method::other;
  ApiVersion version;
  std::string path;  ///< decoded, clean, without version prefix
  bool http_1_0 = false;
  bool chunked = false;  ///< the body came in chunks
  std::string body;      ///< empty for uploads
  QueryPairs query;      ///< a form body's pairs come first
  std::vector<std::pair<std::string, std::string>> headers;
  std::vector<std::pair<std::string, std::string>> path_params;

  /// The part of the path that stands for {name}. The route must have it.
  const std::string& path_param(std::string_view name) const;
  /// The first header of that name (any case), or "".
  std::string_view header(std::string_view name) const;
  /// Upgrade of any value asks for 101 (WIRE 5.1).
  bool wants_upgrade() const { return has_header("Upgrade"); }
  bool has_header(std::string_view name) const;

  /// The first value of a query parameter; nullopt when it is absent.
  std::optional<std::string> find_query(std::string_view name) const;
  std::string query_text(std::string_view name, std::string_view otherwise = "") const;
  std::vector<std::string> query_list(std::string_view name) const;
  bool query_bool(std::string_view name, bool otherwise = false) const;
  /// nullopt when absent or empty; throws Error{invalid_argument} when it is no number that fits an int.
  std::optional<int> query_int(std::string_view name) const;
  std::map<std::string, std::vector<std::string>> filters() const { return parse_filters(query_text("filters")); }

  /// The body as JSON: content type and size rules of WIRE 2.3 and SECURITY 7; null when it is empty and optional.
  /// Throws Error{invalid_argument}.
  json::value json_body(BodyRule rule) const;
  template <typename T>
  T read_body(BodyRule rule = BodyRule::required) const {
    return from_json<T>(json_body(rule));
  }

  /// The read end of the pipe that an upload arrives in; empty when taken before. The reader sees the end of file only
  /// after a complete body.
  UniqueFd take_upload() const { return std::move(upload_); }
  void set_upload(UniqueFd pipe) { upload_ = std::move(pipe); }

 private:
  mutable UniqueFd upload_;
};

}  // namespace mydocker::api
