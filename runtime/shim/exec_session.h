#pragma once

#include <functional>
#include <memory>
#include <string>

#include "engine/base/process.h"
#include "engine/base/unique_fd.h"
#include "runtime/shim/container_task.h"
#include "runtime/shim/event_loop.h"
#include "runtime/shim/stream_hub.h"
#include "runtime/shim_protocol.h"
#include "runtime/task.h"

namespace mydocker::shim {

/// One exec: its process, its streams, its client. The client is closed when all output was delivered *and* the engine
/// knows the exit code, so that whoever asks for it after the end of the stream gets it (WIRE 6.2).
class ExecSession final : private StreamHub::Listener {
 public:
  struct Listener {
    virtual void on_exec_detached(const ExecSession& session, const std::string& session_id) = 0;
    virtual void on_exec_client_closed(const ExecSession& session, const std::string& session_id) = 0;
    /// Nothing is left to do for it; it may be destroyed from here on, not inside the call.
    virtual void on_exec_over(const ExecSession& session) = 0;

   protected:
    ~Listener() = default;
  };

  /// Starts the process in `task`'s container: `options` lacks its stdio only. `client` may be empty. Throws
  /// LaunchError; then the client got nothing.
  ExecSession(EventLoop& loop, Listener& listener, ContainerTask& task, const runtime::ExecRequest& request,
              runtime::ExecOptions options, UniqueFd client, std::string backlog_directory);
  ~ExecSession();
  ExecSession(const ExecSession&) = delete;
  ExecSession& operator=(const ExecSession&) = delete;

  const std::string& id() const noexcept { return id_; }
  pid_t pid() const noexcept { return process_.pid; }
  bool running() const noexcept { return running_; }
  int exit_code() const noexcept { return exit_code_; }
  std::uint64_t exit_sequence() const noexcept { return exit_sequence_; }

  /// false: it is gone already.
  bool kill(int signal);
  /// Throws Error{conflict} without a terminal.
  void resize(std::uint16_t height, std::uint16_t width);
  /// It was reaped; its exit event has this sequence. Without an engine nobody will acknowledge it.
  void process_ended(ExitStatus status, std::uint64_t exit_sequence, bool engine_listens);
  /// The engine has recorded the exit.
  void acknowledged();

 private:
  void on_detached(const std::string& session_id) override { listener_.on_exec_detached(*this, session_id); }
  void on_client_closed(const std::string& session_id) override { listener_.on_exec_client_closed(*this, session_id); }
  void on_drained() override;
  void on_clients_gone() override;
  void close_if_complete();

  EventLoop& loop_;
  Listener& listener_;
  std::string id_;
  ExecProcess process_;
  std::unique_ptr<StreamHub> hub_;
  bool running_ = true;
  bool drained_ = false;
  bool recorded_ = false;
  bool over_ = false;
  int exit_code_ = 0;
  std::uint64_t exit_sequence_ = 0;
  std::optional<EventLoop::TimerId> record_timer_;
};

}  // namespace mydocker::shim
