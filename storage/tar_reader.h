#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/limits.h"
#include "storage/tar_format.h"

/// Reads a tar stream member by member and gives every byte of it away exactly once, so that the stream can be rebuilt
/// (storage/tar_recipe.h).
///
/// Own code and not libarchive's, for two reasons: the exact bytes of headers and padding are needed, and libarchive
/// converts names through iconv, which has no place in a process that has entered a foreign root (SECURITY R4).
/// It understands v7, ustar, star, GNU (long names, base-256, sparse) and pax (path, linkpath, size, ids, mtime,
/// SCHILY.xattr, GNU.sparse 0.0, 0.1 and 1.0). Meaning follows Go's archive/tar, which Docker uses: GNU long names win
/// over pax ones, links and devices have no body, global pax headers are ignored.
namespace mydocker::storage {

/// Fills a buffer with the next bytes; 0 = end of the stream. May block; throws what its reader throws.
using ByteSource = std::function<std::size_t(char* buffer, std::size_t size)>;
/// Gets bytes that are not the content of a member.
using LiteralSink = std::function<void(std::string_view bytes)>;

/// Content of the current member.
struct TarData {
  std::string_view bytes;    ///< valid until the reader's next call
  std::uint64_t offset = 0;  ///< where they belong in the file
};

/// Writes a piece of content at its place in the file.
void write_data(int fd, std::string_view path, TarData data);

/// Single-threaded. A broken archive throws Error{invalid_argument} "tar: ...", a limit Error{too_large}.
class TarReader {
 public:
  TarReader(ByteSource source, LiteralSink literal, const UnpackLimits& limits);

  /// The next member; nullopt at the end of the archive. Content not read of the one before goes to the sink.
  std::optional<TarEntry> next();
  /// The next piece of content of the current member; nullopt when it is complete. The bytes are the caller's now.
  std::optional<TarData> read_data();
  /// Gives whatever follows the end of the archive to the sink.
  void drain();

 private:
  struct Extensions;

  std::string_view view(std::size_t at_most);
  void consume(std::size_t bytes);
  bool read_block(TarBlock& block);
  std::string read_special(std::uint64_t size);
  void pass_on(std::uint64_t bytes);
  void finish_entry();
  void count_header();
  void apply_pax_records(const std::string& body, Extensions& extensions) const;
  TarEntry make_entry(const TarBlock& header, const Extensions& extensions);
  void read_gnu_sparse_map(const TarBlock& header, TarEntry& entry);
  void read_pax_sparse_map(const Extensions& extensions, TarEntry& entry);
  void read_sparse_map_in_body(TarEntry& entry);
  void add_piece(TarEntry& entry, std::uint64_t offset, std::uint64_t length) const;

  ByteSource source_;
  LiteralSink literal_;
  UnpackLimits limits_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::uint64_t headers_ = 0;
  std::uint64_t body_left_ = 0;  ///< stored bytes of the current member not given away yet
  std::uint64_t padding_left_ = 0;
  std::vector<TarPiece> pieces_;  ///< of the current member, when it is sparse
  std::size_t piece_ = 0;
  std::uint64_t piece_done_ = 0;
  std::uint64_t file_offset_ = 0;  ///< next offset of a member that is not sparse
  bool sparse_ = false;
  bool ended_ = false;
};

}  // namespace mydocker::storage
