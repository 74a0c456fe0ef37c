#pragma once

#include <cstddef>
#include <string_view>

/// SECURITY R16: what Beast's parser would still tolerate in a request head is refused here, before it parses.
namespace mydocker::api {

/// Limits on what arrives at the API (SECURITY 7).
struct ApiLimits {
  std::size_t head_bytes = std::size_t{64} << 10;
  std::size_t head_fields = 128;
  std::size_t json_body_bytes = std::size_t{8} << 20;
  std::size_t json_values = 100'000;
  std::size_t connections = 4096;
  std::size_t connections_per_user = 1024;
};

enum class HeadVerdict { good, bad_request, too_many_fields };

/// `head` is everything up to and including the empty line. Refused: bare CR or LF, NUL and other control bytes, folded
/// lines, blanks in field names, more than one Content-Length or Transfer-Encoding or both together, a Content-Length
/// that is not plain digits, a Transfer-Encoding other than "chunked". Pure.
HeadVerdict check_head(std::string_view head, const ApiLimits& limits);

}  // namespace mydocker::api
