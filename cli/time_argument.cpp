#include "cli/time_argument.h"

#include <cstdio>
#include <ctime>
#include <string>

#include "engine/base/error.h"
#include "engine/base/template/template.h"
#include "engine/base/time.h"

namespace mydocker::cli {
namespace {

using text_template::go_quote;

std::string stamp(Timestamp time) {
  const std::int64_t nanoseconds = to_unix_nanoseconds(time);
  char text[48];
  std::snprintf(text, sizeof text, "%lld.%09lld", static_cast<long long>(nanoseconds / 1'000'000'000),
                static_cast<long long>(nanoseconds % 1'000'000'000));
  return text;
}

bool is_unix_time(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789.") == std::string_view::npos && text[0] != '.';
}

// "2013-01-02", "2013-01-02T13", "2013-01-02T13:23", "2013-01-02T13:23:37": local time.
bool parse_local(const std::string& text, std::time_t& out) {
  for (const char* format : {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H", "%Y-%m-%d"}) {
    std::tm time{};
    const char* end = ::strptime(text.c_str(), format, &time);
    if (end == nullptr || *end != '\0') continue;
    time.tm_isdst = -1;
    out = std::mktime(&time);
    return true;
  }
  return false;
}

}  // namespace

std::string time_argument(std::string_view text) {
  if (const auto duration = parse_go_duration(text); duration && !is_unix_time(text)) return stamp(now() - *duration);
  if (is_unix_time(text)) return std::string(text);
  if (const auto time = parse_rfc3339(text)) return stamp(*time);
  std::time_t local = 0;
  if (parse_local(std::string(text), local)) return concat(local, ".000000000");
  throw Error(ErrorKind::invalid_argument, concat("failed to parse value as time or duration: ", go_quote(text)));
}

}  // namespace mydocker::cli
