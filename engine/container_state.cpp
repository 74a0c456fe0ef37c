#include "engine/container_state.h"

#include <utility>

namespace mydocker::engine {
namespace {

constexpr std::pair<ContainerState, std::string_view> words[] = {
    {ContainerState::created, "created"}, {ContainerState::running, "running"},
    {ContainerState::paused, "paused"},   {ContainerState::restarting, "restarting"},
    {ContainerState::exited, "exited"},   {ContainerState::removing, "removing"},
    {ContainerState::dead, "dead"},
};

[[noreturn]] void conflict(std::string message) { throw Error(ErrorKind::conflict, std::move(message)); }

bool is_going(ContainerState state) { return state == ContainerState::removing || state == ContainerState::dead; }

void check_start(ContainerState state) {
  if (state == ContainerState::running || state == ContainerState::restarting) {
    throw Error(ErrorKind::not_modified, "container already started");
  }
  if (state == ContainerState::paused) conflict("cannot start a paused container, try unpause instead");
  if (is_going(state)) conflict("container is marked for removal and cannot be started");
}

void check_remove(ContainerState state, std::string_view name) {
  if (is_alive(state) || state == ContainerState::restarting) {
    const bool paused = state == ContainerState::paused;
    conflict(concat("cannot remove container \"", name, "\": container is ", to_string(state), ": ",
                    paused ? "unpause the container and stop it" : "stop the container",
                    " before removing or force remove"));
  }
}

}  // namespace

std::string_view to_string(ContainerState state) noexcept {
  for (const auto& [value, word] : words) {
    if (value == state) return word;
  }
  return "dead";
}

ContainerState parse_container_state(std::string_view word) {
  for (const auto& [value, name] : words) {
    if (name == word) return value;
  }
  throw Error(ErrorKind::internal, concat("unknown container state \"", word, "\""));
}

bool is_container_state(std::string_view word) noexcept {
  for (const auto& [value, name] : words) {
    if (name == word) return true;
  }
  return false;
}

StateFlags derive_flags(ContainerState state) noexcept {
  return StateFlags{.running = is_alive(state) || state == ContainerState::restarting,
                    .paused = state == ContainerState::paused,
                    .restarting = state == ContainerState::restarting,
                    .dead = state == ContainerState::dead};
}

bool is_alive(ContainerState state) noexcept {
  return state == ContainerState::running || state == ContainerState::paused;
}

void check_allowed(Verb verb, ContainerState state, std::string_view id, std::string_view name) {
  switch (verb) {
    case Verb::start:
      return check_start(state);
    case Verb::stop:
      if (!is_alive(state) && state != ContainerState::restarting) {
        throw Error(ErrorKind::not_modified, "container already stopped");
      }
      return;
    case Verb::restart:
      if (is_going(state)) conflict("container is marked for removal and cannot be started");
      return;
    case Verb::kill:
    case Verb::resize:
      if (!is_alive(state)) conflict(concat("container ", id, " is not running"));
      return;
    case Verb::top:
      if (state == ContainerState::restarting) {
        conflict(concat("Container ", id, " is restarting, wait until the container is running"));
      }
      if (!is_alive(state)) conflict(concat("container ", id, " is not running"));
      return;
    case Verb::pause:
      if (state == ContainerState::paused) conflict(concat("Container ", id, " is already paused"));
      if (state == ContainerState::restarting) {
        conflict(concat("Container ", id, " is restarting, wait until the container is running"));
      }
      if (state != ContainerState::running) conflict(concat("Container ", id, " is not running"));
      return;
    case Verb::unpause:
      // Docker quirk: unpausing what is not paused is a 500 (daemon/unpause.go).
      if (state != ContainerState::paused) throw Error(ErrorKind::internal, concat("Container ", id, " is not paused"));
      return;
    case Verb::attach:
      if (state == ContainerState::paused) {
        conflict(concat("container ", id, " is paused, unpause the container before attach"));
      }
      if (state == ContainerState::restarting) {
        conflict(concat("container ", id, " is restarting, wait until the container is running"));
      }
      return;
    case Verb::exec:
      if (state == ContainerState::paused) {
        conflict(concat("container ", id, " is paused, unpause the container before exec"));
      }
      if (state == ContainerState::restarting) {
        conflict(concat("container ", id, " is restarting, wait until the container is running"));
      }
      if (state != ContainerState::running) conflict(concat("container ", id, " is not running"));
      return;
    case Verb::remove:
      check_remove(state, name);
      [[fallthrough]];
    case Verb::force_remove:
      if (state == ContainerState::removing) conflict(concat("removal of container ", name, " is already in progress"));
      return;
    case Verb::update:
    case Verb::rename:
    case Verb::logs:
    case Verb::files:
      if (is_going(state)) conflict(concat("container ", id, " is dead or marked for removal"));
      return;
  }
}

}  // namespace mydocker::engine
