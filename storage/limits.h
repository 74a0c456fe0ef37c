#pragma once

#include <cstdint>
#include <tuple>

#include "engine/base/json.h"

/// What one layer may ask for (SECURITY 7, "unpack"; R9). Defaults are the product's; configuration only lowers them.
namespace mydocker::storage {

struct UnpackLimits {
  std::uint64_t entries = 2'000'000;
  std::uint64_t name_bytes = 4'096;                ///< a path, also after symlinks are resolved, and a link's text
  std::uint64_t component_bytes = 255;             ///< one part of a path
  std::uint64_t special_bytes = 1 << 20;           ///< a pax header, a GNU long name, a sparse map
  std::uint64_t replaced_entries = 100'000;        ///< members that take the place of earlier ones
  std::uint64_t sparse_pieces = 262'144;           ///< pieces of one sparse file
  std::uint64_t file_bytes = 1ULL << 44;           ///< apparent size of one file (16 TiB: ext4's own limit)
  std::uint64_t tree_bytes = 1ULL << 44;           ///< contents of one layer
  std::uint64_t worker_memory_bytes = 512U << 20;  ///< RLIMIT_AS of the worker
  /// Free space that an unpack leaves: `reserve_bytes` or 5 % of the file system, whichever is less.
  std::uint64_t reserve_bytes = 1ULL << 30;

  static constexpr auto json_fields() {
    return std::tuple(field("entries", &UnpackLimits::entries), field("name_bytes", &UnpackLimits::name_bytes),
                      field("component_bytes", &UnpackLimits::component_bytes),
                      field("special_bytes", &UnpackLimits::special_bytes),
                      field("replaced_entries", &UnpackLimits::replaced_entries),
                      field("sparse_pieces", &UnpackLimits::sparse_pieces),
                      field("file_bytes", &UnpackLimits::file_bytes), field("tree_bytes", &UnpackLimits::tree_bytes),
                      field("worker_memory_bytes", &UnpackLimits::worker_memory_bytes),
                      field("reserve_bytes", &UnpackLimits::reserve_bytes));
  }
};

}  // namespace mydocker::storage
