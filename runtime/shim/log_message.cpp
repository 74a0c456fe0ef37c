#include "runtime/shim/log_message.h"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <ctime>

#include "engine/base/error.h"

namespace mydocker::shim {
namespace {

using runtime::StreamId;

constexpr int severity_error = 3;
constexpr int severity_info = 6;

int severity_of(StreamId stream) { return stream == StreamId::err ? severity_error : severity_info; }

std::string format_time(const char* form, Timestamp time) {
  const std::time_t seconds = to_unix_seconds(time);
  std::tm parts{};
  ::localtime_r(&seconds, &parts);
  std::array<char, 64> text;
  return {text.data(), std::strftime(text.data(), text.size(), form, &parts)};
}

/// "+01:00", or "Z".
std::string zone_of(Timestamp time) {
  std::string zone = format_time("%z", time);
  if (zone == "+0000") return "Z";
  if (zone.size() == 5) zone.insert(3, ":");
  return zone;
}

std::string rfc3339(Timestamp time, bool micros) {
  std::array<char, 16> fraction{};
  if (micros) {
    std::snprintf(fraction.data(), fraction.size(), ".%06lld",
                  static_cast<long long>(to_unix_nanoseconds(time) % 1'000'000'000 / 1000));
  }
  return concat(format_time("%Y-%m-%dT%H:%M:%S", time), fraction.data(), zone_of(time));
}

/// "NAME=value", or with its length when the value has line ends.
void append_field(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  if (value.find('\n') == std::string_view::npos) {
    out += '=';
  } else {
    out += '\n';
    for (unsigned shift = 0; shift < 64; shift += 8) out.push_back(static_cast<char>(value.size() >> shift & 0xff));
  }
  out += value;
  out += '\n';
}

std::string_view without_line_end(std::string_view text) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  return text;
}

}  // namespace

std::string make_syslog_message(const runtime::SyslogOptions& options, bool local, StreamId stream,
                                std::string_view text, Timestamp time) {
  const int priority = options.facility * 8 + severity_of(stream);
  const std::string_view content = without_line_end(text);
  const int pid = ::getpid();
  const std::string& tag = options.tag;
  if (options.format.starts_with("rfc5424")) {
    return concat('<', priority, ">1 ", rfc3339(time, options.format == "rfc5424micro"), ' ', options.host_name, ' ',
                  tag, ' ', pid, ' ', tag, " - ", content, '\n');
  }
  if (options.format == "rfc3164") {
    return concat('<', priority, '>', format_time("%b %e %H:%M:%S", time), ' ', options.host_name, ' ', tag, '[', pid,
                  "]: ", content, '\n');
  }
  if (local) {
    return concat('<', priority, '>', format_time("%b %e %H:%M:%S", time), ' ', tag, '[', pid, "]: ", content, '\n');
  }
  return concat('<', priority, "> ", rfc3339(time, false), ' ', options.host_name, ' ', tag, '[', pid, "]: ", content,
                '\n');
}

std::string make_journal_entry(const runtime::LogOptions& options, StreamId stream, std::string_view text) {
  std::string out;
  append_field(out, "MESSAGE", without_line_end(text));
  append_field(out, "PRIORITY", std::to_string(severity_of(stream)));
  if (!text.ends_with('\n')) append_field(out, "CONTAINER_PARTIAL_MESSAGE", "true");
  for (const auto& [name, value] : options.fields) append_field(out, name, value);
  return out;
}

}  // namespace mydocker::shim
