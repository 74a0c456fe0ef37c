#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace mydocker::api {

/// The `filters` query parameter, both encodings (WIRE 3): {"label":{"a=b":true}} and {"label":["a=b"]}.
/// "" and {} are no filter. Values of one key keep their order, doubles are dropped. Which keys and values exist is
/// the engine's business. Throws Error{invalid_argument} "invalid filter" for anything else. Pure.
std::map<std::string, std::vector<std::string>> parse_filters(std::string_view text);

}  // namespace mydocker::api
