#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/process.h"
#include "engine/base/unique_fd.h"
#include "runtime/cgroup.h"
#include "runtime/shim/container_task.h"
#include "runtime/shim/engine_server.h"
#include "runtime/shim/event_loop.h"
#include "runtime/shim/exec_session.h"
#include "runtime/shim/health_check.h"
#include "runtime/shim/log_sink.h"
#include "runtime/shim/stream_hub.h"
#include "runtime/shim_protocol.h"
#include "runtime/spec.h"
#include "runtime/task.h"

namespace mydocker::shim {

/// The life of one container, from the engine's `create` until nothing of it is left:
///
///   new ──create──► created ──start──► running ──PID 1 ends──► exited ──► output drained: exit record, event `exit`
///     │                │ start fails                                  ──► cgroups removed: event `finished`
///     └─ alone: end    └─► torn down, end                             ──► clients have got everything: end
///
/// Single-threaded, in the shim's loop. Calls of the runtime library block for the milliseconds that they take.
class Monitor final : private EngineServer::Handler,
                      private StreamHub::Listener,
                      private ExecSession::Listener,
                      private HealthCheck::Listener,
                      private FdHandler {
 public:
  /// `child_events` is a signalfd for SIGCHLD, `first_connection` the engine's.
  Monitor(EventLoop& loop, std::string shim_dir, UniqueFd listener, UniqueFd child_events, UniqueFd first_connection);
  ~Monitor();
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;

 private:
  using Answer = EngineServer::Answer;
  enum class State { fresh, created, running, exited };
  class OomHandler;

  Answer on_request(std::string_view method, json::object& params, std::vector<UniqueFd>& fds) override;
  runtime::ShimSnapshot make_snapshot() override;
  void on_acknowledged(std::uint64_t sequence) override;
  void on_listener() override;
  void on_alone() override;

  Answer create(json::object& params, std::vector<UniqueFd>& fds);
  Answer start(json::object& params, std::vector<UniqueFd>& fds);
  Answer attach(json::object& params, std::vector<UniqueFd>& fds);
  Answer attach_held(json::object& params, std::vector<UniqueFd>& fds);
  Answer exec(json::object& params, std::vector<UniqueFd>& fds);
  Answer resize(json::object& params, std::vector<UniqueFd>& fds);
  Answer exec_resize(json::object& params, std::vector<UniqueFd>& fds);
  Answer kill(json::object& params, std::vector<UniqueFd>& fds);
  Answer exec_kill(json::object& params, std::vector<UniqueFd>& fds);
  Answer hold(json::object& params, std::vector<UniqueFd>& fds);
  Answer pause(json::object& params, std::vector<UniqueFd>& fds);
  Answer unpause(json::object& params, std::vector<UniqueFd>& fds);
  Answer snapshot(json::object& params, std::vector<UniqueFd>& fds);
  Answer abandon(json::object& params, std::vector<UniqueFd>& fds);

  std::optional<runtime::FilterProgram> find_filter(const runtime::Process& process,
                                                    const std::optional<runtime::Seccomp>& custom) const;
  runtime::ExecOptions make_exec_options(const json::value& process, const std::string& user,
                                         const std::vector<std::string>& group_add);
  void start_health_check();
  void make_cgroup(runtime::TaskOptions& options);
  void open_streams(runtime::TaskOptions options);
  void watch_oom();
  void finish_create();
  void tear_down();
  void require_running() const;
  ExecSession& get_exec(const std::string& exec_id);

  void on_ready(std::uint32_t events) override;
  void reap_children();
  void container_ended(ExitStatus status, bool core_dumped);
  std::optional<runtime::OomFacts> read_oom_facts(std::uint64_t kills) const;
  std::string find_signal_source(int signal, bool oom_killed) const;
  void announce_exit();
  void remove_cgroup();
  void end_if_over();
  void end_after_answer();
  void leave_engine_cgroup();

  void on_detached(const std::string& session_id) override;
  void on_client_closed(const std::string& session_id) override;
  void on_drained() override;
  void on_clients_gone() override;
  void on_exec_detached(const ExecSession& session, const std::string& session_id) override;
  void on_exec_client_closed(const ExecSession& session, const std::string& session_id) override;
  void on_exec_over(const ExecSession& session) override;
  void on_probe_started(const std::string& exec_id) override;
  void on_probe_ended(const std::string& exec_id, int exit_code, const runtime::HealthReport& report) override;
  void on_unhealthy() override;

  EventLoop& loop_;
  std::string shim_dir_;
  UniqueFd child_events_;
  State state_ = State::fresh;
  runtime::ShimConfig config_;
  std::string backlog_directory_;
  bool own_pid_namespace_ = true;
  std::optional<runtime::Seccomp> seccomp_;  ///< a custom profile, for execs
  std::optional<runtime::Cgroup> cgroup_;
  std::unique_ptr<OomHandler> oom_;
  std::unique_ptr<LogSink> log_;
  std::unique_ptr<StreamHub> hub_;
  std::unique_ptr<ContainerTask> task_;  ///< made by `create`
  std::exception_ptr create_error_;
  UniqueFd netns_;
  UniqueFd rootfs_;  ///< keeps the overlay mounted over PID 1's end: unmounting it syncs, and delays that end by 15 ms
  std::vector<UniqueFd> held_;
  std::int64_t started_at_ns_ = 0;
  std::uint64_t client_signals_ = 0;  ///< bit N: an engine had us send signal N to PID 1
  bool killed_as_unhealthy_ = false;
  std::optional<runtime::ExitRecord> exit_;
  bool exit_delivered_ = false;  ///< an engine listened when it was published
  bool finished_ = false;
  bool waiting_for_listener_ = false;
  std::map<std::string, std::unique_ptr<ExecSession>> execs_;
  std::unique_ptr<HealthCheck> health_;
  bool probe_told_ = true;  ///< an engine listened when the running probe was started
  EngineServer server_;
};

}  // namespace mydocker::shim
