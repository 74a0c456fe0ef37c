#include "runtime/shim/monitor.h"

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "engine/base/atomic_file.h"
#include "engine/base/failpoint.h"
#include "engine/base/log.h"
#include "engine/base/sys.h"
#include "engine/base/time.h"

extern "C" {
extern const char __executable_start;  // the linker's: first byte of the program
extern const char etext;               // and the first behind its code
}

namespace mydocker::shim {
namespace {

using runtime::ShimEvent;
using std::chrono::milliseconds;

/// Writers that PID 1 left behind (host pid namespace, descriptors passed on) keep the output open no longer.
constexpr milliseconds output_grace(2500);
constexpr milliseconds listener_grace(10'000);

/// Most of the program is needed at the start of a container only. Its clean pages are unmapped; what an idle shim does
/// use comes back by minor faults.
void unmap_idle_code() {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(&__executable_start);
  const auto end = reinterpret_cast<std::uintptr_t>(&etext) / page * page;
  ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

ShimEvent make_event(std::string type) {
  ShimEvent event;
  event.type = std::move(type);
  return event;
}

}  // namespace

/// Passes on what the kernel's OOM killer did.
class Monitor::OomHandler final : public FdHandler {
 public:
  OomHandler(Monitor& monitor, runtime::OomWatch watch) : monitor_(monitor), watch_(std::move(watch)) {
    monitor_.loop_.watch(watch_.fd(), EPOLLIN, *this);
  }
  ~OomHandler() { monitor_.loop_.forget(watch_.fd()); }
  OomHandler(const OomHandler&) = delete;
  OomHandler& operator=(const OomHandler&) = delete;

  void on_ready(std::uint32_t) override {
    if (watch_.read()) monitor_.server_.publish(make_event("oom"));
  }
  std::uint64_t kills() const noexcept { return watch_.kills(); }

 private:
  Monitor& monitor_;
  runtime::OomWatch watch_;
};

Monitor::Monitor(EventLoop& loop, std::string shim_dir, UniqueFd listener, UniqueFd child_events,
                 UniqueFd first_connection)
    : loop_(loop),
      shim_dir_(std::move(shim_dir)),
      child_events_(std::move(child_events)),
      server_(loop, *this, std::move(listener)) {
  loop_.watch(child_events_.get(), EPOLLIN, *this);
  loop_.on_give_back_memory([this] {
    if (log_) log_->give_back_memory();
    unmap_idle_code();
  });
  if (first_connection) server_.add_connection(std::move(first_connection));
}

Monitor::~Monitor() { loop_.forget(child_events_.get()); }

void Monitor::watch_oom() {
  std::optional<runtime::OomWatch> watch = runtime::OomWatch::start(*cgroup_);
  if (watch) oom_ = std::make_unique<OomHandler>(*this, std::move(*watch));
}

void Monitor::on_ready(std::uint32_t) {
  std::array<signalfd_siginfo, 16> signals;
  while (::read(child_events_.get(), signals.data(), sizeof signals) > 0) {
  }
  reap_children();
}

/// The one waitid for any child: as a subreaper the shim also inherits orphans (host pid namespace).
void Monitor::reap_children() {
  for (;;) {
    siginfo_t info{};
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0) return;
    const ExitStatus status = make_exit_status(info.si_code, info.si_status);
    if (task_ && info.si_pid == task_->pid()) {
      container_ended(status, info.si_code == CLD_DUMPED);
      continue;
    }
    if (health_ && info.si_pid == health_->pid()) {
      health_->process_ended(status);
      continue;
    }
    for (const auto& [id, session] : execs_) {
      if (!session->running() || session->pid() != info.si_pid) continue;
      ShimEvent event = make_event("exec_exit");
      event.exec_id = id;
      event.exit_code = status.shell_code();
      const std::uint64_t sequence = server_.publish_until_acknowledged(std::move(event));
      session->process_ended(status, sequence, server_.has_listeners());
      break;
    }
  }
}

/// The kernel does not tell who sent a signal: what is known is what went through us.
std::string Monitor::find_signal_source(int signal, bool oom_killed) const {
  if (signal == 0) return "";
  if (signal == SIGKILL && killed_as_unhealthy_) return "health";
  if (signal < 64 && (client_signals_ >> signal & 1) != 0) return "client";
  if (signal == SIGKILL && oom_killed) return "oom";
  const bool fault = signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE ||
                     signal == SIGSYS || signal == SIGTRAP;
  return fault ? "kernel" : "";
}

/// nullopt: systemd has taken the scope away already.
std::optional<runtime::OomFacts> Monitor::read_oom_facts(std::uint64_t kills) const {
  try {
    const runtime::MemoryStats memory = cgroup_->stats().memory;
    if (memory.limit_bytes == 0) return std::nullopt;
    return runtime::OomFacts{
        .kills = static_cast<std::int64_t>(kills),
        .limit_bytes = memory.limit_bytes > INT64_MAX ? 0 : static_cast<std::int64_t>(memory.limit_bytes),
        .peak_bytes = static_cast<std::int64_t>(std::max(memory.max_usage_bytes, memory.usage_bytes))};
  } catch (const Error&) {  // it went while it was read
    return std::nullopt;
  }
}

void Monitor::container_ended(ExitStatus status, bool core_dumped) {
  if (state_ != State::running) return;
  state_ = State::exited;
  if (health_) health_->stop();
  exit_ = runtime::ExitRecord{.exit_code = status.shell_code(),
                              .signal = status.signal,
                              .oom_killed = false,
                              .pid = task_->pid(),
                              .started_at_ns = started_at_ns_,
                              .finished_at_ns = to_unix_nanoseconds(now()),
                              .core_dumped = core_dumped};
  try {
    if (oom_) oom_->on_ready(EPOLLIN);  // PID 1's end may be seen before the kernel's notice: oom comes before exit
    if (const std::uint64_t kills = oom_ ? oom_->kills() : 0; kills > 0) {
      exit_->oom_killed = true;
      exit_->oom = read_oom_facts(kills);
    }
    exit_->signal_source = find_signal_source(status.signal, exit_->oom_killed);
    // With a pid namespace of its own the kernel has killed the rest before PID 1 could be reaped.
    if (cgroup_ && !own_pid_namespace_) cgroup_->kill_all();
  } catch (const Error& error) {
    log::error("leftovers of the container", {{"container", config_.id}, {"error", error.message()}});
  }
  hub_->process_ended(output_grace);
}

void Monitor::on_drained() {
  if (state_ != State::exited) return;
  if (log_) log_->close();
  announce_exit();
}

/// Record, event, and only then what takes time: whoever waits for the container need not wait for the kernel or disk.
void Monitor::announce_exit() {
  try {
    failpoint("shim.exit_record");
    replace_file(config_.exit_file, write_json(to_json(*exit_)));
  } catch (const Error& error) {
    log::error("exit record", {{"container", config_.id}, {"error", error.message()}});
  }
  ShimEvent event = make_event("exit");
  event.exit_code = exit_->exit_code;
  event.exit = exit_;
  exit_delivered_ = server_.has_listeners();
  server_.publish_for_ever(std::move(event));
  hub_->close_clients();
  loop_.defer([this] {
    task_->remove();
    remove_cgroup();
    held_.clear();
    netns_.reset();
    rootfs_.reset();
    finished_ = true;
    server_.publish_for_ever(make_event("finished"));
    try {
      make_durable(config_.exit_file);
    } catch (const Error& error) {
      log::error("exit record", {{"container", config_.id}, {"error", error.message()}});
    }
    end_if_over();
  });
}

void Monitor::remove_cgroup() {
  oom_.reset();
  if (!cgroup_) return;
  try {
    failpoint("shim.remove_cgroup");
    if (!cgroup_->empty()) cgroup_->kill_all();
    cgroup_->remove();
  } catch (const Error& error) {
    log::error("cgroup stays", {{"container", config_.id}, {"error", error.message()}});
  }
  cgroup_.reset();
}

/// Events are ended when no exec waits for an acknowledgement; the shim when no client has output to read. An engine
/// that has just started the container is given the time to open its events.
void Monitor::end_if_over() {
  if (!finished_ || !execs_.empty()) return;
  if (!server_.has_listeners() && !exit_delivered_ && server_.has_connections()) {
    if (!std::exchange(waiting_for_listener_, true)) {
      loop_.after(listener_grace, [this] {
        exit_delivered_ = true;
        end_if_over();
      });
    }
    return;
  }
  exit_delivered_ = true;
  server_.close_events();
  server_.stop_listening();  // the file stays: by now it may be the next run's, the engine removes the directory
  if (!hub_ || !hub_->has_clients()) loop_.stop();
}

void Monitor::end_after_answer() {
  loop_.defer([this] { loop_.stop(); });
}

/// Gives up before the start: nothing but the error is left.
void Monitor::tear_down() {
  if (task_) task_->remove();
  if (hub_) {
    hub_->process_ended(milliseconds(0));
    hub_->close_clients();
  }
  rootfs_.reset();
  remove_cgroup();
  held_.clear();
  netns_.reset();
}

void Monitor::leave_engine_cgroup() {
  if (config_.shims_cgroup.empty() || state_ != State::running) return;
  try {
    runtime::Cgroup::enter(config_.shims_cgroup);
  } catch (const Error& error) {
    log::warn("the shim stays in the engine's cgroup", {{"container", config_.id}, {"error", error.message()}});
  }
}

runtime::ShimSnapshot Monitor::make_snapshot() {
  runtime::ShimSnapshot out;
  out.id = config_.id;
  switch (state_) {
    case State::fresh:
      out.state = "new";
      break;
    case State::created:
      out.state = "created";
      break;
    case State::running:
      out.state = "running";
      break;
    case State::exited:
      out.state = "exited";
      break;
  }
  out.shim_pid = ::getpid();
  out.pid = state_ == State::fresh ? 0 : task_->pid();
  if (netns_) out.netns_path = concat("/proc/", ::getpid(), "/fd/", netns_.get());
  out.started_at_ns = started_at_ns_;
  out.exit = exit_;
  for (const auto& [id, session] : execs_) {
    out.execs.push_back(
        {.exec_id = id, .pid = session->pid(), .running = session->running(), .exit_code = session->exit_code()});
  }
  if (health_) out.health = health_->report();
  return out;
}

void Monitor::on_acknowledged(std::uint64_t sequence) {
  for (const auto& [id, session] : execs_) {
    if (!session->running() && session->exit_sequence() == sequence) return session->acknowledged();
  }
}

void Monitor::on_listener() {
  // An engine that has just started the container opens its events a moment later.
  if (health_ && health_->pid() > 0 && !probe_told_) on_probe_started(health_->exec_id());
  if (finished_) loop_.defer([this] { end_if_over(); });
}

void Monitor::on_alone() {
  if (state_ == State::running) return;
  if (state_ == State::exited) return end_if_over();
  // Nobody is left who could start it: as after a crash of the engine, it was never created.
  tear_down();
  loop_.stop();
}

void Monitor::on_detached(const std::string& session_id) {
  ShimEvent event = make_event("detached");
  event.session_id = session_id;
  server_.publish(std::move(event));
}

void Monitor::on_client_closed(const std::string& session_id) {
  ShimEvent event = make_event("attach_closed");
  event.session_id = session_id;
  server_.publish(std::move(event));
}

void Monitor::on_clients_gone() { end_if_over(); }

void Monitor::on_exec_detached(const ExecSession& session, const std::string& session_id) {
  ShimEvent event = make_event("detached");
  event.exec_id = session.id();
  event.session_id = session_id;
  server_.publish(std::move(event));
}

void Monitor::on_exec_client_closed(const ExecSession& session, const std::string& session_id) {
  ShimEvent event = make_event("attach_closed");
  event.exec_id = session.id();
  event.session_id = session_id;
  server_.publish(std::move(event));
}

void Monitor::on_exec_over(const ExecSession& session) {
  loop_.defer([this, id = session.id()] {
    execs_.erase(id);
    loop_.give_back_memory_later();
    end_if_over();
  });
}

void Monitor::on_probe_started(const std::string& exec_id) {
  probe_told_ = server_.has_listeners();
  ShimEvent event = make_event("probe_start");
  event.exec_id = exec_id;
  server_.publish_if_read(std::move(event));
}

void Monitor::on_probe_ended(const std::string& exec_id, int exit_code, const runtime::HealthReport& report) {
  ShimEvent event = make_event("probe");
  event.exec_id = exec_id;
  event.exit_code = exit_code;
  event.health = runtime::HealthReport{.status = report.status, .failing_streak = report.failing_streak, .log = {}};
  if (!report.log.empty()) event.health->log.push_back(report.log.back());
  server_.publish_if_read(std::move(event));
}

void Monitor::on_unhealthy() {
  if (!config_.health->kill_when_unhealthy || state_ != State::running) return;
  killed_as_unhealthy_ = signal_pidfd(task_->pidfd(), SIGKILL);
}

}  // namespace mydocker::shim
