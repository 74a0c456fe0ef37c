#pragma once

#include "engine/engine_state.h"

/// Uploads (docker cp) into a container. Their worker stands in the container's mount namespace, which keeps its root
/// mounted: the container's end ends them, however slow their client is. I/O thread only, but for wait_for_input.
namespace mydocker::engine {

/// One upload, from its begin to the end of its worker. Outlives neither the coroutine nor the container.
class Upload {
 public:
  explicit Upload(ContainerPtr container);
  Upload(const Upload&) = delete;
  Upload& operator=(const Upload&) = delete;
  ~Upload();

  /// Until `body` can be read. Throws Error{conflict} when the container has ended, or is being removed. Blocks; any
  /// thread.
  void wait_for_input(int body) const;

 private:
  ContainerPtr container_;
  UniqueFd cancel_;  ///< eventfd
};

/// While it lives, the container is to be removed by force: uploads end, and none begins.
class ForcedRemoval {
 public:
  explicit ForcedRemoval(ContainerPtr container);
  ForcedRemoval(const ForcedRemoval&) = delete;
  ForcedRemoval& operator=(const ForcedRemoval&) = delete;
  ~ForcedRemoval() { --container_->forced_removals; }

 private:
  ContainerPtr container_;
};

/// Tells all uploads of the container to end.
void cancel_uploads(const Container& container);
/// Until their workers are gone, so that nothing has its root mounted any more; ten seconds at most: a worker that the
/// kernel holds in a file system of somebody else is not waited for.
awaitable<void> wait_uploads_ended(ContainerPtr container);

}  // namespace mydocker::engine
