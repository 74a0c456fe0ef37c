#pragma once

#include <functional>
#include <string>

namespace mydocker::engine {

/// "adjective_surname" for a container without a name: six tries, the later ones with a digit behind, then the first
/// twelve digits of `id` (WIRE 13). Never fails.
std::string generate_name(const std::string& id, const std::function<bool(const std::string&)>& is_taken);

}  // namespace mydocker::engine
