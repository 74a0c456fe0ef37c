#pragma once

#include <string>
#include <string_view>

#include "cli/command.h"

namespace mydocker::cli {

/// The question of every prune: "WARNING! <warning>\nAre you sure you want to continue? [y/N] ". --force answers it;
/// without a terminal the answer is read from stdin all the same.
bool confirm(const Arguments& arguments, std::string_view warning);

}  // namespace mydocker::cli
