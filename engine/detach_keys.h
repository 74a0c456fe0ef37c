#pragma once

#include <string>

namespace mydocker::engine {

/// "ctrl-p,ctrl-q" -> "\x10\x11" (WIRE 5.4); "" = the default. Throws Error{invalid_argument} "Invalid detach keys (x)
/// provided".
std::string parse_detach_keys(const std::string& text);

}  // namespace mydocker::engine
