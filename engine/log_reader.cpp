#include "engine/log_reader.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <optional>
#include <set>

#include "engine/base/error.h"
#include "engine/base/sys.h"
#include "runtime/log_compact.h"
#include "runtime/log_format.h"
#include "runtime/log_gzip.h"

namespace mydocker::engine {
namespace {

using runtime::LogDetails;
using runtime::LogRecord;
using runtime::StreamId;

constexpr std::size_t block_bytes = std::size_t{64} << 10;
constexpr std::size_t step_bytes = std::size_t{256} << 10;  ///< parsed in one step
constexpr std::size_t count_bytes = std::size_t{1} << 20;   ///< searched for line ends in one step
constexpr std::int64_t most_files = 1000;

/// One file of a log, held open: rotation renames it, deletion leaves it readable.
struct LogFile {
  UniqueFd fd;
  ino_t inode = 0;
  std::int64_t size_bytes = 0;  ///< when it was opened
  bool compressed = false;      ///< size_bytes means nothing yet
  std::string path;

  std::int64_t current_size() const {
    struct stat status{};
    if (::fstat(fd.get(), &status) != 0) throw sys_error("fstat log");
    return status.st_size;
  }
};

/// Unpacks a compressed file.
void make_plain(LogFile& file) {
  if (!file.compressed) return;
  file.fd = runtime::gunzip_log(file.fd.get(), file.path.substr(0, file.path.find_last_of('/') + 1));
  file.compressed = false;
  file.size_bytes = file.current_size();
}

std::optional<LogFile> find_log_file(const std::string& log, std::int64_t index) {
  LogFile file;
  file.path = runtime::make_log_path(log, index);
  file.fd = find_at(AT_FDCWD, file.path, O_RDONLY);
  if (!file.fd && index > 0) {
    file.fd = find_at(AT_FDCWD, runtime::make_compressed_log_path(log, index), O_RDONLY);
    file.compressed = static_cast<bool>(file.fd);
  }
  if (!file.fd) return std::nullopt;
  struct stat status{};
  if (::fstat(file.fd.get(), &status) != 0) throw sys_error("fstat ", file.path);
  file.inode = file.compressed ? runtime::read_gzip_origin(file.fd.get()).value_or(status.st_ino) : status.st_ino;
  file.size_bytes = status.st_size;
  return file;
}

/// One look at the names, from the newest to the older ones: rotation moves files the same way, so that one may be seen
/// twice, but none is passed over, except for names that are free for a moment.
std::deque<LogFile> look_for_files_after(const std::string& path, ino_t after) {
  constexpr int most_free_names = 3;
  std::deque<LogFile> files;
  int free_names = 0;
  for (std::int64_t index = 0; index < most_files && free_names < most_free_names; ++index) {
    std::optional<LogFile> file = find_log_file(path, index);
    free_names = file ? 0 : free_names + 1;
    if (!file) continue;
    if (file->inode == after) break;
    // Only its neighbour can be the same file: a number that compression has set free may be another file's by now.
    if (files.empty() || files.front().inode != file->inode) files.push_front(std::move(*file));
  }
  return files;
}

/// The files of a log newer than the one with inode `after` (0, or one that is gone: all), oldest first.
std::deque<LogFile> open_files_after(const std::string& path, ino_t after) {
  std::deque<LogFile> files;
  for (int attempt = 0; attempt < 50; ++attempt) {
    files = look_for_files_after(path, after);
    // Nothing that was written before we return may be missing: the newest must still be the newest.
    struct stat status{};
    if (files.empty() || ::stat(path.c_str(), &status) != 0 || status.st_ino == files.back().inode) break;
  }
  return files;
}

/// As open_files_after, up to `end`, which is the last one. When it is no longer there, all older ones are not either.
std::deque<LogFile> open_files_between(const std::string& path, ino_t after, const LogEnd& end, ino_t end_inode) {
  std::deque<LogFile> files = look_for_files_after(path, after);
  // From the newest on: what is as old as the end or newer cannot have its number by chance, since `end` is open.
  const auto last = std::find_if(files.rbegin(), files.rend(), [&](const LogFile& f) { return f.inode == end_inode; });
  files.erase(last == files.rend() ? files.begin() : std::prev(last.base()), files.end());
  LogFile file;
  file.fd = duplicate_fd(end.file.get());
  file.inode = end_inode;
  file.size_bytes = end.offset_bytes;
  file.path = path;
  files.push_back(std::move(file));
  return files;
}

std::size_t read_at(const LogFile& file, std::int64_t offset, char* out, std::size_t count) {
  const ssize_t got = retry_on_eintr([&] { return ::pread(file.fd.get(), out, count, offset); });
  if (got < 0) throw sys_error("read log");
  return static_cast<std::size_t>(got);
}

/// A record found by its place in the file.
struct Found {
  std::int64_t offset = 0;
  Timestamp time{};
};

/// The first whole record that begins at or behind `offset` (behind a line end, unless `offset` is 0) and before `end`.
std::optional<Found> find_record(const LogFile& file, std::int64_t offset, std::int64_t end, bool compact) {
  std::string text;
  std::size_t line = 0;
  bool at_line = offset == 0;
  const std::int64_t begin = at_line ? 0 : offset - 1;  // the line end before `offset` counts
  for (std::int64_t at = begin; at < end;) {
    const std::size_t size_before = text.size();
    const auto wanted = std::min<std::int64_t>(end - at, static_cast<std::int64_t>(block_bytes / 4));
    text.resize(size_before + static_cast<std::size_t>(wanted));
    const std::size_t got = read_at(file, at, text.data() + size_before, static_cast<std::size_t>(wanted));
    text.resize(size_before + got);
    if (got == 0) break;
    at += static_cast<std::int64_t>(got);
    for (std::size_t stop = text.find('\n', std::max(line, size_before)); stop != std::string::npos;
         stop = text.find('\n', line)) {
      const std::string_view record = std::string_view(text).substr(line, stop - line);
      std::optional<Timestamp> time;
      if (at_line) time = compact ? runtime::parse_compact_time(record) : runtime::parse_log_time(record);
      if (time) return Found{.offset = begin + static_cast<std::int64_t>(line), .time = *time};
      at_line = true;
      line = stop + 1;
    }
    if (text.size() - line > runtime::max_log_record) at_line = false;  // no record: skip to the next line
  }
  return std::nullopt;
}

/// An offset at which a line begins, with every record at or after `since` behind it and few others.
std::int64_t search_since(const LogFile& file, Timestamp since, bool compact) {
  std::int64_t low = 0;
  std::int64_t high = file.size_bytes;
  while (high - low > static_cast<std::int64_t>(block_bytes)) {
    const std::int64_t middle = low + (high - low) / 2;
    const std::optional<Found> found = find_record(file, middle, high, compact);
    if (found && found->time < since) {
      low = found->offset;
    } else {
      high = middle;
    }
  }
  return low;
}

/// Line ends in [begin, end), at most `most` of them; `begin` moves behind the last one counted.
std::uint64_t count_lines(const LogFile& file, std::int64_t& begin, std::int64_t end, std::uint64_t most) {
  std::array<char, block_bytes> block;
  std::uint64_t found = 0;
  for (std::int64_t at = begin; at < end && found < most;) {
    const auto wanted = std::min<std::int64_t>(end - at, static_cast<std::int64_t>(block.size()));
    const std::size_t got = read_at(file, at, block.data(), static_cast<std::size_t>(wanted));
    if (got == 0) break;
    const std::string_view text(block.data(), got);
    for (std::size_t stop = text.find('\n'); stop != std::string_view::npos && found < most;
         stop = text.find('\n', stop + 1)) {
      ++found;
      begin = at + static_cast<std::int64_t>(stop) + 1;
    }
    at += static_cast<std::int64_t>(got);
  }
  return found;
}

/// Where the last `tail` records of a file with an index begin. Otherwise nullopt, and `tail` is less by the file's
/// records; `usable` is false when there is no index.
std::optional<std::int64_t> find_tail_by_index(const LogFile& file, std::uint64_t& tail, bool& usable) {
  const runtime::LogIndexReader index(file.path, file.inode);
  std::size_t entries = index.size();
  while (entries > 0 && index.at(entries - 1).offset > static_cast<std::uint64_t>(file.size_bytes)) --entries;
  usable = entries > 0;
  if (!usable) return std::nullopt;
  const runtime::LogIndexEntry last = index.at(entries - 1);
  auto offset = static_cast<std::int64_t>(last.offset);
  const std::uint64_t records =
      last.records + count_lines(file, offset, file.size_bytes, std::numeric_limits<std::uint64_t>::max());
  if (records < tail) {
    tail -= records;
    return std::nullopt;
  }
  const std::uint64_t wanted = records - tail;
  std::size_t low = 0;
  for (std::size_t high = entries; high - low > 1;) {
    const std::size_t middle = low + (high - low) / 2;
    (index.at(middle).records <= wanted ? low : high) = middle;
  }
  const runtime::LogIndexEntry entry = index.at(low);
  offset = static_cast<std::int64_t>(entry.offset);
  if (wanted > entry.records) count_lines(file, offset, file.size_bytes, wanted - entry.records);
  return offset;
}

}  // namespace

struct LogReader::State {
  std::string path;
  LogReadOptions options;
  std::deque<LogFile> files;  ///< still to be read, oldest first; the first one is being read
  std::int64_t offset = 0;    ///< in files.front()
  LogEnd end;                 ///< without a file: none was set
  ino_t end_inode = 0;
  bool live = false;  ///< goes on behind the size that a file had when it was opened
  bool following = false;
  bool done = false;
  std::string text;  ///< read from the file, not used up yet
  std::size_t text_used = 0;

