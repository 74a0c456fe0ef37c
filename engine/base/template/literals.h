#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/json.h"

/// Go's literals in templates. Pure; nullopt = not a literal of that kind. Private to the template engine.
namespace mydocker::text_template {

/// "42", "-0x1f", "1_000", "1.5e3".
std::optional<json::value> parse_number(std::string_view text);
/// The inside of "..." and '...' with its escapes resolved (strconv.Unquote).
std::optional<std::string> unquote(std::string_view text);
/// The code point of the one character that `text` is.
std::optional<std::int64_t> decode_single_character(std::string_view text);

}  // namespace mydocker::text_template
