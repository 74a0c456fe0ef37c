#pragma once

#include <string>
#include <utility>
#include <vector>

#include "api/types/stats.h"

namespace mydocker::cli {

/// The cells of `stats` for one sample. Pure.
std::vector<std::pair<std::string, json::value>> stats_fields(const api::Stats& stats, const std::string& container,
                                                              bool truncate);

}  // namespace mydocker::cli
