#include "image/tar_writer.h"

#include <array>
#include <cstdio>
#include <cstring>
#include <numeric>

#include "engine/base/error.h"
#include "engine/base/sys.h"

namespace mydocker::image {

namespace {

constexpr std::size_t block_bytes = 512;
constexpr std::int64_t max_octal_size = 077777777777;

/// Field offsets of POSIX ustar (man 5 tar).
struct Header {
  std::array<char, block_bytes> bytes{};

  void put(std::size_t offset, std::string_view text) { std::memcpy(bytes.data() + offset, text.data(), text.size()); }
  void put_octal(std::size_t offset, std::size_t width, std::uint64_t value) {
    for (std::size_t i = width - 1; i-- > 0; value >>= 3U) bytes[offset + i] = static_cast<char>('0' + (value & 7U));
  }
  void put_size(std::int64_t size) {
    auto value = static_cast<std::uint64_t>(size);
    if (size <= max_octal_size) {
      put_octal(124, 12, value);
      return;
    }
    bytes[124] = static_cast<char>(0x80);
    for (std::size_t i = 12; i-- > 1; value >>= 8U) bytes[124 + i] = static_cast<char>(value & 0xffU);
  }
};

}  // namespace

void TarWriter::write_header(const std::string& name, char type, unsigned mode, std::int64_t size,
                             const std::string& link) {
  if (name.size() > 100 || link.size() > 100) throw Error(ErrorKind::internal, concat("tar name is too long: ", name));
  Header header;
  header.put(0, name);
  header.put_octal(100, 8, mode);
  header.put_octal(108, 8, 0);
  header.put_octal(116, 8, 0);
  header.put_size(size);
  header.put_octal(136, 12, static_cast<std::uint64_t>(time_));
  header.put(148, "        ");
  header.bytes[156] = type;
  header.put(157, link);
  header.put(257, std::string_view("ustar\0"
                                   "00",
                                   8));
  const unsigned sum = std::accumulate(header.bytes.begin(), header.bytes.end(), 0U,
                                       [](unsigned total, char c) { return total + static_cast<unsigned char>(c); });
  header.put_octal(148, 7, sum);
  header.bytes[154] = '\0';
  write_all(fd_, {header.bytes.data(), header.bytes.size()});
}

void TarWriter::add_directory(const std::string& name, unsigned mode) { write_header(name, '5', mode, 0); }

void TarWriter::add_symlink(const std::string& name, const std::string& target) {
  write_header(name, '2', 0777, 0, target);
}

void TarWriter::add_file(const std::string& name, std::string_view content, unsigned mode) {
  begin_file(name, static_cast<std::int64_t>(content.size()), mode);
  write_all(fd_, content);
  end_file();
}

void TarWriter::begin_file(const std::string& name, std::int64_t size, unsigned mode) {
  write_header(name, '0', mode, size);
  open_size_ = size;
}

void TarWriter::end_file() {
  static constexpr std::array<char, block_bytes> zeros{};
  const auto rest = static_cast<std::size_t>(open_size_) % block_bytes;
  if (rest != 0) write_all(fd_, {zeros.data(), block_bytes - rest});
}

void TarWriter::finish() {
  static constexpr std::array<char, 2 * block_bytes> zeros{};
  write_all(fd_, {zeros.data(), zeros.size()});
}

}  // namespace mydocker::image
