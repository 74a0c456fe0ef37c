#include "runtime/shim/backlog.h"

#include <fcntl.h>
#include <unistd.h>

#include "engine/base/failpoint.h"
#include "engine/base/sys.h"

namespace mydocker::shim {
namespace {

constexpr std::size_t memory_limit = std::size_t{64} << 10;
constexpr std::uint64_t free_step = std::uint64_t{4} << 20;

}  // namespace

void Backlog::append(std::string_view data) {
  const bool in_file = file_begin_ != file_end_;
  if (directory_.empty() || (!in_file && head_.size() - head_used_ + data.size() <= memory_limit)) {
    if (head_used_ > 0) head_.erase(0, std::exchange(head_used_, 0));
    head_ += data;
    return;
  }
  failpoint("shim.backlog");
  if (!file_) file_ = open_file(directory_, O_TMPFILE | O_RDWR, 0600);
  while (!data.empty()) {
    const ssize_t done =
        retry_on_eintr([&] { return ::pwrite(file_.get(), data.data(), data.size(), static_cast<off_t>(file_end_)); });
    if (done < 0) throw sys_error("write backlog");
    file_end_ += static_cast<std::uint64_t>(done);
    data.remove_prefix(static_cast<std::size_t>(done));
  }
}

std::string_view Backlog::front() {
  if (head_used_ == head_.size()) refill();
  return std::string_view(head_).substr(head_used_);
}

void Backlog::consume(std::size_t count) {
  head_used_ += count;
  if (head_used_ < head_.size()) return;
  head_used_ = 0;
  head_.clear();
  if (file_begin_ != file_end_) return;
  head_.shrink_to_fit();
  file_.reset();
  file_begin_ = file_end_ = file_freed_ = 0;
}

void Backlog::refill() {
  head_used_ = 0;
  head_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(memory_limit, file_end_ - file_begin_)));
  if (head_.empty()) return;
  const ssize_t got =
      retry_on_eintr([&] { return ::pread(file_.get(), head_.data(), head_.size(), static_cast<off_t>(file_begin_)); });
  if (got <= 0) throw sys_error("read backlog");
  head_.resize(static_cast<std::size_t>(got));
  file_begin_ += static_cast<std::uint64_t>(got);
  if (file_begin_ - file_freed_ >= free_step) {
    // Failure only costs disk space: not every file system punches holes.
    ::fallocate(file_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(file_freed_),
                static_cast<off_t>(file_begin_ - file_freed_));
    file_freed_ = file_begin_;
  }
}

}  // namespace mydocker::shim
