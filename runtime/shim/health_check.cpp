#include "runtime/shim/health_check.h"

#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "engine/base/failpoint.h"
#include "engine/base/log.h"
#include "engine/base/sys.h"
#include "engine/base/time.h"

namespace mydocker::shim {
namespace {

using std::chrono::nanoseconds;

constexpr int exit_code_no_result = -1;
constexpr int exit_code_exec_failed = 126;
constexpr int reads_at_once = 4;
constexpr std::string_view healthy = "healthy";
constexpr std::string_view unhealthy = "unhealthy";
constexpr std::string_view starting = "starting";

std::int64_t now_ns() { return to_unix_nanoseconds(now()); }

}  // namespace

HealthCheck::HealthCheck(EventLoop& loop, Listener& listener, runtime::HealthOptions options,
                         runtime::ExecOptions probe)
    : loop_(loop), listener_(listener), options_(std::move(options)), probe_options_(std::move(probe)) {}

HealthCheck::~HealthCheck() {
  stop();
  close_output();
}

void HealthCheck::start(std::int64_t started_at_ns) {
  started_at_ns_ = started_at_ns;
  stopped_ = false;
  schedule();
}

void HealthCheck::stop() {
  if (!stopped_) report_.status = unhealthy;
  suspend();
}

void HealthCheck::suspend() {
  if (std::exchange(stopped_, true)) return;
  if (next_timer_) loop_.cancel(*next_timer_);
  next_timer_.reset();
  if (!probe_running_) return;
  probe_counts_ = false;
  give_up_probe();
}

void HealthCheck::resume() {
  if (!std::exchange(stopped_, false)) return;
  schedule();
}

nanoseconds HealthCheck::interval() const {
  const bool in_start_period = now_ns() - started_at_ns_ < options_.start_period_ns;
  return nanoseconds(in_start_period && report_.status == starting ? options_.start_interval_ns : options_.interval_ns);
}

void HealthCheck::schedule() {
  const auto delay = std::chrono::ceil<std::chrono::milliseconds>(interval());
  next_timer_ = loop_.after(delay, [this] {
    next_timer_.reset();
    // A probe from before a pause that is not reaped yet: its turn is this one's.
    if (probe_running_) return schedule();
    run_probe();
  });
}

void HealthCheck::run_probe() {
  exec_id_ = make_random_id();
  text_.clear();
  text_cut_ = false;
  probe_timed_out_ = false;
  probe_counts_ = true;
  probe_start_ns_ = now_ns();
  listener_.on_probe_started(exec_id_);
  try {
    failpoint("shim.probe");
    Pipe pipe = make_pipe();
    set_nonblocking(pipe.read.get());
    probe_options_.stdio = {.in = -1, .out = pipe.write.get(), .err = pipe.write.get()};
    task_ = runtime::exec_task(probe_options_);
    output_ = std::move(pipe.read);
  } catch (const Error& error) {
    return judge(exit_code_exec_failed,
                 {.start_ns = probe_start_ns_,
                  .end_ns = now_ns(),
                  .exit_code = exit_code_no_result,
                  .output = concat("OCI runtime exec failed: exec failed: unable to start container process: ",
                                   error.message(), ": unknown")});
  }
  loop_.watch(output_.get(), EPOLLIN, *this);
  probe_running_ = true;
  timeout_timer_ = loop_.after(std::chrono::ceil<std::chrono::milliseconds>(nanoseconds(options_.timeout_ns)), [this] {
    timeout_timer_.reset();
    probe_timed_out_ = true;
    give_up_probe();
  });
}

/// The probe leads a session of its own: what it has started goes with it. Its number is ours until it is reaped.
void HealthCheck::give_up_probe() {
  if (::kill(-task_.pid(), SIGKILL) != 0) signal_pidfd(task_.pidfd(), SIGKILL);
}

void HealthCheck::on_ready(std::uint32_t) { read_output(); }

/// All that is there; behind the first 4096 bytes it is read and dropped.
void HealthCheck::read_output() {
  const auto buffer = loop_.scratch();
  for (int round = 0; output_ && round < reads_at_once; ++round) {
    const ssize_t got = retry_on_eintr([&] { return ::read(output_.get(), buffer.data(), buffer.size()); });
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return close_output();
    const std::size_t room = runtime::max_health_output - text_.size();
    text_.append(buffer.data(), std::min(room, static_cast<std::size_t>(got)));
    text_cut_ = text_cut_ || static_cast<std::size_t>(got) > room;
  }
}

void HealthCheck::close_output() {
  if (output_) loop_.forget(output_.get());
  output_.reset();
}

void HealthCheck::process_ended(ExitStatus status) {
  probe_running_ = false;
  if (timeout_timer_) loop_.cancel(*timeout_timer_);
  timeout_timer_.reset();
  read_output();
  close_output();  // what it left in the background may hold the other end, and is not waited for
  task_ = runtime::Task();
  if (text_cut_) text_ += "...";
  runtime::HealthProbe probe{.start_ns = probe_start_ns_,
                             .end_ns = now_ns(),
                             .exit_code = status.shell_code(),
                             .output = to_valid_utf8(text_)};
  if (probe_timed_out_) {
    probe.exit_code = exit_code_no_result;
    probe.output = concat("Health check exceeded timeout (", to_go_duration(nanoseconds(options_.timeout_ns)), ")",
                          probe.output.empty() ? "" : ": ", probe.output);
  }
  judge(status.shell_code(), std::move(probe));
}

void HealthCheck::judge(int exit_code, runtime::HealthProbe probe) {
  if (!probe_counts_) {
    runtime::HealthReport unchanged = report_;
    unchanged.log.clear();
    return listener_.on_probe_ended(exec_id_, exit_code, unchanged);
  }
  const std::string before = report_.status;
  if (probe.exit_code == 0) {
    report_.failing_streak = 0;
    report_.status = healthy;
  } else if (report_.status != starting || probe.start_ns - started_at_ns_ >= options_.start_period_ns) {
    if (++report_.failing_streak >= options_.retries) report_.status = unhealthy;
  }
  report_.log.push_back(std::move(probe));
  if (report_.log.size() > runtime::max_health_log) report_.log.erase(report_.log.begin());
  listener_.on_probe_ended(exec_id_, exit_code, report_);
  const bool turned = report_.status != before && report_.status == unhealthy;
  if (!stopped_) schedule();
  if (turned) listener_.on_unhealthy();
}

}  // namespace mydocker::shim
