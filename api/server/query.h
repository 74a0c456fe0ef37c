#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Query strings, form bodies and the values in them (WIRE 2.3, 2.6). Pure.
namespace mydocker::api {

/// Percent-decodes; `plus_is_space` for queries and forms, not for paths.
/// Throws Error{invalid_argument} `invalid URL escape "%zz"`.
std::string decode_percent(std::string_view text, bool plus_is_space);

/// Keys may repeat; the order is kept.
using QueryPairs = std::vector<std::pair<std::string, std::string>>;

/// "t=a&t=b&x". ';' is an ordinary byte. Throws Error{invalid_argument} for a bad escape.
QueryPairs parse_query(std::string_view text);

/// WIRE 2.6: "", 0, no, false, none (any case, blanks around) are false; everything else is true.
bool parse_query_bool(std::string_view text);

/// A whole decimal number, perhaps negative; nullopt for anything else.
std::optional<std::int64_t> parse_number(std::string_view text);

/// The clean form of a request path: percent-decoded, double slashes merged. Decides what is routed and what a policy
/// would see. Throws Error{invalid_argument} for control bytes or bad escapes, Error{not_found} for "." and ".." parts.
std::string clean_request_path(std::string_view raw);

}  // namespace mydocker::api
