#pragma once

#include <optional>
#include <string>
#include <vector>

#include "api/types/explain.h"
#include "engine/container.h"

namespace mydocker::engine {

/// Who has a host port that a container wanted.
struct PortHolder {
  std::string port;    ///< "0.0.0.0:8080"
  std::string holder;  ///< "container web (0123456789ab)", "the host's process nginx (pid 77)"; "" = nobody any more
};

/// What the image says of a program that could not be run.
struct ProgramFacts {
  bool found = false;
  bool executable = false;
  std::string interpreter;  ///< of "#!" or of the ELF header; "" = needs none, or unknown
  bool interpreter_found = false;
};

/// Everything an explanation rests on; gathered by Engine::explain.
struct ExplainFacts {
  ContainerRecord record;
  ContainerState state = ContainerState::created;
  std::string status;
  std::string health;  ///< "", starting, healthy, unhealthy
  std::string health_output;
  std::vector<std::string> log;  ///< the last lines
  std::optional<PortHolder> port;
  std::optional<ProgramFacts> program;
};

/// Plain words from facts. Pure.
api::Explanation make_explanation(const ExplainFacts& facts);

/// The address of "Bind for 0.0.0.0:8080 failed: port is already allocated" (another container's) or of "failed to bind
/// host port for 0.0.0.0:8080:172.17.0.2:80/tcp: address already in use" (the host's); "" when the text is another.
/// Pure.
std::string find_refused_port(std::string_view error);

}  // namespace mydocker::engine
