#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

/// Turns layer blobs into plain tar while they stream. One thread at a time; nothing blocks but the sink.
namespace mydocker::image {

enum class Compression { plain, gzip, zstd, xz, bzip2 };

/// What the first bytes (six are enough) say. Announced media types are not trusted: they are often wrong.
Compression detect_compression(std::string_view beginning) noexcept;

/// Streaming gzip (all members, CRC checked), zstd (all frames, window limit) or plain, told apart by the first bytes;
/// xz and bzip2 are refused here (no registry serves them). Bombs are refused by the ratio of SECURITY 7.
/// Throws Error{invalid_argument} for broken or truncated data, Error{too_large} for a bomb.
class Decompressor {
 public:
  using Sink = std::function<void(std::string_view plain)>;

  explicit Decompressor(Sink sink);
  ~Decompressor();
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;

  void write(std::string_view data);
  /// The end of the data: throws when the stream is not complete.
  void finish();

 private:
  class Codec;
  class Gzip;
  class Zstd;
  class Plain;
  void choose();
  void emit(std::string_view plain);

  Sink sink_;
  std::string pending_;  ///< the first bytes, until the kind is known
  std::unique_ptr<Codec> codec_;
  std::uint64_t bytes_in_ = 0;
  std::uint64_t bytes_out_ = 0;
};

/// Reads a whole descriptor (pipe or file), of any Compression, into the sink. Blocks on it.
/// `on_input` is told the compressed bytes read so far; `before_read` may wait for the descriptor in a way of its own,
/// or throw to end the reading.
void decompress_fd(int fd, const Decompressor::Sink& sink,
                   const std::function<void(std::uint64_t bytes_read)>& on_input = {},
                   const std::function<void()>& before_read = {});

}  // namespace mydocker::image
