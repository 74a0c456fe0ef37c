#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/base/unique_fd.h"

/// The directories of one cgroup hierarchy: made with all that is above them, and taken away with what was made above.
/// A directory that was made on the way to another one bears a mark, an extended attribute that lives and dies with it
/// (trusted.*; user.* for who has no rights). So whoever removes the last cgroup below it, be it another container,
/// engine or runtime, knows that nobody else put it there. All functions block on the kernel; any thread.
namespace mydocker::runtime {

/// The parts between separators; empty ones are left out.
std::vector<std::string> split(std::string_view text, char separator);
/// Without newlines and spaces at the end.
std::string trim(std::string text);
/// Names of the directories in a directory.
std::vector<std::string> subdirectories(int dir);

/// Makes `parts`, one below the other, where they are missing, and gives the last one. Each parent hands its v2
/// controllers on; on a v1 cpuset hierarchy (`cpuset`) what is empty takes its parent's CPUs and memory nodes. Others
/// may make and remove the same parents at the same time. Throws Error{internal} that names the directory.
UniqueFd make_cgroup_directories(int top, const std::vector<std::string>& parts, bool v2, bool cpuset);

/// Removes `parts`, descendants included, below the directory `top`, then its parents that bear the mark and hold
/// nothing any more. false: the cgroup itself is busy.
bool remove_cgroup_directories(int top, const std::vector<std::string>& parts);

}  // namespace mydocker::runtime
