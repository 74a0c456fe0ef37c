#include "runtime/shim/log_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

#include "engine/base/failpoint.h"
#include "engine/base/log.h"
#include "engine/base/sys.h"

namespace mydocker::shim {
namespace {

using runtime::max_log_piece;
using runtime::StreamId;

constexpr std::size_t max_batch = std::size_t{128} << 10;

/// Buffers that were large once are given back: a shim lives long and is mostly idle.
void clear_and_shrink(std::string& buffer) {
  if (buffer.capacity() > 4096) {
    std::string().swap(buffer);
  } else {
    buffer.clear();
  }
}

bool ends_without_newline(int fd, std::int64_t size) {
  char last = '\n';
  return size > 0 && ::pread(fd, &last, 1, size - 1) == 1 && last != '\n';
}

}  // namespace

LogWriter::LogWriter(runtime::LogOptions options)
    : options_(std::move(options)), attributes_(runtime::make_log_attributes(options_.attributes)) {
  if (options_.driver == "none") return;
  if (options_.driver != "json-file") {
    throw Error(ErrorKind::invalid_argument, concat("log driver ", options_.driver, " is not known to the shim"));
  }
  if (options_.compress) throw Error(ErrorKind::not_implemented, "log option compress is not implemented yet");
  if (options_.max_files < 1) options_.max_files = 1;
  open_file_for_append();
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
}

void LogWriter::write(StreamId stream, std::string_view data) {
  if (options_.driver == "none") return;
  std::string& rest = pending(stream);
  for (std::size_t end = data.find('\n'); end != std::string_view::npos; end = data.find('\n')) {
    if (rest.empty()) {
      add_line(stream, data.substr(0, end + 1));
    } else {
      rest.append(data, 0, end + 1);
      add_line(stream, rest);
      clear_and_shrink(rest);
    }
    data.remove_prefix(end + 1);
  }
  rest += data;
  while (rest.size() > max_log_piece) {
    const std::size_t end = runtime::find_piece_end(rest, max_log_piece);
    add_record(stream, std::string_view(rest).substr(0, end));
    rest.erase(0, end);
  }
  flush();
}

void LogWriter::finish(StreamId stream) {
  std::string& rest = pending(stream);
  if (!rest.empty()) add_record(stream, rest);
  clear_and_shrink(rest);
  flush();
  clear_and_shrink(batch_);
}

void LogWriter::add_line(StreamId stream, std::string_view line) {
  while (line.size() > max_log_piece) {
    const std::size_t end = runtime::find_piece_end(line, max_log_piece);
    add_record(stream, line.substr(0, end));
    line.remove_prefix(end);
  }
  add_record(stream, line);
}

void LogWriter::add_record(StreamId stream, std::string_view piece) {
  const std::size_t before = batch_.size();
  runtime::append_log_record(batch_, piece, stream, attributes_, now());
  const std::int64_t size_before = size_bytes_ + static_cast<std::int64_t>(before);
  const bool too_large = size_bytes_ + static_cast<std::int64_t>(batch_.size()) > options_.max_size_bytes;
  if (options_.max_size_bytes > 0 && too_large && size_before > 0) {
    const std::string record = batch_.substr(before);
    batch_.resize(before);
    flush();
    rotate();
    batch_ = record;
  } else if (batch_.size() >= max_batch) {
    flush();
  }
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
  }
  batch_.clear();
}

void LogWriter::rotate() {
  try {
    failpoint("log.rotate");
    if (options_.max_files == 1) {
      if (::ftruncate(file_.get(), 0) != 0) throw sys_error("truncate ", options_.path);
      size_bytes_ = 0;
      return;
    }
    for (std::int64_t index = options_.max_files - 1; index > 0; --index) {
      const std::string from = runtime::make_log_path(options_.path, index - 1);
      const std::string to = runtime::make_log_path(options_.path, index);
      if (::rename(from.c_str(), to.c_str()) != 0 && errno != ENOENT) throw sys_error("rename ", from);
    }
    open_file_for_append();
  } catch (const Error& error) {
    log::error("log rotation", {{"error", error.message()}});  // goes on in the file that is open
  }
}

}  // namespace mydocker::shim
