#include "engine/uploads.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>

#include "engine/base/log.h"
#include "engine/base/sys.h"

namespace mydocker::engine {
namespace {

constexpr std::chrono::seconds longest_wait{10};

}  // namespace

Upload::Upload(ContainerPtr container) : container_(std::move(container)), cancel_(::eventfd(0, EFD_CLOEXEC)) {
  if (!cancel_) throw sys_error("eventfd");
  container_->uploads.push_back(cancel_.get());
  if (container_->forced_removals > 0) cancel_uploads(*container_);
}

Upload::~Upload() {
  std::erase(container_->uploads, cancel_.get());
  container_->changed.notify_all();
}

void Upload::wait_for_input(int body) const {
  pollfd both[] = {{.fd = body, .events = POLLIN, .revents = 0}, {.fd = cancel_.get(), .events = POLLIN, .revents = 0}};
  if (retry_on_eintr([&] { return ::poll(both, 2, -1); }) < 0) throw sys_error("poll");
  if (both[1].revents == 0) return;
  throw Error(ErrorKind::conflict, concat("container ", container_->id(), " has ended during the upload"));
}

ForcedRemoval::ForcedRemoval(ContainerPtr container) : container_(std::move(container)) {
  ++container_->forced_removals;
  cancel_uploads(*container_);
}

void cancel_uploads(const Container& container) {
  for (const int upload : container.uploads) {
    if (::eventfd_write(upload, 1) != 0) log::warn("upload", {{"error", errno_text(errno)}});
  }
}

awaitable<void> wait_uploads_ended(ContainerPtr container) {
  const auto deadline = std::chrono::steady_clock::now() + longest_wait;
  while (!container->uploads.empty()) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= std::chrono::nanoseconds(0)) {
      log::warn("an upload goes on after its container's end", {{"container", container->id()}});
      co_return;
    }
    co_await container->changed.wait_for(left);
  }
}

}  // namespace mydocker::engine
