#pragma once

#include "engine/base/process.h"
#include "engine/base/unique_fd.h"

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

/// Waits for the process, forwarding signals to it; with a `master`, the calling terminal (raw meanwhile) and the
/// container's are connected. Reaps it. Blocks.
ExitStatus attend(pid_t pid, int pidfd, SignalSource& signals, UniqueFd master);

}  // namespace mydocker::oci
