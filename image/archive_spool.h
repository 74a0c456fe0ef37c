#pragma once

#include <cstdint>
#include <map>
#include <stop_token>
#include <string>
#include <string_view>

#include "engine/base/unique_fd.h"

namespace mydocker::image {

/// The files of an image archive, put aside in a temporary directory: entries come in any order, and what they mean is
/// known only at the end. Names of the archive never become paths here (SECURITY R22). Removes everything when it goes.
class ArchiveSpool {
 public:
  /// Reads the whole stream: tar, plain or gzip, xz, zstd, bzip2. Throws Error{invalid_argument} for what is no tar.
  ArchiveSpool(int fd, const std::string& tmp_dir, const std::stop_token& stop);
  ~ArchiveSpool();
  ArchiveSpool(const ArchiveSpool&) = delete;
  ArchiveSpool& operator=(const ArchiveSpool&) = delete;

  bool contains(std::string_view name) const;
  /// Throws Error{invalid_argument} when the archive has no such file. Links are followed inside the archive.
  UniqueFd open(std::string_view name) const;
  std::int64_t size_bytes(std::string_view name) const;
  /// The content of a small file. Throws Error{too_large}.
  std::string read(std::string_view name, std::size_t limit) const;

 private:
  struct Entry {
    std::uint64_t number = 0;
    std::int64_t size = 0;
    std::string link;  ///< normalised name of what it points to; empty: a file
  };
  struct Source;
  void read_stream(Source& source);
  const Entry& get(std::string_view name) const;

  std::string directory_;
  UniqueFd directory_fd_;
  std::map<std::string, Entry, std::less<>> entries_;
};

/// "./a//b/../c" -> "a/c"; leading slashes and ".." beyond the top vanish. Pure.
std::string normalize_archive_name(std::string_view name);

}  // namespace mydocker::image
