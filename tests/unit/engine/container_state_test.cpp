#include "engine/container_state.h"

#include <gtest/gtest.h>

#include <optional>

namespace mydocker::engine {
namespace {

/// The kind that the verb is refused with; nullopt: it is allowed.
std::optional<ErrorKind> refusal(Verb verb, ContainerState state) {
  try {
    check_allowed(verb, state, "0123456789ab", "web");
  } catch (const Error& e) {
    return e.kind();
  }
  return std::nullopt;
}

using enum ContainerState;
constexpr auto allowed = std::nullopt;
constexpr auto not_modified = ErrorKind::not_modified;
constexpr auto conflict = ErrorKind::conflict;
constexpr auto internal = ErrorKind::internal;

struct Row {
  Verb verb;
  // created, running, paused, restarting, exited, removing, dead
  std::optional<ErrorKind> expected[7];
};

const Row table[] = {
    {Verb::start, {allowed, not_modified, conflict, not_modified, allowed, conflict, conflict}},
    {Verb::stop, {not_modified, allowed, allowed, allowed, not_modified, not_modified, not_modified}},
    {Verb::kill, {conflict, allowed, allowed, conflict, conflict, conflict, conflict}},
    {Verb::pause, {conflict, allowed, conflict, conflict, conflict, conflict, conflict}},
    {Verb::unpause, {internal, internal, allowed, internal, internal, internal, internal}},
    {Verb::exec, {conflict, allowed, conflict, conflict, conflict, conflict, conflict}},
    {Verb::attach, {allowed, allowed, conflict, conflict, allowed, allowed, allowed}},
    {Verb::remove, {allowed, conflict, conflict, conflict, allowed, conflict, allowed}},
    {Verb::force_remove, {allowed, allowed, allowed, allowed, allowed, conflict, allowed}},
    {Verb::top, {conflict, allowed, allowed, conflict, conflict, conflict, conflict}},
    {Verb::rename, {allowed, allowed, allowed, allowed, allowed, conflict, conflict}},
};

TEST(ContainerState, EveryVerbIsAllowedExactlyWhereTheTableSays) {
  const ContainerState states[] = {created, running, paused, restarting, exited, removing, dead};
  for (const Row& row : table) {
    for (std::size_t i = 0; i < std::size(states); ++i) {
      EXPECT_EQ(refusal(row.verb, states[i]), row.expected[i])
          << "verb " << static_cast<int>(row.verb) << " in " << to_string(states[i]);
    }
  }
}

TEST(ContainerState, EveryWordIsReadBack) {
  for (const ContainerState state : {created, running, paused, restarting, exited, removing, dead}) {
    EXPECT_EQ(parse_container_state(to_string(state)), state);
  }
  EXPECT_FALSE(is_container_state("sleeping"));
  EXPECT_THROW(parse_container_state("sleeping"), Error);
}

TEST(ContainerState, PausedAndRestartingCountAsRunning) {
  EXPECT_TRUE(derive_flags(paused).running);
  EXPECT_TRUE(derive_flags(paused).paused);
  EXPECT_TRUE(derive_flags(restarting).running);
  EXPECT_FALSE(is_alive(restarting));
  EXPECT_FALSE(derive_flags(exited).running);
}

}  // namespace
}  // namespace mydocker::engine
