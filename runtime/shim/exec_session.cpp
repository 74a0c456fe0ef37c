#include "runtime/shim/exec_session.h"

#include "engine/base/sys.h"

namespace mydocker::shim {
namespace {

using std::chrono::milliseconds;

/// Background children may keep the output open after their parent's end (WIRE 6.2).
constexpr milliseconds output_grace(2500);
constexpr milliseconds record_grace(2000);

}  // namespace

ExecSession::ExecSession(EventLoop& loop, Listener& listener, ContainerTask& task, const runtime::ExecRequest& request,
                         runtime::ExecOptions options, UniqueFd client, std::string backlog_directory)
    : loop_(loop), listener_(listener), id_(request.exec_id) {
  const runtime::StreamChoice& streams = request.streams;
  Pipe in;
  Pipe out;
  Pipe err;
  if (!request.tty && client) {
    if (streams.stdin_) in = make_pipe();
    if (streams.stdout_) out = make_pipe();
    if (streams.stderr_) err = make_pipe();
    options.stdio = {.in = in.read.get(), .out = out.write.get(), .err = err.write.get()};
  }
  process_ = task.exec(options);
  if (!request.tty && !client) {
    drained_ = true;
    return;
  }

  HubOptions hub;
  hub.tty = request.tty;
  hub.open_stdin = client && streams.stdin_;
  hub.stdin_once = true;
  hub.backlog_directory = std::move(backlog_directory);
  hub_ = std::make_unique<StreamHub>(loop, std::move(hub), static_cast<StreamHub::Listener&>(*this), nullptr);
  if (request.tty) {
    hub_->open_terminal(std::move(process_.console));
  } else {
    in.read.reset();
    out.write.reset();
    err.write.reset();
    hub_->open_pipes(std::move(in.write), std::move(out.read), std::move(err.read));
  }
  if (client) hub_->attach(streams, std::move(client));
}

ExecSession::~ExecSession() {
  if (record_timer_) loop_.cancel(*record_timer_);
}

bool ExecSession::kill(int signal) { return running_ && signal_pidfd(process_.pidfd.get(), signal); }

void ExecSession::resize(std::uint16_t height, std::uint16_t width) {
  if (!hub_) throw Error(ErrorKind::conflict, "the exec has no terminal");
  hub_->resize(height, width);
}

void ExecSession::process_ended(ExitStatus status, std::uint64_t exit_sequence, bool engine_listens) {
  running_ = false;
  exit_code_ = status.shell_code();
  exit_sequence_ = exit_sequence;
  if (engine_listens) {
    record_timer_ = loop_.after(record_grace, [this] {
      record_timer_.reset();
      acknowledged();
    });
  } else {
    recorded_ = true;
  }
  if (hub_) hub_->process_ended(output_grace);
  close_if_complete();
}

void ExecSession::acknowledged() {
  if (record_timer_) loop_.cancel(*record_timer_);
  record_timer_.reset();
  recorded_ = true;
  close_if_complete();
}

void ExecSession::on_drained() {
  drained_ = true;
  close_if_complete();
}

void ExecSession::on_clients_gone() {
  if (!std::exchange(over_, true)) listener_.on_exec_over(*this);
}

void ExecSession::close_if_complete() {
  if (running_ || !recorded_ || !drained_) return;
  if (hub_) return hub_->close_clients();
  on_clients_gone();
}

}  // namespace mydocker::shim