  /// The search for the last N lines: backwards from the end of files[tail_file].
  std::int64_t tail_left = -1;  ///< line ends still to be found; -1: the start is known
  std::size_t tail_file = 0;
  std::int64_t tail_offset = 0;

  void locate_since();
  void begin_tail();
  void locate_tail();
  void start_at(std::size_t file, std::int64_t at);
  LogReadState read(std::string& out, std::size_t max_bytes);
  bool read_block();
  bool next_file();
  void set_end(LogEnd wanted);
  bool at_end_file() const { return end.file && files.size() == 1 && files.front().inode == end_inode; }
  bool take_line(std::string_view line, std::string& out);
};

void LogReader::State::start_at(std::size_t file, std::int64_t at) {
  files.erase(files.begin(), files.begin() + static_cast<std::ptrdiff_t>(file));
  offset = at;
  tail_left = -1;
}

void LogReader::State::locate_since() {
  if (options.since == Timestamp{} || files.empty()) return;
  std::size_t index = files.size() - 1;
  for (; index > 0; --index) {
    make_plain(files[index]);
    const std::optional<Found> first = find_record(files[index], 0, files[index].size_bytes, options.compact);
    if (first && first->time < options.since) break;
  }
  make_plain(files[index]);
  start_at(index, search_since(files[index], options.since, options.compact));
}

void LogReader::State::begin_tail() {
  tail_file = files.size() - 1;
  if (options.tail == 0) return start_at(tail_file, files[tail_file].size_bytes);
  auto wanted = static_cast<std::uint64_t>(options.tail);
  for (bool usable = options.compact; usable;) {
    make_plain(files[tail_file]);
    if (const auto offset = find_tail_by_index(files[tail_file], wanted, usable)) return start_at(tail_file, *offset);
    if (usable && tail_file == 0) return start_at(0, 0);
    if (usable) --tail_file;
  }
  make_plain(files[tail_file]);
  tail_left = static_cast<std::int64_t>(wanted) + 1;
  tail_offset = files[tail_file].size_bytes;
}

/// One step backwards. The N-th last line begins behind the line end that is the (N+1)-th from the end, or with a file.
void LogReader::State::locate_tail() {
  std::array<char, block_bytes> block;
  for (std::size_t searched = 0; searched < count_bytes;) {
    if (tail_offset == 0) {
      if (tail_left <= 1 || tail_file == 0) return start_at(tail_file, 0);
      make_plain(files[--tail_file]);
      tail_offset = files[tail_file].size_bytes;
      continue;
    }
    const std::int64_t begin = std::max<std::int64_t>(0, tail_offset - static_cast<std::int64_t>(block.size()));
    std::size_t end = read_at(files[tail_file], begin, block.data(), static_cast<std::size_t>(tail_offset - begin));
    searched += end;
    while (const void* stop = end > 0 ? ::memrchr(block.data(), '\n', end) : nullptr) {
      end = static_cast<std::size_t>(static_cast<const char*>(stop) - block.data());
      if (--tail_left == 0) return start_at(tail_file, begin + static_cast<std::int64_t>(end) + 1);
    }
    tail_offset = begin;
  }
}

/// Makes one record what the client sees. false: it is later than `until`.
bool LogReader::State::take_line(std::string_view line, std::string& out) {
  const std::optional<LogRecord> record =
      options.compact ? runtime::parse_compact_record(line)
                      : runtime::parse_log_record(line, options.details ? LogDetails::keep : LogDetails::skip);
  if (!record || record->time < options.since) return true;
  if (options.until != Timestamp{} && record->time > options.until) return false;
  if (record->stream == StreamId::err ? !options.want_stderr : !options.want_stdout) return true;
  std::string prefix;
  if (options.timestamps) prefix = to_rfc3339_fixed(record->time) + ' ';
  if (options.details) prefix += record->details + ' ';
  if (options.framed) {
    const runtime::FrameHeader header = runtime::make_frame_header(record->stream, prefix.size() + record->text.size());
    out.append(reinterpret_cast<const char*>(header.bytes), sizeof header.bytes);
  }
  out += prefix;
  out += record->text;
  return true;
}

/// false: the file has no more for now.
bool LogReader::State::read_block() {
  text.erase(0, std::exchange(text_used, 0));
  make_plain(files.front());
  const LogFile& file = files.front();
  std::int64_t wanted = block_bytes;
  // Without follow the newest file ends where it ended at the beginning, however fast it grows.
  if (at_end_file() || (!live && files.size() == 1)) wanted = std::min<std::int64_t>(wanted, file.size_bytes - offset);
  if (wanted <= 0) return false;
  if (live && !end.file && file.current_size() < offset) {  // max-file=1: the writer starts the same file afresh
    offset = 0;
    text.clear();
  }
  const std::size_t before = text.size();
  text.resize(before + static_cast<std::size_t>(wanted));
  const std::size_t got = read_at(file, offset, text.data() + before, static_cast<std::size_t>(wanted));
  text.resize(before + got);
  offset += static_cast<std::int64_t>(got);
  if (text.size() > 2 * runtime::max_log_record) text.clear();  // no line end for so long: not a log
  return got > 0;
}

/// Goes on with the file after the present one, if there is one yet. A torn line at the end of the old one is dropped.
bool LogReader::State::next_file() {
  if (at_end_file()) return false;
  if (live && files.size() <= 1) {
    const ino_t present = files.empty() ? 0 : files.front().inode;
    std::deque<LogFile> newer =
        end.file ? open_files_between(path, present, end, end_inode) : open_files_after(path, present);
    const bool first = files.empty();
    for (LogFile& file : newer) files.push_back(std::move(file));
    if (first) return !files.empty();
    // Written after our last look and before the rotation: is read first.
    if (files.size() > 1 && files.front().current_size() > offset) return true;
  }
  if (files.size() <= 1) return false;
  files.pop_front();
  offset = 0;
  text.clear();
  text_used = 0;
  return true;
}

void LogReader::State::set_end(LogEnd wanted) {
  end = std::move(wanted);
  done = !end.file;
  if (done) return;
  struct stat status{};
  if (::fstat(end.file.get(), &status) != 0) throw sys_error("fstat ", path);
  end_inode = status.st_ino;
  if (at_end_file()) files.front().size_bytes = end.offset_bytes;
}

LogReadState LogReader::State::read(std::string& out, std::size_t max_bytes) {
  if (tail_left >= 0) {
    locate_tail();
    return LogReadState::more;
  }
  const std::size_t limit = out.size() + max_bytes;
  for (std::size_t parsed = 0; parsed < step_bytes && out.size() < limit;) {
    const std::size_t stop = text.find('\n', text_used);
    if (stop != std::string::npos) {
      const std::string_view line = std::string_view(text).substr(text_used, stop - text_used);
      parsed += line.size() + 1;
      if (!take_line(line, out)) {
        done = true;
        return LogReadState::finished;
      }
      text_used = stop + 1;
      continue;
    }
    if (!files.empty() && read_block()) continue;
    if (next_file()) continue;
    if (following && (options.until == Timestamp{} || now() <= options.until)) return LogReadState::waiting;
    done = true;
    return LogReadState::finished;
  }
  return LogReadState::more;
}

LogEnd find_log_end(const std::string& path) {
  LogEnd end;
  const std::deque<LogFile> files = open_files_after(path, 0);
  if (files.empty() || files.back().compressed) return end;
  end.offset_bytes = files.back().current_size();
  end.file = duplicate_fd(files.back().fd.get());
  return end;
}

LogReader::LogReader(std::string path, LogReadOptions options) : state_(std::make_unique<State>()) {
  state_->path = std::move(path);
  state_->options = options;
  state_->following = state_->live = options.follow;
  state_->files = open_files_after(state_->path, 0);
  if (state_->files.empty()) return;
  if (options.tail >= 0) {
    state_->begin_tail();
  } else if (options.since != Timestamp{}) {
    state_->locate_since();
  }
}

LogReader::LogReader(std::string path, LogReadOptions options, LogEnd end) : state_(std::make_unique<State>()) {
  state_->path = std::move(path);
  state_->options = options;
  state_->live = true;
  state_->set_end(std::move(end));
  if (state_->end.file) state_->files = open_files_between(state_->path, 0, state_->end, state_->end_inode);
}

void LogReader::read_on(LogEnd end) { state_->set_end(std::move(end)); }

LogReader::~LogReader() = default;
LogReader::LogReader(LogReader&&) noexcept = default;
LogReader& LogReader::operator=(LogReader&&) noexcept = default;

LogReadState LogReader::read_some(std::string& out, std::size_t max_bytes) {
  return state_->done ? LogReadState::finished : state_->read(out, max_bytes);
}

void LogReader::stop_following() noexcept { state_->following = false; }

bool LogReader::may_block() const noexcept {
  return std::any_of(state_->files.begin(), state_->files.end(), [](const LogFile& file) { return file.compressed; });
}

LogWatcher::Subscription& LogWatcher::Subscription::operator=(Subscription&& other) noexcept {
  std::swap(watcher_, other.watcher_);
  std::swap(number_, other.number_);
  return *this;
}

LogWatcher::Subscription::~Subscription() {
  if (watcher_ != nullptr) watcher_->unsubscribe(number_);
}

LogWatcher::LogWatcher() : inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
  if (!inotify_) throw sys_error("inotify_init1");
}

