#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <string>

#include "engine/base/sys.h"
#include "runtime/cgroup.h"

namespace mydocker::runtime {
namespace {

constexpr std::size_t longest_record = 8192;  // of /dev/kmsg

/// nullopt: the cgroup is gone.
std::optional<std::uint64_t> read_kill_count(int file) {
  char text[1024];
  const ssize_t size = ::pread(file, text, sizeof text - 1, 0);
  if (size <= 0) return std::nullopt;
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

/// From now on; empty where it may not be read.
UniqueFd open_kernel_log() {
  UniqueFd log(::open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (log && ::lseek(log.get(), 0, SEEK_END) < 0) log.reset();
  return log;
}

/// How many kills in the cgroup have come since the last call.
std::uint64_t count_logged_kills(int log, std::string_view path) {
  std::uint64_t count = 0;
  char record[longest_record];
  for (;;) {
    const ssize_t size = ::read(log, record, sizeof record);
    if (size > 0 && is_oom_record(std::string_view(record, static_cast<std::size_t>(size)), path)) ++count;
    const bool overtaken = size < 0 && (errno == EPIPE || errno == EINTR || errno == EINVAL);  // the next one is read
    if (size <= 0 && !overtaken) return count;
  }
}

}  // namespace

// "PRIORITY,SEQUENCE,TIME,FLAGS;TEXT": the priority holds the facility, 0 is the kernel itself.
bool is_oom_record(std::string_view record, std::string_view path) {
  constexpr int levels = 8;
  const std::string_view number = record.substr(0, record.find(','));
  int priority = levels;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), priority);
  if (error != std::errc{} || end != number.data() + number.size() || priority >= levels) return false;
  const std::size_t begin = record.find(';');
  if (begin == std::string_view::npos) return false;
  const std::string_view text = record.substr(begin + 1, record.find('\n', begin) - begin - 1);
  const std::string wanted = concat(",task_memcg=", path);
  const std::size_t at = text.find(wanted);
  // The kernel writes the line in pieces: a record of another CPU that comes between leaves the rest on its own.
  const bool is_its_line = text.starts_with("oom-kill:") || text.starts_with(',');
  if (!is_its_line || at == std::string_view::npos) return false;
  const std::string_view rest = text.substr(at + wanted.size());
  return rest.starts_with(',') || rest.starts_with('/');
}

std::optional<OomWatch> OomWatch::start(const Cgroup& cgroup) {
  const Cgroup::Directory* memory = cgroup.find_controller("memory");
  if (memory == nullptr) return std::nullopt;
  const int dir = memory->fd.get();
  OomWatch watch;
  const bool v2 = cgroup.is_v2(*memory);
  watch.counter_ = find_at(dir, v2 ? "memory.events" : "memory.oom_control", O_RDONLY);
  if (!watch.counter_) return std::nullopt;
  watch.fd_ = v2 ? watch_v2(dir) : watch_v1(dir, watch.counter_.get());
  if (!cgroup.unit_.empty()) {
    watch.kernel_log_ = open_kernel_log();
    watch.path_ = cgroup.path();
  }
  watch.seen_ = read_kill_count(watch.counter_.get()).value_or(0);
  return watch;
}

bool OomWatch::read() {
  char buffer[4096];
  while (::read(fd_.get(), buffer, sizeof buffer) > 0) {
  }
  std::optional<std::uint64_t> count = read_kill_count(counter_.get());
  if (!count && kernel_log_) {
    logged_ += count_logged_kills(kernel_log_.get(), path_);
    count = logged_;
  }
  const bool more = count.value_or(0) > seen_;
  if (more) seen_ = *count;
  return more;
}

}  // namespace mydocker::runtime
