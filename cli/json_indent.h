#pragma once

#include <string>
#include <string_view>

namespace mydocker::cli {

/// Go's json.Indent: white space is rewritten, everything else stays byte for byte. The text must be valid JSON. Pure.
std::string indent_json(std::string_view text, std::string_view step);

}  // namespace mydocker::cli
