#include "runtime/shim/log_compressor.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "engine/base/log.h"
#include "engine/base/sys.h"
#include "runtime/log_gzip.h"

namespace mydocker::shim {
namespace {

constexpr int lowest_priority = 19;

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? std::string(".") : path.substr(0, slash);
}

/// In the child: only the three descriptors stay, or a client's connection would live as long as this process.
[[noreturn]] void run_child(int source, int target, int result) {
  for (const int fd : {source, target, result}) {
    if (fd < 3) ::_exit(1);
  }
  if (::dup2(source, 0) < 0 || ::dup2(target, 1) < 0 || ::dup2(result, 2) < 0) ::_exit(1);
  ::syscall(SYS_close_range, 3U, ~0U, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // nobody is left to put the result in its place
  ::setpriority(PRIO_PROCESS, 0, lowest_priority);
  try {
    runtime::gzip_log(0, 1);
    write_all(2, "k");
  } catch (const std::exception&) {
    ::_exit(1);
  }
  ::_exit(0);
}

}  // namespace

LogCompressor::LogCompressor(EventLoop& loop, std::string log_path, std::int64_t max_files)
    : loop_(loop), log_path_(std::move(log_path)), max_files_(max_files) {
  start_next();
}

LogCompressor::~LogCompressor() { finish(); }

void LogCompressor::rotated() {
  failed_ = 0;
  if (index_ > 0) {
    ++index_;
  } else {
    start_next();
  }
}

void LogCompressor::start_next() {
  for (std::int64_t index = 1; index < max_files_; ++index) {
    if (index == failed_ || ::access(runtime::make_log_path(log_path_, index).c_str(), F_OK) != 0) continue;
    try {
      return start(index);
    } catch (const Error& error) {
      failed_ = index;
      log::warn("log compression", {{"path", log_path_}, {"error", error.message()}});
    }
  }
}

void LogCompressor::start(std::int64_t index) {
  source_ = open_file(runtime::make_log_path(log_path_, index), O_RDONLY);
  target_ = open_file(parent_of(log_path_), O_TMPFILE | O_RDWR, 0640);
  Pipe pipe = make_pipe();
  const pid_t child = ::fork();  // one thread: our own code may run in the child
  if (child < 0) throw sys_error("fork");
  if (child == 0) run_child(source_.get(), target_.get(), pipe.write.get());
  pipe.write.reset();
  result_ = std::move(pipe.read);
  index_ = index;
  loop_.watch(result_.get(), EPOLLIN, *this);
}

void LogCompressor::finish() {
  if (result_) loop_.forget(result_.get());
  result_.reset();
  source_.reset();
  target_.reset();
  index_ = 0;
}

void LogCompressor::on_ready(std::uint32_t) {
  char byte = 0;
  const bool succeeded = retry_on_eintr([&] { return ::read(result_.get(), &byte, 1); }) == 1;
  if (succeeded && index_ < max_files_) put_in_place();
  if (!succeeded) failed_ = index_;
  finish();
  start_next();
}

void LogCompressor::put_in_place() {
  const std::string plain = runtime::make_log_path(log_path_, index_);
  const std::string compressed = runtime::make_compressed_log_path(log_path_, index_);
  ::unlink(compressed.c_str());
  const std::string unnamed = concat("/proc/self/fd/", target_.get());
  if (::linkat(AT_FDCWD, unnamed.c_str(), AT_FDCWD, compressed.c_str(), AT_SYMLINK_FOLLOW) != 0) {
    failed_ = index_;
    return log::warn("log compression", {{"path", compressed}, {"error", errno_text(errno)}});
  }
  ::unlink(plain.c_str());
}

}  // namespace mydocker::shim
