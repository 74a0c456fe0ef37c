#pragma once

#include <string>
#include <string_view>

namespace mydocker::cli {

/// --since and --until: RFC 3339 in its shorter forms too (local time without a zone), a duration ago, or a Unix time
/// as it is. The API's form: "seconds.nanos". Reads the clock. Throws Error{invalid_argument}
/// `failed to parse value as time or duration: "x"`.
std::string time_argument(std::string_view text);

}  // namespace mydocker::cli
