#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "storage/tar_writer.h"

/// What a container changed, as a list and as an archive. Runs in the confined worker; the container may be running.
namespace mydocker::storage {

/// `docker diff`'s numbers.
enum class ChangeKind { modified = 0, added = 1, deleted = 2 };

using ChangeSink = std::function<void(ChangeKind kind, std::string_view path)>;

/// Compares the upper directory with the merged lower layers (`lower` < 0: none). Paths have no leading slash and come
/// in no particular order; the parents of what changed are reported as modified.
void find_changes(int upper, int lower, std::size_t longest_path, const ChangeSink& sink);

enum class TarForm {
  plain,  ///< everything as it is: the merged view of a container
  layer,  ///< an upper directory: overlayfs' marks become whiteouts (OCI image-spec, layer.md)
};

/// Writes the tree below `root` (but not `root` itself) as an archive. Sockets are left out.
void write_tree(int root, TarForm form, std::size_t longest_path, const TarWriter::Sink& sink);

/// Writes the file or directory `name` of the directory `parent` as an archive whose members are called `member` and
/// `member`/...; "." and "/" work, too. Nothing is followed. Sockets are left out.
void write_member(int parent, const std::string& name, const std::string& member, std::size_t longest_path,
                  const TarWriter::Sink& sink);

/// Bytes of all files below `root`; each file counts once, however many names it has.
std::int64_t tree_size(int root);

}  // namespace mydocker::storage
