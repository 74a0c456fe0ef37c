#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/types/container.h"

/// Cell texts that several lists share. Pure.
namespace mydocker::cli {

/// "0.0.0.0:8080->80/tcp, 0.0.0.0:9000-9002->9000-9002/tcp, 443/tcp": neighbours of one address are joined to ranges.
std::string ports_text(std::vector<api::Port> ports);
/// "a=1,b=2", sorted.
std::string labels_text(const api::StringMap& labels);

}  // namespace mydocker::cli
