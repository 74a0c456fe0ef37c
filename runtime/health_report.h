#pragma once

#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "engine/base/json.h"

/// A container's health as shim and engine tell each other (WIRE 29). The shim probes and judges; its report is the
/// truth while the container lives. Times are nanoseconds since 1970, durations nanoseconds.
namespace mydocker::runtime {

inline constexpr std::size_t max_health_log = 5;
inline constexpr std::size_t max_health_output = 4096;

/// What to probe and when; defaults are filled in already.
struct HealthOptions {
  json::value process;  ///< to_json(runtime::Process): the probe's command in the container's environment
  std::int64_t interval_ns = 0;
  std::int64_t timeout_ns = 0;
  std::int64_t start_period_ns = 0;    ///< failures in it do not count, until the first success
  std::int64_t start_interval_ns = 0;  ///< the interval in the start period
  std::int64_t retries = 0;            ///< failures in a row that mean unhealthy
  bool kill_when_unhealthy = false;    ///< SIGKILL to PID 1, engine or not

  static constexpr auto json_fields() {
    using T = HealthOptions;
    return std::tuple(field("process", &T::process), field("interval_ns", &T::interval_ns),
                      field("timeout_ns", &T::timeout_ns), field("start_period_ns", &T::start_period_ns),
                      field("start_interval_ns", &T::start_interval_ns), field("retries", &T::retries),
                      field("kill_when_unhealthy", &T::kill_when_unhealthy));
  }
};

/// One finished probe.
struct HealthProbe {
  std::int64_t start_ns = 0;
  std::int64_t end_ns = 0;
  int exit_code = 0;   ///< -1: it did not run, or not to its end
  std::string output;  ///< both streams, the first 4096 bytes and "..." if there were more

  static constexpr auto json_fields() {
    using T = HealthProbe;
    return std::tuple(field("start_ns", &T::start_ns), field("end_ns", &T::end_ns), field("exit_code", &T::exit_code),
                      field("output", &T::output));
  }
};

struct HealthReport {
  std::string status = "starting";  ///< starting, healthy, unhealthy
  std::int64_t failing_streak = 0;
  std::vector<HealthProbe> log;  ///< oldest first, at most 5; in an event the newest only

  static constexpr auto json_fields() {
    using T = HealthReport;
    return std::tuple(field("status", &T::status), field("failing_streak", &T::failing_streak), field("log", &T::log));
  }
};

}  // namespace mydocker::runtime
