#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/process.h"
#include "engine/base/unique_fd.h"
#include "runtime/health_report.h"
#include "runtime/shim/event_loop.h"
#include "runtime/task.h"

namespace mydocker::shim {

/// Probes the health of a running container and judges it (WIRE 29): one probe at a time, the next one an interval
/// after the end of the last. In the shim's loop; starting a probe blocks for the millisecond of an exec.
class HealthCheck final : private FdHandler {
 public:
  struct Listener {
    virtual void on_probe_started(const std::string& exec_id) = 0;
    /// `exit_code` is the process's, whatever the probe counts as. The last entry of the report's log is this probe; a
    /// probe that counts for nothing has none.
    virtual void on_probe_ended(const std::string& exec_id, int exit_code, const runtime::HealthReport& report) = 0;
    /// The status has just become unhealthy, after on_probe_ended().
    virtual void on_unhealthy() = 0;

   protected:
    ~Listener() = default;
  };

  /// `probe` is all of an exec but its stdio; what it borrows must outlive this object.
  HealthCheck(EventLoop& loop, Listener& listener, runtime::HealthOptions options, runtime::ExecOptions probe);
  ~HealthCheck();
  HealthCheck(const HealthCheck&) = delete;
  HealthCheck& operator=(const HealthCheck&) = delete;

  /// The container runs, since `started_at_ns`: the first probe comes an interval later.
  void start(std::int64_t started_at_ns);
  /// The container is paused, or has ended: no probes, and a running one counts for nothing. As in Docker the status is
  /// unhealthy meanwhile.
  void stop();
  /// The same for a moment that nobody asked for (a commit): the status stays.
  void suspend();
  /// Goes on after a pause or a suspension.
  void resume();

  /// The running probe's process, or -1.
  pid_t pid() const noexcept { return probe_running_ ? task_.pid() : -1; }
  /// It was reaped.
  void process_ended(ExitStatus status);

  const std::string& exec_id() const noexcept { return exec_id_; }
  const runtime::HealthReport& report() const noexcept { return report_; }

 private:
  void on_ready(std::uint32_t events) override;
  std::chrono::nanoseconds interval() const;
  void schedule();
  void run_probe();
  void give_up_probe();
  void read_output();
  void close_output();
  void judge(int exit_code, runtime::HealthProbe probe);

  EventLoop& loop_;
  Listener& listener_;
  runtime::HealthOptions options_;
  runtime::ExecOptions probe_options_;
  runtime::HealthReport report_;
  std::int64_t started_at_ns_ = 0;
  bool stopped_ = true;
  std::optional<EventLoop::TimerId> next_timer_;
  std::optional<EventLoop::TimerId> timeout_timer_;

  std::string exec_id_;
  runtime::Task task_;
  std::int64_t probe_start_ns_ = 0;
  bool probe_running_ = false;
  bool probe_timed_out_ = false;
  bool probe_counts_ = false;  ///< false: the container was paused under it
  UniqueFd output_;
  std::string text_;
  bool text_cut_ = false;
};

}  // namespace mydocker::shim
