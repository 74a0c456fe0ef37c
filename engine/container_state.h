#pragma once

#include <string_view>

#include "engine/base/error.h"

/// The one truth about where a container stands (STYLE 3.8). Pure.
namespace mydocker::engine {

enum class ContainerState { created, running, paused, restarting, exited, removing, dead };

/// "created", "running", ... as State.Status prints it.
std::string_view to_string(ContainerState state) noexcept;
/// The reverse; throws Error{internal} for a word that the database should not hold.
ContainerState parse_container_state(std::string_view word);
/// Is `word` a state's name (for the `status` filter)?
bool is_container_state(std::string_view word) noexcept;

/// inspect's booleans are derived here and nowhere else.
struct StateFlags {
  bool running = false;  ///< also true while paused or restarting (as moby)
  bool paused = false;
  bool restarting = false;
  bool dead = false;
};
StateFlags derive_flags(ContainerState state) noexcept;
/// Has a living process: running or paused.
bool is_alive(ContainerState state) noexcept;

enum class Verb {
  start,
  stop,
  restart,
  kill,
  pause,
  unpause,
  attach,
  exec,
  resize,
  top,
  update,
  remove,
  force_remove,
  rename,
  logs,
  files
};

/// Throws not_modified or conflict (in moby's words, with the full ID) when `verb` cannot be done in `state`.
void check_allowed(Verb verb, ContainerState state, std::string_view id, std::string_view name);

}  // namespace mydocker::engine
