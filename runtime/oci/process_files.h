#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "runtime/oci/command_line.h"

/// What a new process gets from the caller of the runtime, and what the caller gets of it.
namespace mydocker::oci {

/// The descriptors 3, 4, ... that --preserve-fds and LISTEN_FDS (man 3 sd_listen_fds) hand through to the process.
/// Throws Error{invalid_argument} when one of them is not open.
std::vector<int> list_preserved_descriptors(const Arguments& arguments);
/// How many of them LISTEN_FDS counts.
int count_listen_descriptors();
/// Replaces --pid-file by the number; nothing without the option.
void write_pid_file(const Arguments& arguments, pid_t pid);

}  // namespace mydocker::oci
