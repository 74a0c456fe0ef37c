#include "runtime/shim/log_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "engine/base/failpoint.h"
#include "engine/base/log.h"
#include "engine/base/sys.h"
#include "runtime/log_gzip.h"

namespace mydocker::shim {
namespace {

using runtime::StreamId;

constexpr std::size_t max_batch = std::size_t{128} << 10;

bool ends_without_newline(int fd, std::int64_t size) {
  char last = '\n';
  return size > 0 && ::pread(fd, &last, 1, size - 1) == 1 && last != '\n';
}

void rename_if_there(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0 && errno != ENOENT) throw sys_error("rename ", from);
}

/// File `index` - 1 becomes file `index`, with its index, compressed or not.
void move_file(const std::string& path, std::int64_t index) {
  const std::string from = runtime::make_log_path(path, index - 1);
  const std::string to = runtime::make_log_path(path, index);
  const std::string old_compressed = runtime::make_compressed_log_path(path, index);
  rename_if_there(runtime::make_log_index_path(from), runtime::make_log_index_path(to));
  ::unlink(old_compressed.c_str());
  if (index > 1) {
    ::unlink(to.c_str());
    rename_if_there(runtime::make_compressed_log_path(path, index - 1), old_compressed);
  }
  rename_if_there(from, to);
}

}  // namespace

LogWriter::LogWriter(runtime::LogOptions options, EventLoop* loop)
    : options_(std::move(options)),
      attributes_(runtime::make_log_attributes(options_.attributes)),
      compact_(options_.driver == "local"),
      take_([this](StreamId stream, std::string_view piece) { add_record(stream, piece); }) {
  if (options_.driver == "none") return;
  if (options_.driver != "json-file" && !compact_) {
    throw Error(ErrorKind::invalid_argument, concat("log driver ", options_.driver, " is not known to the shim"));
  }
  if (options_.max_files < 1) options_.max_files = 1;
  open_file_for_append();
  if (options_.compress && loop != nullptr) {
    compressor_ = std::make_unique<LogCompressor>(*loop, options_.path, options_.max_files);
  }
}

void LogWriter::open_file_for_append() {
  file_ = open_file(options_.path, O_RDWR | O_APPEND | O_CREAT, 0640);
  struct stat status{};
  if (::fstat(file_.get(), &status) != 0) throw sys_error("fstat ", options_.path);
  size_bytes_ = status.st_size;
  if (ends_without_newline(file_.get(), size_bytes_)) {
    write_all(file_.get(), "\n");
    ++size_bytes_;
  }
  if (compact_) index_.open(options_.path, file_.get(), static_cast<std::uint64_t>(size_bytes_));
}

void LogWriter::write(StreamId stream, std::string_view data) {
  if (options_.driver == "none") return;
  cutter_.write(stream, data, take_);
  flush();
}

void LogWriter::finish(StreamId stream) {
  if (options_.driver == "none") return;
  cutter_.finish(stream, take_);
  flush();
  clear_and_shrink(batch_);
}

std::optional<LogPosition> LogWriter::position() const {
  if (!file_) return std::nullopt;
  return LogPosition{.file = file_.get(),
                     .offset_bytes = size_bytes_,
                     .pending_out = cutter_.pending(StreamId::out),
                     .pending_err = cutter_.pending(StreamId::err)};
}

void LogWriter::add_record(StreamId stream, std::string_view piece) {
  const std::size_t before = batch_.size();
  if (compact_) {
    runtime::append_compact_record(batch_, piece, stream, now());
  } else {
    runtime::append_log_record(batch_, piece, stream, attributes_, now());
  }
  const std::size_t length = batch_.size() - before;
  const std::int64_t size_before = size_bytes_ + static_cast<std::int64_t>(before);
  const bool too_large = size_bytes_ + static_cast<std::int64_t>(batch_.size()) > options_.max_size_bytes;
  if (options_.max_size_bytes > 0 && too_large && size_before > 0) {
    const std::string record = batch_.substr(before);
    batch_.resize(before);
    flush();
    rotate();
    batch_ = record;
  }
  if (compact_) index_.add_record(static_cast<std::uint64_t>(size_bytes_) + batch_.size() - length);
  if (batch_.size() >= max_batch) flush();
}

void LogWriter::flush() {
  std::string_view rest = batch_;
  int error = 0;
  try {
    failpoint("log.write");
  } catch (const Error& e) {
    error = e.errno_value() != 0 ? e.errno_value() : EIO;
  }
  while (!rest.empty() && error == 0) {
    const ssize_t done = retry_on_eintr([&] { return ::write(file_.get(), rest.data(), rest.size()); });
    if (done < 0) {
      error = errno;
    } else {
      rest.remove_prefix(static_cast<std::size_t>(done));
    }
  }
  if (error == 0) {
    size_bytes_ += static_cast<std::int64_t>(batch_.size());
    if (lost_bytes_ > 0) log::warn("log is written again", {{"path", options_.path}, {"lost_bytes", lost_bytes_}});
    lost_bytes_ = 0;
  } else {
    if (lost_bytes_ == 0) log::error("log write", {{"path", options_.path}, {"error", errno_text(error)}});
    lost_bytes_ += batch_.size();
    if (::ftruncate(file_.get(), size_bytes_) != 0) log::error("log truncate", {{"error", errno_text(errno)}});
    if (compact_) index_.open(options_.path, file_.get(), static_cast<std::uint64_t>(size_bytes_));
  }
  batch_.clear();
}

/// A new file in the place of the old one, which is not cut back: whoever reads it gets to its end.
void LogWriter::begin_afresh() {
  const std::string fresh = options_.path + ".new";
  UniqueFd file = open_file(fresh, O_RDWR | O_APPEND | O_CREAT | O_TRUNC, 0640);
  if (::rename(fresh.c_str(), options_.path.c_str()) != 0) throw sys_error("rename ", fresh);
  file_ = std::move(file);
  size_bytes_ = 0;
  if (compact_) index_.open(options_.path, file_.get(), 0);
}

void LogWriter::rotate() {
  try {
    failpoint("log.rotate");
    if (options_.max_files == 1) return begin_afresh();
    for (std::int64_t index = options_.max_files - 1; index > 0; --index) move_file(options_.path, index);
    open_file_for_append();
    if (compressor_) compressor_->rotated();
  } catch (const Error& error) {
    log::error("log rotation", {{"error", error.message()}});  // goes on in the file that is open
  }
}

}  // namespace mydocker::shim
