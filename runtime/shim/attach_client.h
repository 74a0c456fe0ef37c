#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "engine/base/unique_fd.h"
#include "runtime/log_format.h"
#include "runtime/shim/backlog.h"
#include "runtime/shim/detach_keys.h"
#include "runtime/shim/event_loop.h"
#include "runtime/shim_protocol.h"

namespace mydocker::shim {

/// One hijacked connection of a client to a process' streams: output to it, framed or raw, input from it. A half-closed
/// client is still there; it is gone when both directions are closed (EPOLLHUP) or a write fails (WIRE 5.3).
class AttachClient final : public FdHandler {
 public:
  enum class End {
    finished,  ///< everything was flushed and the session was over
    detached,  ///< the client typed its detach keys
    lost,      ///< it hung up, or was dropped
  };
  /// Must not destroy the client inside these calls (EventLoop::defer).
  struct Owner {
    virtual void on_input(AttachClient& client, std::string_view data) = 0;
    virtual void on_input_end(AttachClient& client) = 0;
    /// The connection is closed.
    virtual void on_end(AttachClient& client, End end) = 0;

   protected:
    ~Owner() = default;
  };

  /// `client` is a connected stream socket; its O_NONBLOCK flag is left as it is, the engine shares it.
  /// `scan_detach_keys`: the process has a tty. Call begin() next.
  AttachClient(EventLoop& loop, Owner& owner, runtime::StreamChoice choice, UniqueFd client, bool scan_detach_keys,
               std::string backlog_directory);
  ~AttachClient();
  AttachClient(const AttachClient&) = delete;
  AttachClient& operator=(const AttachClient&) = delete;

  /// Output waits in the backlog until release(): whoever holds the other end of `gate` still writes to the socket. Its
  /// bytes: attach_gate_progress, attach_gate_release; the client is dropped when it is closed before the latter.
  void hold(UniqueFd gate);
  /// Feeds the input that came before us and listens from now on.
  void begin();
  /// Output of the process; what the client does not take at once waits in its backlog.
  void send(runtime::StreamId stream, std::string_view data);
  /// Stops and goes on reading its input (the process does not take it fast enough).
  void set_input_paused(bool paused);
  /// Closes the connection as soon as the backlog is empty and the client not held.
  void close_when_flushed(End end = End::finished);
  /// Closes it now.
  void drop();

  bool closed() const noexcept { return !socket_; }
  bool has_stdin() const noexcept { return choice_.stdin_; }
  const std::string& session_id() const noexcept { return choice_.session_id; }
  std::uint64_t backlog_bytes() const noexcept { return backlog_.size_bytes(); }
  /// Grows while the client takes output, ours or (held) what the engine writes.
  std::uint64_t sent_bytes() const noexcept { return sent_bytes_; }

  void on_ready(std::uint32_t events) override;

 private:
  /// The engine's word about a held client.
  class Gate final : public FdHandler {
   public:
    Gate(AttachClient& client, UniqueFd fd);
    ~Gate() { close(); }
    Gate(const Gate&) = delete;
    Gate& operator=(const Gate&) = delete;
    void close() noexcept;
    void on_ready(std::uint32_t events) override;

   private:
    AttachClient& client_;
    UniqueFd fd_;
  };

  bool held() const noexcept { return gate_ != nullptr && !released_; }
  void release();
  void send_now(std::string_view header, std::string_view data);
  void flush_backlog();
  bool read_input();
  void take_input(std::string_view data);
  void update_interest();
  void close(End end);

  EventLoop& loop_;
  Owner& owner_;
  runtime::StreamChoice choice_;
  UniqueFd socket_;
  DetachKeys detach_keys_;
  Backlog backlog_;
  std::unique_ptr<Gate> gate_;
  bool released_ = false;
  std::uint64_t sent_bytes_ = 0;
  std::uint32_t interest_ = 0;
  bool input_paused_ = false;
  bool input_ended_ = false;
  bool closing_ = false;
  End closing_end_ = End::finished;
};

}  // namespace mydocker::shim
