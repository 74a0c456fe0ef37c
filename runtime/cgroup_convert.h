#pragma once

#include <cstdint>
#include <optional>
#include <string>

/// From the v1 shape of OCI's limits to v2 (crun's and runc's published formulas). Pure.
namespace mydocker::runtime {

/// What the kernel takes where no period was given (kernel scheduler/sched-bwc).
inline constexpr std::uint64_t default_cpu_period_us = 100000;

/// cpu.weight 1-10000 for cpu.shares 2-262144: a quadratic fit of the logarithms through (2,1), (1024,100),
/// (262144,10000), as runc 1.3 and systemd count, so that 1024 shares are the default weight 100.
std::uint64_t weight_of_shares(std::uint64_t shares);
/// io.weight 1-10000 for blkio weights 10-1000.
std::uint64_t io_weight_of_blkio(std::uint64_t weight);
/// memory.swap.max: v1 counts memory and swap together. nullopt: nothing to write.
std::optional<std::string> swap_for_v2(std::int64_t memory_and_swap, std::optional<std::int64_t> memory);
/// "50000 100000" or "max 100000".
std::string cpu_max(std::optional<std::int64_t> quota, std::optional<std::uint64_t> period);

}  // namespace mydocker::runtime
