#include "runtime/cgroup_convert.h"

#include <algorithm>
#include <cmath>

#include "engine/base/error.h"

namespace mydocker::runtime {

std::uint64_t weight_of_shares(std::uint64_t shares) {
  if (shares == 0) return 0;
  if (shares <= 2) return 1;
  if (shares >= 262144) return 10000;
  const double log_shares = std::log2(static_cast<double>(shares));
  const double exponent = (log_shares * log_shares + 125 * log_shares) / 612.0 - 7.0 / 34.0;
  return static_cast<std::uint64_t>(std::ceil(std::pow(10.0, exponent)));
}

std::uint64_t io_weight_of_blkio(std::uint64_t weight) {
  if (weight == 0) return 0;
  const std::uint64_t clamped = std::clamp<std::uint64_t>(weight, 10, 1000);
  return 1 + (clamped - 10) * 9999 / 990;
}

std::optional<std::string> swap_for_v2(std::int64_t memory_and_swap, std::optional<std::int64_t> memory) {
  if (memory_and_swap == 0) return std::nullopt;
  if (memory_and_swap < 0) return "max";
  if (!memory || *memory <= 0) {
    throw Error(ErrorKind::invalid_argument, "a limit of memory and swap together needs a memory limit");
  }
  if (memory_and_swap < *memory) {
    throw Error(ErrorKind::invalid_argument, "the limit of memory and swap together is below the memory limit");
  }
  return std::to_string(memory_and_swap - *memory);
}

std::string cpu_max(std::optional<std::int64_t> quota, std::optional<std::uint64_t> period) {
  const std::uint64_t length = period && *period != 0 ? *period : default_cpu_period_us;
  if (!quota || *quota <= 0) return concat("max ", length);
  return concat(*quota, " ", length);
}

}  // namespace mydocker::runtime
