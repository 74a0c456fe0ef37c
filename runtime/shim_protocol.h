#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/json.h"
#include "engine/base/mount.h"
#include "engine/base/unique_fd.h"
#include "runtime/health_report.h"
#include "runtime/launch_error.h"
#include "runtime/log_options.h"

/// What engine and shim say to each other: SOCK_SEQPACKET, one JSON object a packet, descriptors by SCM_RIGHTS.
///
///   engine                                   shim
///     {"hello":1,"role":"requests"}   ──►
///                                     ◄──   {"hello":1,"pid":77}
///     {"id":1,"method":"create"}      ──►
///                                     ◄──   {"id":1,"result":{"pid":80,...}} + [netns]     or
///                                           {"id":1,"error":{"kind","message","errno","exit_code"}}
///
/// A connection with role "requests" asks one thing at a time. One with role "events" gets a snapshot first, then
/// events; it only sends {"ack":N}. An object longer than `max_inline_packet` travels in a sealed memfd, the packet's
/// first descriptor, and the packet says {"memfd":true}. A new engine serves shims of every earlier version: fields are
/// only ever added, unknown ones skipped.
namespace mydocker::runtime {

inline constexpr int shim_protocol_version = 1;
inline constexpr std::size_t max_inline_packet = std::size_t{64} << 10;
inline constexpr std::size_t max_shim_message = std::size_t{16} << 20;
/// One packet carries at most this many descriptors (man 7 unix, SCM_RIGHTS allows 253).
inline constexpr std::size_t max_packet_fds = 200;

/// Another OCI runtime that makes the container's processes: a program with runc's command line.
struct ForeignRuntime {
  std::string path;                    ///< absolute
  std::vector<std::string> arguments;  ///< before the verb (daemon.json "runtimeArgs")

  static constexpr auto json_fields() {
    return std::tuple(field("path", &ForeignRuntime::path), field("arguments", &ForeignRuntime::arguments));
  }
};

/// <shim dir>/bundle/shim.json: what the shim itself shall do; what the container is stands in config.json beside it.
/// The cgroup is the spec's linux.cgroupsPath; `--init` is a bind mount of mydocker-init in the spec's mounts.
struct ShimConfig {
  std::string id;
  std::optional<OverlayMount> rootfs;  ///< mounted in the container's mount namespace; without it spec.root.path
  std::string user;                    ///< "name[:group]", resolved inside the rootfs; empty: spec.process.user
  std::vector<std::string> group_add;
  bool default_seccomp = false;                ///< the built-in profile instead of spec.linux.seccomp; for execs, too
  std::string filter_directory;                ///< compiled filters are kept there (runtime/filter_cache.h); "": not
  std::vector<std::string> requested_rlimits;  ///< refused when they cannot be set; all others are clamped
  bool resolve_home = true;                    ///< HOME from the rootfs' passwd unless the environment names one
  bool open_stdin = false;
  bool stdin_once = false;
  bool tty = false;
  std::uint16_t console_height = 0;
  std::uint16_t console_width = 0;
  LogOptions log;
  std::string exit_file;  ///< where the ExitRecord goes; its directory also holds backlogs of slow clients (unlinked)
  std::string shims_cgroup;  ///< the shim moves itself there, off the start path; empty: stays where it was born
  std::optional<ForeignRuntime> foreign_runtime;  ///< absent: the shim's own runtime library
  std::optional<HealthOptions> health;

  static constexpr auto json_fields() {
    return std::tuple(
        field("id", &ShimConfig::id), field("rootfs", &ShimConfig::rootfs), field("user", &ShimConfig::user),
        field("group_add", &ShimConfig::group_add), field("default_seccomp", &ShimConfig::default_seccomp),
        field("filter_directory", &ShimConfig::filter_directory),
        field("requested_rlimits", &ShimConfig::requested_rlimits), field("resolve_home", &ShimConfig::resolve_home),
        field("open_stdin", &ShimConfig::open_stdin), field("stdin_once", &ShimConfig::stdin_once),
        field("tty", &ShimConfig::tty), field("console_height", &ShimConfig::console_height),
        field("console_width", &ShimConfig::console_width), field("log", &ShimConfig::log),
        field("exit_file", &ShimConfig::exit_file), field("shims_cgroup", &ShimConfig::shims_cgroup),
        field("foreign_runtime", &ShimConfig::foreign_runtime), field_omit_empty("health", &ShimConfig::health));
  }
};

/// The memory cgroup when the OOM killer had been at work.
struct OomFacts {
  std::int64_t kills = 0;
  std::int64_t limit_bytes = 0;  ///< 0: none of the container's own
  std::int64_t peak_bytes = 0;

