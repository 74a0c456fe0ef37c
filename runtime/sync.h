#pragma once

#include <exception>
#include <optional>
#include <string>

#include "engine/base/unique_fd.h"
#include "runtime/launch_error.h"

/// The conversation between a runtime and the init stage of a container, over a SEQPACKET pair; one word a packet:
///
///   runtime                                   init stage
///      │  (user namespace)   id_maps_written ──►│
///      │◄── host_wanted            │  (network devices, prestart, createRuntime)
///      │                          host_done ──►│
///      │◄── console + descriptor   (terminal)   │  rootfs, mounts, pivot_root, program found
///      │◄── created                             │
///      │                              start ──►│  sysctl net.*, hooks, rights, seccomp
///      │◄── executing                           │  seccomp
///      │◄── listener + descriptor               │  (a profile that notifies)
///      │                     listener_taken ──►│  execve
///      ▼    end of stream = execve succeeded
/// `error` may take the place of any word from the right; then the init stage ends.
/// After `created` the right side may take `start` from a connection of its own (mydocker-runtime create and start).
namespace mydocker::runtime {

enum class Sync : char {
  id_maps_written = 'i',
  host_wanted = 'w',
  host_done = 'h',
  console = 't',
  listener = 'l',        ///< the seccomp listener's descriptor, between executing and the end
  listener_taken = 'k',  ///< the agent has it: without an agent the program does not run
  created = 'c',
  start = 's',
  executing = 'x',
  error = 'e',
};

struct SyncMessage {
  Sync word = Sync::error;
  UniqueFd fd;  ///< with console and listener
};

/// One end. Blocking; one thread.
class SyncSocket {
 public:
  SyncSocket() = default;
  explicit SyncSocket(UniqueFd fd) : fd_(std::move(fd)) {}

  int fd() const noexcept { return fd_.get(); }
  explicit operator bool() const noexcept { return static_cast<bool>(fd_); }
  UniqueFd take() noexcept { return std::move(fd_); }

  void send(Sync word, int fd = -1);
  /// What crosses is kind, message, errno and exit code. Uses write(2) only, so that it works under a filter. Never
  /// throws: nobody may be left to hear it.
  void send_error(const std::exception& error) noexcept;
  /// The next word; nullopt when the peer is gone. A received `error` is thrown as LaunchError.
  std::optional<SyncMessage> receive();
  /// As expect(), by read(2) alone: what a filter lets pass most surely.
  void expect_under_filter(Sync word);
  /// Throws Error{internal} unless the next word is this one.
  void expect(Sync word);

 private:
  UniqueFd fd_;
};

}  // namespace mydocker::runtime