LogWatcher::Subscription LogWatcher::subscribe(const std::string& log_path, std::function<void()> on_change) {
  const std::size_t slash = log_path.find_last_of('/');
  const std::string directory = slash == std::string::npos ? "." : log_path.substr(0, slash + 1);
  // The directory, not the file: its watch survives rotation. The same directory gives the same watch.
  constexpr std::uint32_t mask = IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_ONLYDIR;
  const int watch = ::inotify_add_watch(inotify_.get(), directory.c_str(), mask);
  if (watch < 0) throw sys_error("inotify_add_watch ", directory);
  Subscription subscription;
  subscription.watcher_ = this;
  subscription.number_ = next_number_++;
  entries_[subscription.number_] = {.watch = watch,
                                    .name = slash == std::string::npos ? log_path : log_path.substr(slash + 1),
                                    .on_change = std::move(on_change)};
  return subscription;
}

void LogWatcher::unsubscribe(std::uint64_t number) noexcept {
  const auto entry = entries_.extract(number);
  const int watch = entry.mapped().watch;
  const bool shared =
      std::any_of(entries_.begin(), entries_.end(), [&](const auto& other) { return other.second.watch == watch; });
  if (watch >= 0 && !shared) ::inotify_rm_watch(inotify_.get(), watch);
}

void LogWatcher::dispatch() {
  alignas(inotify_event) std::array<char, 16384> buffer;
  std::set<std::uint64_t> concerned;
  for (;;) {
    const ssize_t got = retry_on_eintr([&] { return ::read(inotify_.get(), buffer.data(), buffer.size()); });
    if (got <= 0) break;
    for (ssize_t at = 0; at < got;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
      const std::string_view name = event->len > 0 ? std::string_view(event->name) : std::string_view();
      for (auto& [number, entry] : entries_) {
        const bool overflow = (event->mask & IN_Q_OVERFLOW) != 0;
        const bool gone = entry.watch == event->wd && (event->mask & IN_IGNORED) != 0;
        if (gone) entry.watch = -1;
        if (overflow || gone || (entry.watch == event->wd && name == entry.name)) concerned.insert(number);
      }
    }
  }
  for (const std::uint64_t number : concerned) {
    const auto found = entries_.find(number);  // an earlier call may have ended this subscription
    if (found == entries_.end()) continue;
    const std::function<void()> on_change = found->second.on_change;
    on_change();
  }
}

}  // namespace mydocker::engine
