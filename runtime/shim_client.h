#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/process.h"
#include "engine/base/unique_fd.h"
#include "runtime/shim_protocol.h"

/// The engine's side of a shim. Blocking calls with deadlines, for pool threads; only the events functions are for the
/// I/O thread.
namespace mydocker::runtime {

/// A sealed copy of a program in memory (SECURITY R6): a container that gets hold of /proc/<shim>/exe cannot write the
/// program on disk. Shims that run from the same copy share its pages, so make one per engine. Any thread.
class SealedProgram {
 public:
  /// Copies the file. Throws Error{internal}.
  explicit SealedProgram(const std::string& path);
  /// "/proc/self/fd/N": to be given to ShimClient::spawn, valid as long as this object lives.
  const std::string& path() const noexcept { return path_; }

 private:
  UniqueFd fd_;
  std::string path_;
};

struct ShimCreated {
  int pid = 0;       ///< the container's PID 1, as the engine sees it
  int shim_pid = 0;  ///< pid of the shim
  UniqueFd netns;    ///< empty when the container has no network namespace of its own
  std::string netns_path;
  std::vector<ShimTiming> timings;
};

struct ShimStarted {
  int pid = 0;
  std::int64_t started_at_ns = 0;  ///< nanoseconds since 1970
  std::vector<ShimTiming> timings;
};

/// Where the output of a held client goes on.
struct ShimHeld {
  UniqueFd log;                       ///< the file of the container's log that is being written
  std::int64_t log_offset_bytes = 0;  ///< what stands before it, the client gets from the engine
};

/// A connection to one shim. Thread-safe: one mutex around each call, so calls wait for each other. Every call has a
/// deadline: 10 s, create and start 120 s. A shim that is gone, or does not answer in time, is Error{unavailable}; the
/// connection is unusable from then on. Errors of the container's making (start, exec) are LaunchError.
/// Destroying it leaves the shim alone; a shim whose container was not started ends when its last connection is closed.
class ShimClient {
 public:
  ShimClient();
  ShimClient(ShimClient&&) noexcept;
  ShimClient& operator=(ShimClient&&) noexcept;
  ~ShimClient();

  /// Starts `program` (a path or SealedProgram::path()) as the shim of the existing directory `shim_dir`; returns when
  /// it listens on <shim_dir>/socket. `environment` is complete (MYDOCKER_FAILPOINTS at most). The shim survives us.
  /// It is our child until `take_process` is called; the client reaps it when it ends during this object's life.
  static ShimClient spawn(const std::string& program, const std::string& shim_dir,
                          std::vector<std::string> environment);
  /// Throws Error{unavailable} when nobody listens.
  static ShimClient connect(const std::string& shim_dir);

  explicit operator bool() const noexcept { return connection_ != nullptr; }
  int shim_pid() const noexcept;
  /// The spawned shim as a child: whoever takes it waits on its pidfd and reaps it. Empty for `connect`.
  [[nodiscard]] mydocker::Process take_process();

  /// Reads bundle/config.json and bundle/shim.json, makes cgroups and namespaces; returns as soon as the netns exists
  /// and PID 1 was cloned. The rootfs is prepared meanwhile: what fails there is thrown by `start`.
  ShimCreated create();
  /// Keeps descriptors (bound port sockets) open as long as the container lives.
  void hold(const std::vector<UniqueFd>& fds);
  /// Lets PID 1 execute its program; returns after execve. On failure everything is torn down and the shim ends.
  ShimStarted start();

  /// Hands a hijacked client over; `client` is duplicated, the caller closes its own. From the call on it gets all
  /// output. Valid from `create` to the exit; later Error{conflict}.
  void attach(const AttachRequest& request, int client);
  /// As attach, but the output waits in the shim until the engine writes attach_gate_release into the other end of the
  /// stream socket `gate`: until then the engine itself writes to the client. The client is dropped when that end is
  /// closed first. Until the exit is announced; later Error{conflict}. Error{not_implemented}: there is no log that can
  /// be read, or the shim is an older one; the client is not attached then.
  ShimHeld attach_held(const AttachRequest& request, int client, int gate);
  /// Starts one more process; `client` is -1 or duplicated. Returns its pid. When it throws, nothing was written to
  /// the client and the shim keeps no copy of it.
  int exec(const ExecRequest& request, int client);
  /// Terminal sizes in characters. No terminal: Error{conflict}; unknown exec: Error{not_found}.
  void resize(std::uint16_t height, std::uint16_t width);
  void exec_resize(const std::string& exec_id, std::uint16_t height, std::uint16_t width);
  /// To PID 1 by its pidfd. false: it is gone already.
  bool kill(int signal);
  bool exec_kill(const std::string& exec_id, int signal);
  /// Freezes and thaws the container's cgroup.
  void pause();
  /// A pause that no user asked for (a commit): the health stays what it was.
  void pause_briefly();
  void unpause();
  ShimSnapshot snapshot();
  /// Gives up before start: PID 1 is killed, everything removed; returns when nothing is left, and the shim ends. Fine
  /// when it has ended already.
  void abandon();

  /// A second connection, with role events; non-blocking, for the I/O thread. May be opened at any time, also several:
  /// `exit` and `finished` come also to a connection opened after them, for 10 s while this object lives.
  UniqueFd open_events();

 private:
  struct Connection;
  explicit ShimClient(std::unique_ptr<Connection> connection);
  ShimMessage call(std::string_view method, json::object params, std::chrono::milliseconds deadline,
                   std::vector<int> fds = {});

  std::unique_ptr<Connection> connection_;
};

enum class EventRead { event, would_block, closed };
/// Non-blocking: the next event of an events connection. Unknown or malformed packets are skipped. I/O thread.
EventRead receive_shim_event(int fd, ShimEvent& out);
/// One packet as an event. Throws Error{invalid_argument}.
ShimEvent parse_shim_event(std::string_view packet);
/// Tells the shim that the engine has recorded event `sequence`. false: the shim is gone.
bool ack_shim_event(int fd, std::uint64_t sequence);

}  // namespace mydocker::runtime
