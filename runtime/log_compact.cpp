#include "runtime/log_compact.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/sys.h"

namespace mydocker::runtime {
namespace {

constexpr std::string_view digits = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";
constexpr std::size_t time_digits = 11;
constexpr std::size_t head_bytes = 1 + time_digits;
constexpr std::size_t block_bytes = std::size_t{64} << 10;

constexpr std::array<signed char, 256> digit_values = [] {
  std::array<signed char, 256> out{};
  for (signed char& value : out) value = -1;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    out[static_cast<unsigned char>(digits[i])] = static_cast<signed char>(i);
  }
  return out;
}();

struct IndexHeader {
  std::uint64_t magic = 0x31584449474f4c4d;  // "MLOGIDX1"
  std::uint64_t inode = 0;
};

}  // namespace

void append_compact_record(std::string& out, std::string_view text, StreamId stream, Timestamp time) {
  const bool whole = text.ends_with('\n');
  const char mark = stream == StreamId::err ? 'e' : 'o';
  out.push_back(whole ? mark : static_cast<char>(mark - 'a' + 'A'));
  const auto value = static_cast<std::uint64_t>(to_unix_nanoseconds(time));
  for (std::size_t i = time_digits; i-- > 0;) out.push_back(digits[value >> (6 * i) & 63]);
  out += text;
  if (!whole) out.push_back('\n');
}

std::optional<Timestamp> parse_compact_time(std::string_view line) {
  if (line.size() < head_bytes || std::string_view("oeOE").find(line[0]) == std::string_view::npos) return std::nullopt;
  std::uint64_t value = 0;
  for (std::size_t i = 1; i < head_bytes; ++i) {
    const signed char digit = digit_values[static_cast<unsigned char>(line[i])];
    if (digit < 0) return std::nullopt;
    value = value << 6 | static_cast<std::uint64_t>(digit);
  }
  return from_unix_nanoseconds(static_cast<std::int64_t>(value));
}

std::optional<LogRecord> parse_compact_record(std::string_view line) {
  const std::optional<Timestamp> time = parse_compact_time(line);
  if (!time) return std::nullopt;
  LogRecord record;
  record.stream = line[0] == 'e' || line[0] == 'E' ? StreamId::err : StreamId::out;
  record.time = *time;
  record.text = line.substr(head_bytes);
  if (line[0] == 'o' || line[0] == 'e') record.text.push_back('\n');
  return record;
}

std::string make_log_index_path(std::string_view log_path) { return concat(log_path, ".index"); }

void LogIndexWriter::open(const std::string& log_path, int log, std::uint64_t size) {
  file_.reset();
  records_ = 0;
  next_offset_ = 0;
  try {
    struct stat status{};
    if (::fstat(log, &status) != 0) throw sys_error("fstat ", log_path);
    const std::string path = make_log_index_path(log_path);
    const LogIndexReader old(log_path, status.st_ino);
    const LogIndexEntry last = old.size() > 0 ? old.at(old.size() - 1) : LogIndexEntry{};
    if (old.size() > 0 && last.offset <= size) {
      file_ = open_file(path, O_WRONLY | O_APPEND);
      records_ = last.records;
      next_offset_ = last.offset + log_index_step_bytes;
      return count(log, last.offset, size);
    }
    begin(path, status.st_ino);
    count(log, 0, size);
  } catch (const Error&) {
    file_.reset();
  }
}

void LogIndexWriter::begin(const std::string& path, std::uint64_t inode) {
  file_ = open_file(path, O_WRONLY | O_APPEND | O_CREAT | O_TRUNC, 0640);
  const IndexHeader header{.inode = inode};
  write_all(file_.get(), {reinterpret_cast<const char*>(&header), sizeof header});
}

/// What an earlier writer left behind the last entry.
void LogIndexWriter::count(int log, std::uint64_t offset, std::uint64_t size) {
  std::array<char, block_bytes> block;
  bool at_record = true;
  while (offset < size) {
    const ssize_t got = retry_on_eintr([&] {
      return ::pread(log, block.data(), std::min<std::uint64_t>(block.size(), size - offset),
                     static_cast<off_t>(offset));
    });
    if (got <= 0) return;
    for (ssize_t i = 0; i < got; ++i) {
      if (at_record) add_record(offset + static_cast<std::uint64_t>(i));
      at_record = block[static_cast<std::size_t>(i)] == '\n';
    }
    offset += static_cast<std::uint64_t>(got);
  }
}

void LogIndexWriter::add_record(std::uint64_t offset) {
  if (!file_) return;
  if (offset >= next_offset_) {
    const LogIndexEntry entry{.offset = offset, .records = records_};
    if (retry_on_eintr([&] { return ::write(file_.get(), &entry, sizeof entry); }) != sizeof entry) file_.reset();
    next_offset_ = offset + log_index_step_bytes;
  }
  ++records_;
}

LogIndexReader::LogIndexReader(const std::string& log_path, std::uint64_t log_inode) {
  UniqueFd file = find_at(AT_FDCWD, make_log_index_path(log_path), O_RDONLY);
  IndexHeader header;
  const IndexHeader wanted{.inode = log_inode};
  struct stat status{};
  if (!file || ::pread(file.get(), &header, sizeof header, 0) != sizeof header) return;
  if (header.magic != wanted.magic || header.inode != wanted.inode || ::fstat(file.get(), &status) != 0) return;
  count_ = (static_cast<std::size_t>(status.st_size) - sizeof header) / sizeof(LogIndexEntry);
  file_ = std::move(file);
}

LogIndexEntry LogIndexReader::at(std::size_t position) const {
  LogIndexEntry entry;
  const auto offset = static_cast<off_t>(sizeof(IndexHeader) + position * sizeof entry);
  if (retry_on_eintr([&] { return ::pread(file_.get(), &entry, sizeof entry, offset); }) != sizeof entry) {
    throw sys_error("read log index");
  }
  return entry;
}

}  // namespace mydocker::runtime
