#pragma once

#include "engine/base/process.h"
#include "engine/base/unique_fd.h"
#include "runtime/oci/notify_socket.h"

namespace mydocker::oci {

/// Signals that are handed on to the container while this process waits in the foreground; blocked from the
/// construction on, so that none is lost.
class SignalSource {
 public:
  SignalSource();
  int fd() const noexcept { return fd_.get(); }

 private:
  UniqueFd fd_;
};

/// A process whose terminal this process will attend starts with the size of the calling one, unless it names its own.
void inherit_terminal_size(runtime::Process& process);

/// A child in the foreground.
struct Attended {
  pid_t pid = -1;
  int pidfd = -1;
  UniqueFd master;                 ///< of its terminal, connected with the calling one (raw meanwhile); empty: none
  NotifySocket* notify = nullptr;  ///< borrowed
};

/// Waits for the process, forwarding signals to it and its readiness to the service manager. Reaps it. Blocks.
ExitStatus attend(Attended process, SignalSource& signals);

}  // namespace mydocker::oci
