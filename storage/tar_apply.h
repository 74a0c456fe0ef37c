#pragma once

#include <cstdint>
#include <tuple>

#include "engine/base/json.h"
#include "storage/limits.h"
#include "storage/tar_reader.h"

namespace mydocker::storage {

/// What unpacking a layer tar found.
struct UnpackResult {
  std::int64_t size_bytes = 0;  ///< contents of regular files
  std::uint64_t entries = 0;
  bool opaque_root = false;  ///< nothing of lower layers shows

  static constexpr auto json_fields() {
    return std::tuple(field("size_bytes", &UnpackResult::size_bytes), field("entries", &UnpackResult::entries),
                      field("opaque_root", &UnpackResult::opaque_root));
  }
};

/// Unpacks the plain tar from `source` into the empty directory `quarantine`: makes tree, recipe and, where members
/// replaced others, lost. Reads the source to its end. Runs in the confined worker with umask 0. Throws
/// Error{invalid_argument} for a hostile or broken archive, Error{too_large} for a limit, Error{internal} for the disk
/// (errno ENOSPC also when the free-space reserve is reached).
UnpackResult unpack_layer(ByteSource source, int quarantine, const UnpackLimits& limits);

}  // namespace mydocker::storage
