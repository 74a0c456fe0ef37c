#pragma once

#include <string>
#include <string_view>

namespace mydocker::engine {

/// "TERM", "SIGTERM", "sigterm", "15", "RTMIN+3" -> the number (man 7 signal). Throws Error{invalid_argument} "Invalid
/// signal: FOO".
int parse_signal(std::string_view text);

}  // namespace mydocker::engine
