#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/base/unique_fd.h"
#include "storage/limits.h"
#include "storage/tar_format.h"

namespace mydocker::storage {

/// What a member's name asks for (OCI image-spec, layer.md, "Whiteouts").
struct TarPath {
  enum class Meaning {
    entry,     ///< an ordinary member
    whiteout,  ///< ".wh.NAME": `parts` ends with NAME, which lower layers lose
    opaque,    ///< ".wh..wh..opq": `parts` is the directory whose lower content is hidden
    ignored,   ///< aufs' own bookkeeping (".wh..wh.*")
  };
  Meaning meaning = Meaning::entry;
  std::vector<std::string> parts;  ///< without "." and empty ones; empty = the root

  /// Throws Error{invalid_argument} for "..", a whiteout of "." or "..", a whiteout as directory name, and
  /// Error{too_large} beyond the limits.
  static TarPath parse(std::string_view name, const UnpackLimits& limits);
};

/// The tree of a layer while a tar is unpacked into it; the only code that makes files from an archive's words.
///
/// Every parent is opened without following a symlink; where there is one, it is resolved by hand inside the tree, so
/// that `lib -> usr/lib`, then `lib/x` lands where a chroot would put it, and the path without symlinks is known to the
/// recipe. Every leaf is made with O_EXCL or its like; owner, mode, xattrs and times are set through the descriptor of
/// what was just made (SECURITY R1, R7). A member replaces an earlier one of the same name; contents and directories
/// that go so are moved to lost/ (tar_recipe.h). Whiteouts only concern lower layers, whatever their order in the tar.
/// Single-threaded, in a process with umask 0. Throws Error{invalid_argument} for what the archive must not ask for,
/// Error{internal} for failing system calls.
class TarTree {
 public:
  /// A regular file being filled.
  struct File {
    UniqueFd fd;
    std::string path;  ///< below the tree, free of symlinks
  };

  /// `quarantine` is the layer's directory; makes `tree` in it. `content_records` tells how far the recipe is.
  TarTree(int quarantine, const UnpackLimits& limits, std::function<std::uint64_t()> content_records);

  /// Makes a regular file; the caller writes its content, then calls finish_file.
  File make_file(const TarPath& path, const TarEntry& entry);
  void finish_file(const File& file, const TarEntry& entry);
  /// Everything but regular files.
  void make_other(const TarPath& path, const TarEntry& entry);
  void make_whiteout(const TarPath& path);
  void make_opaque(const TarPath& path);
  /// Sets the directories' times (last, for each new child changes them) and writes lost/index.
  void finish();

  /// The root itself was declared opaque: overlayfs has no mark for that.
  bool opaque_root() const noexcept { return opaque_root_; }

 private:
  struct Parent {
    UniqueFd fd;
    std::string path;
    bool setgid = false;
  };
  struct Move {
    std::uint64_t count;
    std::string path;
  };

  const Parent& open_parent(const std::vector<std::string>& parts, std::size_t count, bool make_missing);
  Parent open_dirs(const std::vector<std::string>& parts, std::size_t count, bool make_missing);
  Parent resolve_dirs(const std::vector<std::string>& parts, std::size_t count, bool make_missing);
  UniqueFd make_implied_dir(int parent, const std::string& name, std::string_view path, bool over_whiteout);
  void make_way(const Parent& parent, const std::string& leaf);
  void make_directory(const TarPath& path, const TarEntry& entry);
  void make_hard_link(const TarPath& path, const TarEntry& entry);
  template <typename Make>
  void make_node(const Parent& parent, const std::string& leaf, std::string_view call, Make&& make);
  void remember_times(std::string_view path, const TarEntry& entry);

  UnpackLimits limits_;
  UniqueFd quarantine_;
  UniqueFd tree_;
  UniqueFd lost_;
  UniqueFd times_;  ///< spool: directories and their times, in the order of the archive
  std::string times_buffer_;
  std::function<std::uint64_t()> content_records_;
  std::vector<Move> moves_;
  std::unordered_map<std::string, Parent> parents_;
  Parent root_;
  bool opaque_root_ = false;
};

/// The xattrs that go from an archive into a tree and back: user.* but overlayfs' own, and
/// security.capability. All others stay in the recipe alone.
bool is_portable_xattr(std::string_view name);
/// Sets a member's portable xattrs; a file system that knows none is no error.
void set_xattrs(int fd, const TarEntry& entry);

/// The parts of a member's name, without "." and empty ones. Throws Error{invalid_argument} for "..", Error{too_large}
/// beyond the limits.
std::vector<std::string> parse_member_name(std::string_view name, const UnpackLimits& limits);

}  // namespace mydocker::storage
