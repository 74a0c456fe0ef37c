#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/unique_fd.h"

/// How to rebuild a layer's tar from its tree, bit for bit (DESIGN 3.7).
///
/// `recipe` is one zstd stream of
///   "mydocker recipe 1\n", then records:
///   'L' length bytes...          bytes of the tar that are no file's content: headers, padding, what follows the end
///   'C' length path... offset length   bytes of the tar that stand in the file tree/<path>; symlink-free path
///   'E' total                    end; length of the whole tar
/// with numbers in LEB128. Contents that a later member of the same tar replaced are moved to lost/<number> when that
/// happens; `lost/index` says so: records of "count number path\0", count being the 'C' records written before. A file
/// is where the first move after its record took it, or else in the tree.
namespace mydocker::storage {

/// Writes a recipe. Single-threaded. Throws Error{internal} (ENOSPC in errno_value).
class RecipeWriter {
 public:
  explicit RecipeWriter(UniqueFd file);
  ~RecipeWriter();
  RecipeWriter(const RecipeWriter&) = delete;
  RecipeWriter& operator=(const RecipeWriter&) = delete;

  void literal(std::string_view bytes);
  void content(std::string_view path, std::uint64_t offset, std::uint64_t length);
  /// 'C' records so far; what is pending is written first.
  std::uint64_t content_records();
  void finish();
  std::uint64_t total_bytes() const noexcept { return total_; }

 private:
  void flush_literal();
  void flush_content();
  void put(std::string_view bytes);
  void put_number(std::uint64_t value);
  void compress(bool end);

  UniqueFd file_;
  struct Stream;
  std::unique_ptr<Stream> stream_;
  std::string plain_;
  std::string literal_;
  std::string path_;
  std::uint64_t offset_ = 0;
  std::uint64_t length_ = 0;
  std::uint64_t records_ = 0;
  std::uint64_t total_ = 0;
};

/// Rebuilds the tar of the layer directory `layer` (which holds tree, recipe and perhaps lost) into `sink`.
/// Blocks; single-threaded. Throws Error{internal} when the recipe is broken or a file is missing or short.
void rebuild_tar(int layer, const std::function<void(std::string_view)>& sink);

}  // namespace mydocker::storage
