#include "runtime/log_gzip.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cstring>
#include <memory>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/sys.h"

namespace mydocker::runtime {
namespace {

constexpr std::size_t block_bytes = std::size_t{64} << 10;
constexpr int gzip_window_bits = 15 + 16;
constexpr int memory_level = 8;

/// The subfield as RFC 1952 has it: two letters, length, data.
struct OriginField {
  char id[2] = {'M', 'D'};
  std::uint16_t length = 8;  // little-endian, as all machines we build for
  std::uint64_t inode = 0;
} __attribute__((packed));

struct Deflate {
  z_stream stream{};
  Deflate() {
    if (::deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, gzip_window_bits, memory_level,
                       Z_DEFAULT_STRATEGY) != Z_OK) {
      throw Error(ErrorKind::internal, "zlib cannot be set up");
    }
  }
  ~Deflate() { ::deflateEnd(&stream); }
};

struct Inflate {
  z_stream stream{};
  Inflate() {
    if (::inflateInit2(&stream, gzip_window_bits) != Z_OK) throw Error(ErrorKind::internal, "zlib cannot be set up");
  }
  ~Inflate() { ::inflateEnd(&stream); }
};

std::size_t read_block(int fd, std::vector<unsigned char>& block, std::int64_t& offset) {
  const ssize_t got = retry_on_eintr([&] { return ::pread(fd, block.data(), block.size(), offset); });
  if (got < 0) throw sys_error("read log");
  offset += got;
  return static_cast<std::size_t>(got);
}

}  // namespace

std::string make_compressed_log_path(std::string_view path, std::int64_t index) {
  return concat(path, '.', index, ".gz");
}

void gzip_log(int source, int target) {
  struct stat status{};
  if (::fstat(source, &status) != 0) throw sys_error("fstat log");
  Deflate deflate;
  OriginField origin;
  origin.inode = status.st_ino;
  gz_header header{};
  header.extra = reinterpret_cast<unsigned char*>(&origin);
  header.extra_len = sizeof origin;
  header.os = 3;
  ::deflateSetHeader(&deflate.stream, &header);
  std::vector<unsigned char> in(block_bytes);
  std::vector<unsigned char> out(block_bytes);
  std::int64_t offset = 0;
  for (int flush = Z_NO_FLUSH; flush != Z_FINISH;) {
    const std::size_t got = read_block(source, in, offset);
    flush = got == 0 ? Z_FINISH : Z_NO_FLUSH;
    deflate.stream.next_in = in.data();
    deflate.stream.avail_in = static_cast<uInt>(got);
    do {
      deflate.stream.next_out = out.data();
      deflate.stream.avail_out = static_cast<uInt>(out.size());
      ::deflate(&deflate.stream, flush);
      write_all(target, {reinterpret_cast<const char*>(out.data()), out.size() - deflate.stream.avail_out});
    } while (deflate.stream.avail_out == 0);
  }
}

std::optional<std::uint64_t> read_gzip_origin(int compressed) {
  constexpr std::size_t fixed_bytes = 12;  // up to and with the length of the extra field
  unsigned char head[fixed_bytes + sizeof(OriginField)];
  if (::pread(compressed, head, sizeof head, 0) != sizeof head) return std::nullopt;
  OriginField origin;
  const OriginField expected;
  std::memcpy(&origin, head + fixed_bytes, sizeof origin);
  const bool has_extra = head[0] == 0x1f && head[1] == 0x8b && (head[3] & 4) != 0;
  if (!has_extra || std::memcmp(origin.id, expected.id, 2) != 0 || origin.length != expected.length) {
    return std::nullopt;
  }
  return std::uint64_t{origin.inode};  // a copy: the member is not aligned
}

UniqueFd gunzip_log(int compressed, const std::string& directory) {
  UniqueFd target = open_file(directory, O_TMPFILE | O_RDWR, 0600);
  Inflate inflate;
  std::vector<unsigned char> in(block_bytes);
  std::vector<unsigned char> out(block_bytes);
  std::int64_t offset = 0;
  for (int result = Z_OK; result == Z_OK;) {
    const std::size_t got = read_block(compressed, in, offset);
    if (got == 0) break;
    inflate.stream.next_in = in.data();
    inflate.stream.avail_in = static_cast<uInt>(got);
    do {
      inflate.stream.next_out = out.data();
      inflate.stream.avail_out = static_cast<uInt>(out.size());
      result = ::inflate(&inflate.stream, Z_NO_FLUSH);
      write_all(target.get(), {reinterpret_cast<const char*>(out.data()), out.size() - inflate.stream.avail_out});
    } while (result == Z_OK && inflate.stream.avail_out == 0);
    if (result == Z_BUF_ERROR) result = Z_OK;
  }
  return target;
}

}  // namespace mydocker::runtime
