#include "storage/space_guard.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>

#include "engine/base/sys.h"

namespace mydocker::storage {
namespace {

constexpr std::uint64_t bytes_between_checks = 16 << 20;
constexpr std::uint64_t reserve_divisor = 20;  // 5 %

}  // namespace

SpaceGuard::SpaceGuard(int directory, std::uint64_t reserve_bytes)
    : directory_(directory), reserve_bytes_(reserve_bytes) {
  check();
}

void SpaceGuard::spend(std::uint64_t bytes) {
  spent_ += bytes;
  if (spent_ >= bytes_between_checks) check();
}

void SpaceGuard::check() {
  spent_ = 0;
  struct statvfs status{};
  if (::fstatvfs(directory_, &status) != 0) throw sys_error("statvfs");
  const std::uint64_t block = status.f_frsize;
  const std::uint64_t reserve = std::min(reserve_bytes_, status.f_blocks * block / reserve_divisor);
  if (status.f_bavail * block < reserve) throw make_sys_error(ENOSPC, "free-space reserve reached");
}

}  // namespace mydocker::storage
