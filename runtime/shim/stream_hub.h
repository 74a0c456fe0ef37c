#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/unique_fd.h"
#include "runtime/shim/attach_client.h"
#include "runtime/shim/event_loop.h"
#include "runtime/shim/log_sink.h"

namespace mydocker::shim {

/// The writing end of a process' stdin (a pipe, or the pty's master): takes input as fast as the process reads it.
class StdinSink final : public FdHandler {
 public:
  StdinSink(EventLoop& loop, std::function<void()> on_room) : loop_(loop), on_room_(std::move(on_room)) {}
  ~StdinSink() { discard(); }
  StdinSink(const StdinSink&) = delete;
  StdinSink& operator=(const StdinSink&) = delete;

  /// Non-blocking from now on.
  void open(UniqueFd fd);
  /// Without an open descriptor input is dropped.
  void write(std::string_view data);
  /// Closes it as soon as everything was taken.
  void end();
  /// Closes it now.
  void discard() noexcept;
  bool has_room() const noexcept { return pending_.size() < (std::size_t{64} << 10); }

  void on_ready(std::uint32_t events) override;

 private:
  void flush();

  EventLoop& loop_;
  std::function<void()> on_room_;
  UniqueFd fd_;
  std::string pending_;
  bool watched_ = false;
  bool ending_ = false;
};

struct HubOptions {
  bool tty = false;
  bool open_stdin = false;
  bool stdin_once = false;        ///< the end of one client's input is the end of the process' stdin
  std::string backlog_directory;  ///< for slow clients; empty: memory only
  std::uint64_t backlog_limit_bytes = std::uint64_t{64} << 20;
  std::chrono::milliseconds stall_limit{5000};
};

/// Connects a process' streams with its log and its clients (WIRE 5.2, 5.3). Every client gets all output from the
/// moment it was attached; the input of several is merged. A client that lags behind has a backlog of 64 MiB; beyond
/// it the process waits for the client, as long as that makes progress, and a client that takes nothing for 5 s is
/// dropped. The log gets everything; one that does not keep up makes the process wait, too.
class StreamHub final : private AttachClient::Owner {
 public:
  struct Listener {
    virtual void on_detached(const std::string& session_id) = 0;
    virtual void on_client_closed(const std::string& session_id) = 0;
    /// After process_ended(): the last writer of the output is gone and all of it was delivered. Once; not called
    /// inside a call to the hub.
    virtual void on_drained() = 0;
    /// After close_clients(): no client is left. Not called inside a call to the hub.
    virtual void on_clients_gone() = 0;

   protected:
    ~Listener() = default;
  };

  /// `log` may be nullptr; it and the others must outlive the hub.
  StreamHub(EventLoop& loop, HubOptions options, Listener& listener, LogSink* log);
  ~StreamHub();
  StreamHub(const StreamHub&) = delete;
  StreamHub& operator=(const StreamHub&) = delete;

  /// Our ends of the process' pipes; empty handles for what does not exist.
  void open_pipes(UniqueFd in, UniqueFd out, UniqueFd err);
  void open_terminal(UniqueFd master);
  /// Throws Error{conflict} without a terminal.
  void resize(std::uint16_t height, std::uint16_t width);

  void attach(runtime::StreamChoice choice, UniqueFd client);
  /// As attach, but the output waits until the engine has written the log up to here (AttachClient::hold). Gives where
  /// that is; the beginnings of lines that the log does not hold yet are the client's first output. Throws
  /// Error{not_implemented} without a log that can be read.
  LogPosition attach_held(runtime::StreamChoice choice, UniqueFd client, UniqueFd gate);
  /// The process has ended: what it wrote is delivered; writers that it left behind have `grace` to end. A log that
  /// does not keep up has ten seconds, as Docker's has.
  void process_ended(std::chrono::milliseconds grace);
  /// Closes all clients when they have got everything; no new ones are taken.
  void close_clients();

  /// The log takes more output again.
  void on_log_room() { update_output_flow(); }

  bool drained() const noexcept { return sources_.empty(); }
  bool has_clients() const noexcept { return !clients_.empty(); }

 private:
  class Source;

  AttachClient& add_client(runtime::StreamChoice choice, UniqueFd client);
  void add_source(UniqueFd fd, runtime::StreamId stream);
  ssize_t read_once(Source& source);
  void read_source(Source& source);
  void end_source(Source& source);
  void end_grace(std::chrono::steady_clock::time_point log_deadline);
  void deliver(runtime::StreamId stream, std::string_view data);
  void update_input_flow();
  void update_output_flow();
  void check_stalled();
  void drop_closed_clients();
  void announce_drained();

  void on_input(AttachClient& client, std::string_view data) override;
  void on_input_end(AttachClient& client) override;
  void on_end(AttachClient& client, AttachClient::End end) override;

  struct ClientSlot {
    std::unique_ptr<AttachClient> client;
    std::uint64_t sent_before = 0;
    std::chrono::steady_clock::time_point progress_at{};
  };

  EventLoop& loop_;
  HubOptions options_;
  Listener& listener_;
  LogSink* log_;
  UniqueFd terminal_;
  StdinSink stdin_;
  std::vector<std::unique_ptr<Source>> sources_;
  std::vector<ClientSlot> clients_;
  bool output_paused_ = false;
  bool closing_ = false;
  bool process_ended_ = false;
  bool drained_announced_ = false;
  std::optional<EventLoop::TimerId> stall_timer_;
  std::optional<EventLoop::TimerId> grace_timer_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  ///< deferred work of a destroyed hub does nothing
};

}  // namespace mydocker::shim
