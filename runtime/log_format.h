#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/time.h"

/// The bytes of a json-file log (WIRE 9), one record a line, written by the shim and read by the engine and by log
/// shippers:
///
///   {"log":"line one\n","stream":"stdout","time":"2026-01-02T03:04:05.123456789Z"}
///   {"log":"...","stream":"stderr","attrs":{"k":"v"},"time":"..."}
///
/// A line of output longer than `max_log_piece` is several records; only the last of them ends in "\n". Bytes that are
/// not UTF-8 are stored as U+FFFD. Pure functions; any thread.
namespace mydocker::runtime {

inline constexpr std::size_t max_log_piece = 16384;
/// No record is longer: a piece of control bytes takes six bytes each, attributes up to 1 MiB come on top.
inline constexpr std::size_t max_log_record = (std::size_t{1} << 20) + 6 * max_log_piece + 256;

/// The numbers of the stdcopy header (WIRE 4.1).
enum class StreamId : std::uint8_t { in = 0, out = 1, err = 2, error_text = 3 };

/// The 8 bytes before a payload.
struct FrameHeader {
  unsigned char bytes[8];
};
FrameHeader make_frame_header(StreamId stream, std::size_t payload_bytes) noexcept;

/// `,"attrs":{...}` for every record of a log, or "".
std::string make_log_attributes(const std::map<std::string, std::string>& attributes);
/// Appends one record, "\n" included. `attributes` comes from make_log_attributes.
void append_log_record(std::string& out, std::string_view text, StreamId stream, std::string_view attributes,
                       Timestamp time);
/// Where to cut `text`, at most `limit` bytes in front, so that no UTF-8 sequence is torn apart.
std::size_t find_piece_end(std::string_view text, std::size_t limit) noexcept;

struct LogRecord {
  std::string text;
  StreamId stream = StreamId::out;
  Timestamp time{};
  std::string details;  ///< "k=v,k2=v2", sorted, query-escaped; only when asked for
};

enum class LogDetails { skip, keep };
/// One line without its "\n". nullopt: no record (torn by a crash, damaged).
std::optional<LogRecord> parse_log_record(std::string_view line, LogDetails details);
/// Only the time of it, much faster.
std::optional<Timestamp> parse_log_time(std::string_view line);

/// "path" for 0, "path.N" for a rotated file.
std::string make_log_path(std::string_view path, std::int64_t index);

}  // namespace mydocker::runtime
