#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>

#include "engine/base/json.h"

/// Where a container's output is kept (WIRE 9): what the engine makes of LogConfig and the shim's log writers obey.
namespace mydocker::runtime {

/// The server and the form of its messages (RFC 3164, RFC 5424).
struct SyslogOptions {
  std::string transport;  ///< "udp", "tcp", "unix" (stream), "unixgram"; "": the host's own, at the usual paths
  std::string address;    ///< "10.0.0.1:514", "[::1]:514" (numbers: the engine has resolved names), or a path
  int facility = 3;       ///< 3: daemon
  std::string format;     ///< "", "rfc3164", "rfc5424", "rfc5424micro"
  std::string tag;
  std::string host_name;

  static constexpr auto json_fields() {
    using T = SyslogOptions;
    return std::tuple(field("transport", &T::transport), field("address", &T::address), field("facility", &T::facility),
                      field("format", &T::format), field("tag", &T::tag), field("host_name", &T::host_name));
  }
};

struct LogOptions {
  std::string driver = "json-file";  ///< "json-file", "local", "syslog", "journald" or "none"
  /// Of the file drivers; rotated files are path.1 (newest) ... path.N. With another driver: of the copy that is kept
  /// beside it in the format of `local`, to be read back; "": none.
  std::string path;
  std::int64_t max_size_bytes = std::int64_t{20} << 20;  ///< 0 or less: never rotated
  std::int64_t max_files = 5;                            ///< counts the current one; 1 = truncated when full
  bool compress = false;                                 ///< rotated files become path.N.gz
  std::map<std::string, std::string> attributes;         ///< json-file: "attrs" of every record; left out when empty
  std::map<std::string, std::string> fields;             ///< journald: of every entry
  std::optional<SyslogOptions> syslog;
  /// 0: a log that does not keep up makes the container wait. Above: it loses what does not fit (mode=non-blocking).
  std::int64_t buffer_bytes = 0;

  static constexpr auto json_fields() {
    using T = LogOptions;
    return std::tuple(field("driver", &T::driver), field("path", &T::path), field("max_size_bytes", &T::max_size_bytes),
                      field("max_files", &T::max_files), field("compress", &T::compress),
                      field("attributes", &T::attributes), field_omit_empty("fields", &T::fields),
                      field_omit_empty("syslog", &T::syslog), field_omit_empty("buffer_bytes", &T::buffer_bytes));
  }
};

}  // namespace mydocker::runtime
