#pragma once

#include <string>
#include <vector>

#include "engine/explanation.h"

namespace mydocker::engine {

/// What the layers (topmost first, the upper directory before all) hold of a program: looked up through links as a
/// container would, every step confined to its layer (SECURITY R1). `program` without a slash is searched in `path`
/// ("/usr/bin:/bin"). Blocks on the disk; reads a few hundred bytes. Never throws: what cannot be read is not found.
ProgramFacts find_program_facts(const std::vector<std::string>& layers, const std::string& program,
                                const std::string& path);

/// Who listens on this port of the host ("0.0.0.0:8080"), by /proc: "the host's process nginx (pid 77)"; "" = nobody,
/// or it cannot be seen. Blocks.
std::string find_port_process(const std::string& address);

}  // namespace mydocker::engine
