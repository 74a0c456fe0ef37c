#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/unique_fd.h"
#include "runtime/log_format.h"

/// Rotated logs as gzip files (RFC 1952). An extra field "MD" of the header holds the inode number of the log that it
/// was made of, so that a reader which has that file open still knows where in the row of files it stands. Any thread.
namespace mydocker::runtime {

/// "path.N.gz".
std::string make_compressed_log_path(std::string_view path, std::int64_t index);

/// Compresses all of `source` into `target`. Blocks. Throws Error{internal}.
void gzip_log(int source, int target);
/// The inode number that gzip_log wrote down; nullopt: not ours.
std::optional<std::uint64_t> read_gzip_origin(int compressed);
/// All of it, in an unnamed file of `directory`. Blocks. Throws Error{internal}; a damaged end is cut off.
UniqueFd gunzip_log(int compressed, const std::string& directory);

}  // namespace mydocker::runtime