  static constexpr auto json_fields() {
    return std::tuple(field("kills", &OomFacts::kills), field("limit_bytes", &OomFacts::limit_bytes),
                      field("peak_bytes", &OomFacts::peak_bytes));
  }
};

/// How the container ended: the file at ShimConfig::exit_file, written before the `exit` event is sent.
struct ExitRecord {
  int exit_code = 0;  ///< 128+n for a signal
  int signal = 0;     ///< 0: it exited by itself
  bool oom_killed = false;
  int pid = 0;
  std::int64_t started_at_ns = 0;   ///< nanoseconds since 1970
  std::int64_t finished_at_ns = 0;  ///< nanoseconds since 1970
  bool core_dumped = false;
  /// Who had sent the signal that ended it: "client" (an API call), "health" (HealthOnFailure), "oom", "kernel" (a
  /// fault of its own: SIGSEGV, SIGSYS ...); "": nobody known, a process in or outside of the container.
  std::string signal_source;
  std::optional<OomFacts> oom;

  static constexpr auto json_fields() {
    return std::tuple(
        field("exit_code", &ExitRecord::exit_code), field("signal", &ExitRecord::signal),
        field("oom_killed", &ExitRecord::oom_killed), field("pid", &ExitRecord::pid),
        field("started_at_ns", &ExitRecord::started_at_ns), field("finished_at_ns", &ExitRecord::finished_at_ns),
        field_omit_empty("core_dumped", &ExitRecord::core_dumped),
        field_omit_empty("signal_source", &ExitRecord::signal_source), field_omit_empty("oom", &ExitRecord::oom));
  }
};

/// nullopt: no such file (the shim was killed before it could write one). Throws on a damaged file.
std::optional<ExitRecord> find_exit_record(const std::string& path);

/// A measured phase of the shim, for Trace::add.
struct ShimTiming {
  std::string phase;
  std::int64_t nanoseconds = 0;

  static constexpr auto json_fields() {
    return std::tuple(field("phase", &ShimTiming::phase), field("ns", &ShimTiming::nanoseconds));
  }
};

/// Which of a process' streams a client takes part in, and how. Its bytes cross as hex (JsonCodec below).
struct StreamChoice {
  bool stdin_ = false;
  bool stdout_ = true;
  bool stderr_ = true;
  bool framed = true;         ///< stdcopy frames (WIRE 4.1); false: raw bytes
  std::string detach_keys;    ///< bytes, scanned on a tty with stdin only; empty: never (the default is the engine's)
  std::string pending_input;  ///< stdin bytes that the engine had read already
  std::string session_id;     ///< named in the events detached and attach_closed
};
using AttachRequest = StreamChoice;

/// What the engine writes into the gate of a client that it holds (method "attach_held").
inline constexpr char attach_gate_progress = '.';  ///< the client takes what the engine writes
inline constexpr char attach_gate_release = '!';   ///< everything was written: the shim may go on

}  // namespace mydocker::runtime

namespace mydocker {

template <>
struct JsonCodec<runtime::StreamChoice> {
  static void read(const json::value& value, const std::string& path, runtime::StreamChoice& out);
  static json::value write(const runtime::StreamChoice& value);
};

}  // namespace mydocker

namespace mydocker::runtime {

/// One more process in the running container. Which streams exist follows `streams`; without a client they are
/// /dev/null (a tty's output is read and dropped). Its seccomp profile, cgroup and namespaces are the container's;
/// what rights it has (`--privileged`) stands in `process`.
struct ExecRequest {
  std::string exec_id;
  json::value process;  ///< to_json(runtime::Process): args, env, cwd, capabilities, terminal ...
  std::string user;     ///< "name[:group]", resolved inside the rootfs; empty: process.user
  std::vector<std::string> group_add;
  bool tty = false;
  std::uint16_t console_height = 0;
  std::uint16_t console_width = 0;
  StreamChoice streams;

  static constexpr auto json_fields() {
    return std::tuple(field("exec_id", &ExecRequest::exec_id), field("process", &ExecRequest::process),
                      field("user", &ExecRequest::user), field("group_add", &ExecRequest::group_add),
                      field("tty", &ExecRequest::tty), field("console_height", &ExecRequest::console_height),
                      field("console_width", &ExecRequest::console_width), field("streams", &ExecRequest::streams));
  }
};

/// An exec session as the shim knows it: running, or ended and not yet acknowledged.
struct ExecSnapshot {
  std::string exec_id;
  int pid = 0;
  bool running = true;
  int exit_code = 0;  ///< of an ended one

