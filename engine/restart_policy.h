#pragma once

#include <chrono>
#include <string>

namespace mydocker::engine {

/// What a restart decision looks at (WIRE 30). Pure.
struct ExitFacts {
  std::string policy;                ///< "", "no", "always", "unless-stopped", "on-failure"
  std::int64_t maximum_retries = 0;  ///< 0 = no limit; on-failure only
  int exit_code = 0;
  std::int64_t restart_count = 0;
  bool stopped_by_user = false;  ///< stop, or a kill that cancels the policy
};

bool should_restart_after_exit(const ExitFacts& facts);
/// At engine start: `was_running` = the database says that it ran when the engine, or the machine, went down.
bool should_restart_at_engine_start(const ExitFacts& facts, bool was_running);

/// 100 ms, doubling up to a minute; back to 100 ms when the last run lasted ten seconds or more.
std::chrono::milliseconds next_backoff(std::chrono::milliseconds previous, std::chrono::nanoseconds last_run);

/// Throws Error{invalid_argument} in Docker's words.
void check_restart_policy(const std::string& name, std::int64_t maximum_retries);

}  // namespace mydocker::engine
