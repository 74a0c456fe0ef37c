#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/spec_process.h"

/// The 41 capabilities by name and as bits (man 7 capabilities). Any thread unless said otherwise; nothing blocks.
namespace mydocker::runtime {

using CapabilityMask = std::uint64_t;

/// Bit number of "CAP_CHOWN" or "chown" (any case); nullopt for an unknown name.
std::optional<unsigned> find_capability(std::string_view name);
/// "CAP_CHOWN"; "" beyond the last known one.
std::string_view capability_name(unsigned number);
/// All names, in the kernel's order.
std::vector<std::string> all_capabilities();
/// Throws Error{invalid_argument} "unknown capability "CAP_X"".
CapabilityMask capability_mask(const std::vector<std::string>& names);
bool has_capability(CapabilityMask mask, unsigned number);

struct CapabilitySets {
  CapabilityMask bounding = 0;
  CapabilityMask effective = 0;
  CapabilityMask permitted = 0;
  CapabilityMask inheritable = 0;
  CapabilityMask ambient = 0;
};

/// The sets of a spec; absent = all empty. Throws as capability_mask does.
CapabilitySets parse_capabilities(const std::optional<Capabilities>& capabilities);
/// Those that the calling process may still hand out: its bounding set (prctl(2)).
CapabilityMask own_bounding_set();
/// Those that the calling process holds effectively.
CapabilityMask own_effective_set();

/// Leaves only `keep` in the bounding set of the calling process. Throws Error{internal}.
void limit_bounding_set(CapabilityMask keep);
/// Sets permitted, effective, inheritable, then ambient of the calling process; what it does not hold is left out,
/// so that a privileged container starts where the engine's own rights are limited. Throws Error{internal}.
void set_capabilities(const CapabilitySets& sets);

}  // namespace mydocker::runtime
