#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "storage/tar_format.h"

/// Archives written byte by byte: well-formed ones and every kind of malformed one.
namespace mydocker::storage::test {

/// One header block as it will be written; change what the test is about.
struct RawHeader {
  std::string name;
  char type = '0';
  std::uint64_t mode = 0644;
  std::uint64_t uid = 0;
  std::uint64_t gid = 0;
  std::uint64_t size = 0;
  std::uint64_t mtime = 1'700'000'000;
  std::string link_name;
  std::uint64_t major = 0;
  std::uint64_t minor = 0;
  std::string prefix;
  bool gnu = false;  ///< GNU's magic instead of ustar's

  TarBlock block() const;
};

class TarBytes {
 public:
  TarBytes& file(std::string_view name, std::string_view content, std::uint64_t mode = 0644);
  TarBytes& directory(std::string_view name, std::uint64_t mode = 0755);
  TarBytes& symlink(std::string_view name, std::string_view target);
  TarBytes& hard_link(std::string_view name, std::string_view target);
  TarBytes& node(std::string_view name, char type, std::uint64_t major = 0, std::uint64_t minor = 0);
  /// A pax header for what follows; records in this order.
  TarBytes& pax(const std::vector<std::pair<std::string, std::string>>& records, char type = 'x');
  /// GNU long name ('L') or link name ('K') for what follows.
  TarBytes& gnu_long(char type, std::string_view text);
  /// Header, content, padding.
  TarBytes& raw(const RawHeader& header, std::string_view content = {});
  /// A block with its checksum made good.
  TarBytes& block(TarBlock block);
  /// Bytes as they are.
  TarBytes& bytes(std::string_view bytes);
  TarBytes& add(const TarBytes& other) { return bytes(other.bytes_); }

  /// With the two zero blocks that end an archive.
  std::string finish() const { return bytes_ + std::string(2 * tar_block_bytes, '\0'); }
  const std::string& unfinished() const { return bytes_; }

 private:
  std::string bytes_;
};

}  // namespace mydocker::storage::test
