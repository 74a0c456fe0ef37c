#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/base/error.h"

/// Small text tools of the option parsers. Pure.
namespace mydocker::cli {

std::vector<std::string> split(std::string_view text, char separator);
std::string join(const std::vector<std::string>& words, std::string_view separator);
std::string to_lower(std::string_view text);
std::string to_upper(std::string_view text);
std::string_view trim(std::string_view text);
/// One record of Go's encoding/csv: commas, "quoted, fields", doubled quotes. Throws Error{invalid_argument}.
std::vector<std::string> split_csv(std::string_view text);

template <typename... Pieces>
Error invalid_option(const Pieces&... pieces) {
  return Error(ErrorKind::invalid_argument, concat(pieces...));
}

}  // namespace mydocker::cli
