#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

#include "engine/base/trace.h"
#include "engine/base/unique_fd.h"
#include "runtime/shim_protocol.h"
#include "runtime/task.h"

namespace mydocker::shim {

/// One more process of the container; the shim is its parent and reaps it.
struct ExecProcess {
  pid_t pid = -1;
  UniqueFd pidfd;
  UniqueFd console;  ///< the pty's master; empty without a terminal
};

/// Who makes the container's processes: the runtime library, or another OCI runtime (`--runtime crun`).
/// Single-threaded; calls block for what the runtime takes. Whichever it is, the shim is the parent of PID 1 and of
/// every exec. Throws LaunchError for what the container or the request is to blame for, Error for the rest.
class ContainerTask {
 public:
  virtual ~ContainerTask() = default;

  /// Makes the namespaces and PID 1, which waits for start().
  virtual void create(runtime::TaskOptions options) = 0;
  /// Whether create() finds the cgroup's directories by their path, in those hierarchies that it knows, and makes
  /// scopes by itself; else it takes the cgroup of `options`.
  virtual bool finds_cgroup() const noexcept = 0;
  /// The container's network namespace; empty when it has the host's.
  virtual UniqueFd netns() const = 0;
  virtual void wait_created() = 0;
  /// The pty's master, after wait_created() (empty without terminal). Gives it away.
  virtual UniqueFd take_console() = 0;
  virtual void start() = 0;
  virtual ExecProcess exec(const runtime::ExecOptions& options) = 0;
  /// false: PID 1 is gone already.
  virtual bool kill(int signal) = 0;
  /// Gives up before start(), or takes away what is left after the end of PID 1. Throws nothing; may be repeated.
  virtual void remove() noexcept = 0;

  virtual pid_t pid() const noexcept = 0;
  virtual int pidfd() const noexcept = 0;
  virtual const Trace& trace() const noexcept = 0;
};

std::unique_ptr<ContainerTask> make_own_task();
/// From here on the calling process has a mount namespace of its own, with the cgroup hierarchies that the other
/// runtime can use. `directory` is the shim's own; a directory "oci" in it will hold the runtime's bundle and state.
std::unique_ptr<ContainerTask> make_foreign_task(runtime::ForeignRuntime runtime, std::string directory);

}  // namespace mydocker::shim
