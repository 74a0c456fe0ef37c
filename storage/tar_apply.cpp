#include "storage/tar_apply.h"

#include <fcntl.h>

#include "engine/base/failpoint.h"
#include "engine/base/sys.h"
#include "storage/space_guard.h"
#include "storage/tar_recipe.h"
#include "storage/tar_tree.h"

namespace mydocker::storage {
namespace {

constexpr std::uint64_t entry_cost_bytes = 4096;  ///< what a member takes on disk beside its content, at least

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
      write_data(file.fd.get(), file.path, *data);
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
