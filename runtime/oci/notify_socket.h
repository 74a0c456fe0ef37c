#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "engine/base/unique_fd.h"
#include "runtime/spec.h"

namespace mydocker::oci {

/// A container that reports its readiness (man 3 sd_notify): the service manager's socket is outside of its root, so it
/// gets one of its own at /run/notify/notify.sock, and READY=1 is handed on from there to the caller's NOTIFY_SOCKET.
/// Only that word passes: what a container says is data (SECURITY R10). One thread.
class NotifySocket {
 public:
  /// Adds mount and variable to the spec when the calling process has a NOTIFY_SOCKET; `directory` is the container's.
  static void prepare(runtime::Spec& spec, const std::string& directory);
  /// Binds the container's end; nullopt when the container was made without it or nobody is to be told.
  static std::optional<NotifySocket> open(const std::string& directory);

  int fd() const noexcept { return socket_.get(); }
  /// Takes one message. true: the container has become ready, and the manager was told; `main_pid` goes with it unless
  /// 0.
  bool relay(pid_t main_pid);
  /// Blocks until the container is ready or its process has ended.
  void wait_ready(int pidfd, pid_t main_pid);

 private:
  NotifySocket() = default;
  UniqueFd socket_;
  std::string manager_;  ///< a path, or "@" and an abstract name
};

}  // namespace mydocker::oci
