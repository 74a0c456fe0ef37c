#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/process.h"
#include "engine/base/unique_fd.h"
#include "storage/limits.h"
#include "storage/worker_protocol.h"

namespace mydocker::storage {

/// How the store reaches its confined program `mydocker-worker` (SECURITY R7, R27).
struct WorkerOptions {
  std::string program;                   ///< absolute path of mydocker-worker
  std::vector<std::string> environment;  ///< its complete environment (failpoints in tests; else empty)
  UnpackLimits limits;
  /// A worker that takes no input or gives no output for this long is killed.
  std::chrono::milliseconds patience = std::chrono::minutes(5);
};

enum class WorkerPipe { none, input, output };

/// One running worker with its pipe. One thread at a time; the destructor kills what still runs.
class WorkerProcess {
 public:
  /// Spawns it with `root` as its directory (worker_protocol.h), or as the mount namespace whose root `container_root`
  /// is, and sends the request. Throws Error{internal}.
  WorkerProcess(const WorkerOptions& options, const WorkerRequest& request, int root, WorkerPipe pipe,
                int container_root = -1);

  /// Feeds its input; blocks while the pipe is full. Throws what the worker answered when it gave up.
  void write(std::string_view bytes);
  /// Reads its output, up to `size` bytes; 0 at the end. Throws Error{unavailable} when it hangs.
  std::size_t read(char* buffer, std::size_t size);
  /// Closes the pipe, waits for the answer and the end. Throws the worker's error.
  WorkerAnswer finish();

 private:
  void wait_for_pipe(short events);

  std::chrono::milliseconds patience_;
  std::string job_;
  UniqueFd socket_;
  UniqueFd pipe_;
  Process process_;
};

}  // namespace mydocker::storage
