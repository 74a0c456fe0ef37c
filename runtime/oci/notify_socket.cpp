#include "runtime/oci/notify_socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "engine/base/sys.h"

namespace mydocker::oci {
namespace {

constexpr std::string_view inside = "/run/notify";
constexpr mode_t anybody = 0666;  // the container's process may be any user

std::string manager_socket() {
  const char* path = std::getenv("NOTIFY_SOCKET");
  return path == nullptr ? "" : path;
}

struct Address {
  sockaddr_un address{};
  socklen_t length = 0;
};

Address make_address(const std::string& name) {
  Address out;
  if (name.size() >= sizeof out.address.sun_path) {
    throw Error(ErrorKind::invalid_argument, concat("NOTIFY_SOCKET ", name, " is too long"));
  }
  out.address.sun_family = AF_UNIX;
  std::memcpy(out.address.sun_path, name.data(), name.size());
  if (name.starts_with("@")) out.address.sun_path[0] = '\0';
  out.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() + (name.starts_with("@") ? 0 : 1));
  return out;
}

bool has_line(std::string_view message, std::string_view line) {
  while (!message.empty()) {
    const std::size_t end = std::min(message.find('\n'), message.size());
    if (message.substr(0, end) == line) return true;
    message.remove_prefix(std::min(end + 1, message.size()));
  }
  return false;
}

}  // namespace

void NotifySocket::prepare(runtime::Spec& spec, const std::string& directory) {
  if (manager_socket().empty()) return;
  const std::string shared = directory + "/notify";
  if (::mkdir(shared.c_str(), 0755) != 0) throw sys_error("mkdir ", shared);
  spec.mounts.push_back({std::string(inside), "bind", shared, {"bind", "nosuid", "noexec", "nodev", "ro"}, {}, {}});
  spec.process.env.push_back(concat("NOTIFY_SOCKET=", inside, "/notify.sock"));
}

std::optional<NotifySocket> NotifySocket::open(const std::string& directory) {
  NotifySocket out;
  out.manager_ = manager_socket();
  const UniqueFd shared = find_at(AT_FDCWD, directory + "/notify", O_PATH | O_DIRECTORY);
  if (out.manager_.empty() || !shared) return std::nullopt;
  out.socket_ = UniqueFd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!out.socket_) throw sys_error("socket");
  // By descriptor: the state directory's path may be longer than a socket address.
  const Address own = make_address(concat("/proc/self/fd/", shared.get(), "/notify.sock"));
  if (::bind(out.socket_.get(), reinterpret_cast<const sockaddr*>(&own.address), own.length) != 0) {
    throw sys_error("bind the notify socket");
  }
  if (::fchmodat(shared.get(), "notify.sock", anybody, 0) != 0) throw sys_error("chmod the notify socket");
  return out;
}

bool NotifySocket::relay(pid_t main_pid) {
  char buffer[4096];
  const ssize_t length = retry_on_eintr([&] { return ::recv(socket_.get(), buffer, sizeof buffer, 0); });
  if (length <= 0 || !has_line(std::string_view(buffer, static_cast<std::size_t>(length)), "READY=1")) return false;
  const std::string message = main_pid > 0 ? concat("READY=1\nMAINPID=", main_pid) : "READY=1";
  const UniqueFd out(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const Address manager = make_address(manager_);
  if (::sendto(out.get(), message.data(), message.size(), MSG_NOSIGNAL,
               reinterpret_cast<const sockaddr*>(&manager.address), manager.length) < 0) {
    throw sys_error("notify ", manager_);
  }
  return true;
}

void NotifySocket::wait_ready(int pidfd, pid_t main_pid) {
  for (;;) {
    pollfd waiting[2] = {{socket_.get(), POLLIN, 0}, {pidfd, POLLIN, 0}};
    if (::poll(waiting, 2, -1) < 0 && errno != EINTR) throw sys_error("poll");
    if (waiting[0].revents != 0 && relay(main_pid)) return;
    if (waiting[1].revents != 0 && waiting[0].revents == 0) return;
  }
}

}  // namespace mydocker::oci
