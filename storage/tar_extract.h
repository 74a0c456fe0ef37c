#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "storage/limits.h"
#include "storage/tar_reader.h"

namespace mydocker::storage {

struct ExtractOptions {
  UnpackLimits limits;
  std::string destination;  ///< the directory's path in the container, for messages
  bool keep_kinds = false;  ///< a directory never replaces anything else, nor anything else a directory
  /// Whom everything belongs to; nullopt: the owners that the archive names.
  std::optional<std::pair<std::uint32_t, std::uint32_t>> owner;
};

/// Unpacks an archive into the directory of a tree that others use meanwhile (docker cp). The process's root must be
/// the tree's root: symlinks among the parents are followed as a program in the container would, magic links are not. A
/// leaf is made anew, never written through: what has its name goes first, but for a directory where a directory comes
/// and a mount point. Owner, mode, xattrs and times are set on descriptors of what was just made (SECURITY R7). Synced
/// when it returns. Throws Error{invalid_argument} for what cannot be and for `keep_kinds`, Error{too_large} for a
/// limit, Error{internal} for failing system calls.
void extract_tar(ByteSource source, int directory, const ExtractOptions& options);

}  // namespace mydocker::storage
