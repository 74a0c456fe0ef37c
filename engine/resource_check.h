#pragma once

#include <string>
#include <vector>

#include "engine/create_check.h"

/// The limits of a HostConfig against what this host can do. Pure. Throw Error{invalid_argument} in Docker's words.
namespace mydocker::engine {

/// Also fills in the swap limit that Docker derives from the memory limit.
void check_memory(api::HostConfig& host, const HostFacts& facts, std::vector<std::string>& warnings);
void check_cpu(const api::HostConfig& host, const HostFacts& facts);
void check_block_io(const api::HostConfig& host, const HostFacts& facts);

}  // namespace mydocker::engine
