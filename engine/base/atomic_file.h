#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

namespace mydocker {

/// Replaces `path` by a file with this content so that a power cut leaves the old or the new one, never a part: written
/// aside, fsynced, renamed, directory fsynced. Blocks on the disk; any thread. Throws Error{internal}.
void write_file_atomically(const std::string& path, std::string_view content, mode_t mode = 0600);

/// The same without waiting for the disk: whole after any crash of programs, but not after a power cut. For what is
/// told to somebody first and made durable right after.
void replace_file(const std::string& path, std::string_view content, mode_t mode = 0600);
/// Makes it durable: fsyncs the file and its directory. Absence is fine: it was replaced or removed since.
void make_durable(const std::string& path);

/// fsync(2) of a directory: makes renames and new names in it durable.
void sync_directory(const std::string& path);

}  // namespace mydocker