  static constexpr auto json_fields() {
    return std::tuple(field("exec_id", &ExecSnapshot::exec_id), field("pid", &ExecSnapshot::pid),
                      field("running", &ExecSnapshot::running), field("exit_code", &ExecSnapshot::exit_code));
  }
};

/// The whole truth about a container, for an engine that takes it over.
struct ShimSnapshot {
  std::string id;
  std::string state;  ///< "new", "created", "running" or "exited"
  int shim_pid = 0;
  int pid = 0;             ///< of the container's PID 1 in the shim's pid namespace; 0 before create
  std::string netns_path;  ///< "/proc/<shim>/fd/<n>": valid as long as the shim lives; empty without a netns
  std::int64_t started_at_ns = 0;
  std::optional<ExitRecord> exit;
  std::vector<ExecSnapshot> execs;
  std::optional<HealthReport> health;  ///< with probes only

  static constexpr auto json_fields() {
    return std::tuple(field("id", &ShimSnapshot::id), field("state", &ShimSnapshot::state),
                      field("shim_pid", &ShimSnapshot::shim_pid), field("pid", &ShimSnapshot::pid),
                      field("netns_path", &ShimSnapshot::netns_path),
                      field("started_at_ns", &ShimSnapshot::started_at_ns), field("exit", &ShimSnapshot::exit),
                      field("execs", &ShimSnapshot::execs), field_omit_empty("health", &ShimSnapshot::health));
  }
};

/// What the events connection brings. Types:
///   snapshot      first of all; `snapshot` is set
///   exit          the container's end; `exit` is set. Its log is complete, the exit record is written. Then
///   `finished`. exec_exit     exec_id, exit_code; sent before the session's client is closed; kept until acknowledged
///   and repeated
///                 to the next events connection. The client is closed upon the acknowledgement (or 2 s later).
///   probe_start   exec_id: a probe of the container's health was started
///   probe         exec_id, exit_code: it has ended; `health` is set, its log holds this probe alone
///   oom           the kernel killed a process of the container for its memory limit
///   detached      session_id (and exec_id) left by its detach keys; attach_closed follows
///   attach_closed session_id (and exec_id): the client's connection was closed
///   finished      after `exit`: nothing of the container is left (processes, cgroups); files may be deleted. The shim
///                 closes the connection and stays only while clients have output to read.
/// Types not known here are to be skipped.
struct ShimEvent {
  std::uint64_t sequence = 0;  ///< what ack_shim_event names; 0 needs none
  std::string type;
  std::string exec_id;
  std::string session_id;
  int exit_code = 0;
  std::int64_t time_ns = 0;
  std::optional<ExitRecord> exit;
  std::optional<ShimSnapshot> snapshot;
  std::optional<HealthReport> health;

  static constexpr auto json_fields() {
    return std::tuple(field_omit_empty("sequence", &ShimEvent::sequence), field("event", &ShimEvent::type),
                      field_omit_empty("exec_id", &ShimEvent::exec_id),
                      field_omit_empty("session_id", &ShimEvent::session_id),
                      field_omit_empty("exit_code", &ShimEvent::exit_code), field("time_ns", &ShimEvent::time_ns),
                      field_omit_empty("exit", &ShimEvent::exit), field_omit_empty("snapshot", &ShimEvent::snapshot),
                      field_omit_empty("health", &ShimEvent::health));
  }
};

/// A message with its descriptors.
struct ShimMessage {
  json::object body;
  std::vector<UniqueFd> fds;
};

/// Sends one message; a long one goes through a memfd. Never blocks: false = the peer's buffer is full. Throws
/// Error{unavailable} when the peer is gone.
[[nodiscard]] bool send_shim_message(int socket, const json::object& body, std::span<const int> fds = {});

enum class Received { message, would_block, closed };
/// Receives one message; never blocks. Throws Error{invalid_argument} for a packet that is none (not JSON, not an
/// object, longer than the limits, a memfd that is not sealed); the connection may be used further.
Received receive_shim_message(int socket, ShimMessage& out);

/// {"kind","message","errno","exit_code"} of an error, and back: throws LaunchError when there is an exit code, else
/// Error.
json::object make_error_object(const Error& error);
[[noreturn]] void throw_error_object(const json::value& object);

}  // namespace mydocker::runtime
