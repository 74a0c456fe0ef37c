#pragma once

#include <boost/json/value.hpp>
#include <span>
#include <string>
#include <string_view>

#include "engine/base/json.h"

namespace mydocker::cli {

/// Go's fmt.Sprintf with the verbs v s q d x X o b c t f e g T %, flags "-+# 0", width and precision.
/// Wrong verbs and missing or extra operands print as Go prints them: %!d(string=x), %!s(MISSING).
std::string go_sprintf(std::string_view format, std::span<const json::value> arguments);

}  // namespace mydocker::cli
