#pragma once

#include <string>
#include <string_view>

#include "engine/base/time.h"
#include "runtime/log_format.h"
#include "runtime/log_options.h"

/// One piece of output as a log server wants it. Pure.
namespace mydocker::shim {

/// A syslog message with its line end: RFC 3164, RFC 5424, or without a format what local syslogs and Go's syslog
/// clients write. `local`: to a socket of this host, without a host name.
std::string make_syslog_message(const runtime::SyslogOptions& options, bool local, runtime::StreamId stream,
                                std::string_view text, Timestamp time);

/// A datagram of journald's native protocol (systemd, "Native Journal Protocol").
std::string make_journal_entry(const runtime::LogOptions& options, runtime::StreamId stream, std::string_view text);

}  // namespace mydocker::shim
