#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/unique_fd.h"

namespace mydocker::shim {

/// Bytes that a slow client has not taken yet, first in, first out: the first 64 KiB in memory, the rest in an unnamed
/// file, so that a shim stays small and the container does not wait. Its owner limits it by size_bytes().
class Backlog {
 public:
  /// `directory` gets the unnamed file when one is needed; empty: everything stays in memory.
  explicit Backlog(std::string directory) : directory_(std::move(directory)) {}

  bool empty() const noexcept { return size_bytes() == 0; }
  std::uint64_t size_bytes() const noexcept { return head_.size() - head_used_ + (file_end_ - file_begin_); }
  /// Throws Error{internal} when the file cannot be made or written.
  void append(std::string_view data);
  /// The next bytes; never empty while size_bytes() > 0. Valid until the next call.
  std::string_view front();
  /// Takes `count` bytes of front() away.
  void consume(std::size_t count);

 private:
  void refill();

  std::string directory_;
  std::string head_;
  std::size_t head_used_ = 0;
  UniqueFd file_;
  std::uint64_t file_begin_ = 0;
  std::uint64_t file_end_ = 0;
  std::uint64_t file_freed_ = 0;  ///< the file's disk space below this offset was given back
};

}  // namespace mydocker::shim
