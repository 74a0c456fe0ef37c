#pragma once

#include <string>
#include <vector>

#include "engine/container.h"

namespace mydocker::engine {

/// A refusal that a program complained of in its output: the kernel tells nobody but the program itself that a system
/// call was denied, so the words of the program are the only fact there is.
struct Denial {
  std::string line;
  std::string call;        ///< the system call behind it: "mount"; "" when the words do not tell
  std::string capability;  ///< what the call needs: "CAP_SYS_ADMIN"; "" when none would help, or the call is unknown
  bool has_capability = false;  ///< the container has it, so that it was something else
};

/// The last such line; `line` is empty when there is none. Reads the engine's own bounding set, else pure.
Denial find_denial(const std::vector<std::string>& log, const ContainerRecord& record);

/// Sentences about it: what was refused, why, and which option would allow it.
std::vector<std::string> describe_denial(const Denial& denial, const ContainerRecord& record);

}  // namespace mydocker::engine
