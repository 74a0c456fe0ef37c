#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "engine/base/sys.h"
#include "runtime/cgroup.h"

namespace mydocker::runtime {
namespace {

std::uint64_t read_kill_count(int file) {
  char text[1024];
  const ssize_t size = ::pread(file, text, sizeof text - 1, 0);
  if (size <= 0) return 0;  // the cgroup is gone
  const std::string_view all(text, static_cast<std::size_t>(size));
  const std::size_t at = all.find("oom_kill ");
  return at == std::string_view::npos ? 0 : std::strtoull(std::string(all.substr(at + 9)).c_str(), nullptr, 10);
}

UniqueFd watch_v1(int dir, int counter) {
  UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) throw sys_error("eventfd");
  write_kernel_file_at(dir, "cgroup.event_control", concat(event.get(), " ", counter));
  return event;
}

UniqueFd watch_v2(int dir) {
  UniqueFd notify(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!notify) throw sys_error("inotify_init");
  const std::string path = concat("/proc/self/fd/", dir, "/memory.events");
  if (::inotify_add_watch(notify.get(), path.c_str(), IN_MODIFY) < 0) throw sys_error("watch memory.events");
  return notify;
}

}  // namespace

std::optional<OomWatch> OomWatch::start(const Cgroup& cgroup) {
  const Cgroup::Directory* memory = cgroup.find_controller("memory");
  if (memory == nullptr) return std::nullopt;
  const int dir = memory->fd.get();
  OomWatch watch;
  const bool v2 = cgroup.is_v2(*memory);
  watch.counter_ = find_at(dir, v2 ? "memory.events" : "memory.oom_control", O_RDONLY);
  if (!watch.counter_) return std::nullopt;
  watch.fd_ = v2 ? watch_v2(dir) : watch_v1(dir, watch.counter_.get());
  watch.seen_ = read_kill_count(watch.counter_.get());
  return watch;
}

bool OomWatch::read() {
  char buffer[4096];
  while (::read(fd_.get(), buffer, sizeof buffer) > 0) {
  }
  const std::uint64_t count = read_kill_count(counter_.get());
  const bool more = count > seen_;
  if (more) seen_ = count;
  return more;
}

}  // namespace mydocker::runtime
