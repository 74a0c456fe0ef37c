#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mydocker::image {

/// Writes a tar stream of plain files and directories (POSIX ustar; sizes over 8 GiB as base-256). Names are at most
/// 100 bytes, owner root, modification time zero: the same input makes the same bytes. Blocks on the descriptor, which
/// stays the caller's. One thread.
class TarWriter {
 public:
  explicit TarWriter(int fd, std::int64_t unix_seconds = 0) : fd_(fd), time_(unix_seconds) {}

  void add_directory(const std::string& name, unsigned mode = 0755);
  void add_file(const std::string& name, std::string_view content, unsigned mode = 0644);
  void add_symlink(const std::string& name, const std::string& target);
  /// A file whose `size` bytes the caller writes to the descriptor next; end_file() pads it.
  void begin_file(const std::string& name, std::int64_t size, unsigned mode = 0644);
  void end_file();
  /// The two zero blocks at the end.
  void finish();

 private:
  void write_header(const std::string& name, char type, unsigned mode, std::int64_t size, const std::string& link = "");

  int fd_;
  std::int64_t time_;
  std::int64_t open_size_ = 0;
};

}  // namespace mydocker::image
