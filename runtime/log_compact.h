#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/unique_fd.h"
#include "runtime/log_format.h"

/// The bytes of a log of the driver `local`: one record a line, twelve bytes and a line end beside the text, which is
/// kept as it is, UTF-8 or not:
///
///   o-FUXj0Pk7Wme5text of a whole line            o, e: stdout, stderr; O, E: a piece whose line goes on in the next
///    \_________/ nanoseconds since 1970, 11 digits of 6 bits in ASCII order
///
/// Beside it <file>.index: which record begins where, about every 256 KiB, so that the last N records of a long log
/// are found by arithmetic instead of counting line ends. An index is a hint: one that is missing, short, or of another
/// file is not used. Pure functions, and the index's file operations; any thread.
namespace mydocker::runtime {

void append_compact_record(std::string& out, std::string_view text, StreamId stream, Timestamp time);
std::optional<LogRecord> parse_compact_record(std::string_view line);
std::optional<Timestamp> parse_compact_time(std::string_view line);

/// Native byte order: the file does not leave the machine.
struct LogIndexEntry {
  std::uint64_t offset = 0;   ///< where a record begins in the log
  std::uint64_t records = 0;  ///< how many come before it
};

inline constexpr std::uint64_t log_index_step_bytes = std::uint64_t{256} << 10;

/// "<log>.index".
std::string make_log_index_path(std::string_view log_path);

/// Keeps the index of the log that is being written. Single-threaded; blocks on the disk. A disk that refuses costs the
/// index, never the log.
class LogIndexWriter {
 public:
  /// For the log file `log` of `size` bytes at `log_path`: goes on with its index, or makes it anew by reading the log.
  void open(const std::string& log_path, int log, std::uint64_t size);
  /// A record is about to be written at `offset`.
  void add_record(std::uint64_t offset);

 private:
  void begin(const std::string& path, std::uint64_t inode);
  void count(int log, std::uint64_t offset, std::uint64_t size);

  UniqueFd file_;
  std::uint64_t records_ = 0;
  std::uint64_t next_offset_ = 0;  ///< the first record at or behind it gets an entry
};

/// The entries of an index that belongs to the log with this inode; empty when there is none.
class LogIndexReader {
 public:
  LogIndexReader() = default;
  LogIndexReader(const std::string& log_path, std::uint64_t log_inode);

  std::size_t size() const noexcept { return count_; }
  /// Throws Error{internal} when the file cannot be read.
  LogIndexEntry at(std::size_t position) const;

 private:
  UniqueFd file_;
  std::size_t count_ = 0;
};

}  // namespace mydocker::runtime
