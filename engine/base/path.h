#pragma once

#include <string>
#include <string_view>

namespace mydocker {

/// The path from "/" without "//", "." and ".."; ".." of the root is the root. By text only: nothing is looked up, so a
/// cleaned path says nothing about symlinks. Never empty, ends with "/" only when it is "/". Pure.
std::string clean_path(std::string_view path);

}  // namespace mydocker
