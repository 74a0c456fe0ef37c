#pragma once

#include <boost/json/value.hpp>
#include <span>
#include <string>
#include <string_view>

#include "engine/base/json.h"

namespace mydocker::text_template {

/// Go's fmt.Sprintf with the verbs v s q d x X o b c t f e g T %, flags "-+# 0", width and precision.
/// Wrong verbs and missing or extra operands print as Go prints them: %!d(string=x), %!s(MISSING).
std::string go_sprintf(std::string_view format, std::span<const json::value> arguments);
/// The name of the Go type that encoding/json gives the value, as %T prints it ("<nil>" of null).
std::string_view go_type(const json::value& value);

}  // namespace mydocker::text_template
