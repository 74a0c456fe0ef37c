#pragma once

#include <cstdint>

namespace mydocker::storage {

/// Refuses to fill the disk to the last byte: the engine's own database needs some. Single-threaded.
class SpaceGuard {
 public:
  /// Watches the file system of the directory; leaves `reserve_bytes` or 5 % of it, whichever is less. Throws
  /// Error{internal} with ENOSPC when that much is not free.
  SpaceGuard(int directory, std::uint64_t reserve_bytes);

  /// Counts what was written; looks again now and then. Throws as the constructor.
  void spend(std::uint64_t bytes);

 private:
  void check();

  int directory_;
  std::uint64_t reserve_bytes_;
  std::uint64_t spent_ = 0;
};

}  // namespace mydocker::storage
