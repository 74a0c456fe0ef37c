#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/storage/tar_builder.h"

namespace mydocker::storage::test {

/// One archive that wants something it must not get, with the reference rule written down (SECURITY A1, R7).
struct HostileTar {
  std::string name;
  std::string rule;          ///< what must happen, in words
  std::string refused_with;  ///< part of the error's text; empty: accepted
  TarBytes members;          ///< without the end of the archive
  /// For accepted ones: path in the tree and what store_fixture's describe() must begin with there.
  std::vector<std::pair<std::string, std::string>> expected = {};
};

/// `canary` is an absolute directory outside of every tree, with a file `secret` in it.
std::vector<HostileTar> hostile_tars(const std::string& canary);

}  // namespace mydocker::storage::test
