#include "engine/restart_policy.h"

#include <algorithm>

#include "engine/base/error.h"

namespace mydocker::engine {
namespace {

using namespace std::chrono_literals;
constexpr std::chrono::milliseconds first_backoff = 100ms;
constexpr std::chrono::milliseconds longest_backoff = 1min;
constexpr std::chrono::nanoseconds stable_run = 10s;

bool retries_left(const ExitFacts& facts) {
  return facts.maximum_retries == 0 || facts.restart_count < facts.maximum_retries;
}

}  // namespace

bool should_restart_after_exit(const ExitFacts& facts) {
  if (facts.stopped_by_user) return false;
  if (facts.policy == "always" || facts.policy == "unless-stopped") return true;
  return facts.policy == "on-failure" && facts.exit_code != 0 && retries_left(facts);
}

bool should_restart_at_engine_start(const ExitFacts& facts, bool was_running) {
  if (facts.policy == "always") return true;
  if (facts.policy == "unless-stopped") return !facts.stopped_by_user;
  return facts.policy == "on-failure" && was_running && facts.exit_code != 0 && retries_left(facts);
}

std::chrono::milliseconds next_backoff(std::chrono::milliseconds previous, std::chrono::nanoseconds last_run) {
  if (previous == 0ms || last_run >= stable_run) return first_backoff;
  return std::min(previous * 2, longest_backoff);
}

void check_restart_policy(const std::string& name, std::int64_t maximum_retries) {
  const bool known =
      name.empty() || name == "no" || name == "always" || name == "unless-stopped" || name == "on-failure";
  if (!known) throw Error(ErrorKind::invalid_argument, concat("invalid restart policy '", name, "'"));
  if (maximum_retries < 0) throw Error(ErrorKind::invalid_argument, "maximum retry count cannot be negative");
  if (maximum_retries != 0 && name != "on-failure") {
    throw Error(ErrorKind::invalid_argument,
                concat("maximum retry count cannot be used with restart policy '", name, "'"));
  }
}

}  // namespace mydocker::engine
