#include "storage/tar_apply.h"

#include <fcntl.h>
#include <sys/statvfs.h>

#include <algorithm>

#include "engine/base/failpoint.h"
#include "engine/base/sys.h"
#include "storage/tar_recipe.h"
#include "storage/tar_tree.h"

namespace mydocker::storage {
namespace {

constexpr std::uint64_t bytes_between_checks = 16 << 20;
constexpr std::uint64_t entry_cost_bytes = 4096;  ///< what a member takes on disk beside its content, at least
constexpr std::uint64_t reserve_divisor = 20;     // 5 %

/// Refuses to fill the disk to the last byte: the engine's own database needs some.
class SpaceGuard {
 public:
  SpaceGuard(int dir, std::uint64_t reserve_bytes) : dir_(dir), reserve_bytes_(reserve_bytes) { check(); }

  void spend(std::uint64_t bytes) {
    spent_ += bytes;
    if (spent_ >= bytes_between_checks) check();
  }

 private:
  void check() {
    spent_ = 0;
    struct statvfs status{};
    if (::fstatvfs(dir_, &status) != 0) throw sys_error("statvfs");
    const std::uint64_t block = status.f_frsize;
    const std::uint64_t reserve = std::min(reserve_bytes_, status.f_blocks * block / reserve_divisor);
    if (status.f_bavail * block < reserve) throw make_sys_error(ENOSPC, "free-space reserve reached");
  }

  int dir_;
  std::uint64_t reserve_bytes_;
  std::uint64_t spent_ = 0;
};

/// Writes a whole chunk at its place.
void write_at(int fd, std::string_view path, TarData data) {
  while (!data.bytes.empty()) {
    const ssize_t done = retry_on_eintr(
        [&] { return ::pwrite(fd, data.bytes.data(), data.bytes.size(), static_cast<off_t>(data.offset)); });
    if (done < 0) throw sys_error("write ", path);
    data.bytes.remove_prefix(static_cast<std::size_t>(done));
    data.offset += static_cast<std::uint64_t>(done);
  }
}

class Unpacking {
 public:
  Unpacking(ByteSource source, int quarantine, const UnpackLimits& limits)
      : limits_(limits),
        recipe_(open_at(quarantine, "recipe", O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600)),
        reader_(
            std::move(source), [this](std::string_view bytes) { take_literal(bytes); }, limits),
        tree_(quarantine, limits, [this] { return recipe_.content_records(); }),
        space_(quarantine, limits.reserve_bytes) {}

  UnpackResult run() {
    while (const std::optional<TarEntry> entry = reader_.next()) {
      failpoint("unpack.entry");
      if (++result_.entries > limits_.entries) {
        throw Error(ErrorKind::too_large, concat("more than ", limits_.entries, " files in one layer"));
      }
      space_.spend(entry_cost_bytes);
      take(*entry);
    }
    reader_.drain();
    failpoint("unpack.finish");
    tree_.finish();
    recipe_.finish();
    result_.opaque_root = tree_.opaque_root();
    return result_;
  }

 private:
  void take_literal(std::string_view bytes) {
    space_.spend(bytes.size() / 64);  // recipes are compressed; what is not compressible shows up all the same
    recipe_.literal(bytes);
  }

  void take(const TarEntry& entry) {
    const TarPath path = TarPath::parse(entry.name, limits_);
    switch (path.meaning) {
      case TarPath::Meaning::ignored:
        return;  // the reader gives its content to the recipe
      case TarPath::Meaning::whiteout:
        return tree_.make_whiteout(path);
      case TarPath::Meaning::opaque:
        return tree_.make_opaque(path);
      case TarPath::Meaning::entry:
        return entry.type == TarType::file ? take_file(path, entry) : tree_.make_other(path, entry);
    }
  }

  void take_file(const TarPath& path, const TarEntry& entry) {
    if (entry.real_bytes > limits_.file_bytes || entry.stored_bytes > limits_.tree_bytes) {
      throw Error(ErrorKind::too_large, concat("\"", entry.name, "\": file of ", entry.real_bytes, " bytes"));
    }
    const TarTree::File file = tree_.make_file(path, entry);
    while (const std::optional<TarData> data = reader_.read_data()) {
      space_.spend(data->bytes.size());
      contents_ += data->bytes.size();
      if (contents_ > limits_.tree_bytes) throw Error(ErrorKind::too_large, "layer too large");
      write_at(file.fd.get(), file.path, *data);
      recipe_.content(file.path, data->offset, data->bytes.size());
    }
    if (entry.sparse && ::ftruncate(file.fd.get(), static_cast<off_t>(entry.real_bytes)) != 0) {
      throw sys_error("truncate ", file.path);
    }
    tree_.finish_file(file, entry);
    result_.size_bytes += static_cast<std::int64_t>(entry.real_bytes);
  }

  UnpackLimits limits_;
  RecipeWriter recipe_;
  TarReader reader_;
  TarTree tree_;
  SpaceGuard space_;
  std::uint64_t contents_ = 0;
  UnpackResult result_;
};

}  // namespace

UnpackResult unpack_layer(ByteSource source, int quarantine, const UnpackLimits& limits) {
  return Unpacking(std::move(source), quarantine, limits).run();
}

}  // namespace mydocker::storage
