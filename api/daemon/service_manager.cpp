#include "api/daemon/service_manager.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <string>

#include "engine/base/error.h"
#include "engine/base/sys.h"

namespace mydocker::daemon {
namespace {

constexpr int first_activated_fd = 3;
constexpr int most_activated_fds = 64;

int environment_number(const char* name) {
  const char* text = ::secure_getenv(name);
  return text == nullptr ? 0 : ::atoi(text);
}

}  // namespace

std::vector<UniqueFd> take_activated_sockets(std::string_view which) {
  const int count = environment_number("LISTEN_FDS");
  if (environment_number("LISTEN_PID") != ::getpid() || count <= 0 || count > most_activated_fds) {
    throw Error(ErrorKind::invalid_argument,
                "no sockets found via socket activation: make sure the service was started by systemd");
  }
  const bool all = which.empty() || which == "*";
  std::vector<UniqueFd> sockets;
  for (int fd = first_activated_fd; fd < first_activated_fd + count; ++fd) {
    if (!all && which != std::to_string(fd)) continue;
    if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) throw sys_error("fcntl of activated socket ", fd);
    sockets.emplace_back(fd);
  }
  if (sockets.empty()) {
    throw Error(ErrorKind::invalid_argument, concat("fd://", which, ": the service manager passed no such socket"));
  }
  return sockets;
}

void notify_service_manager(std::string_view state) noexcept {
  const char* path = ::secure_getenv("NOTIFY_SOCKET");
  if (path == nullptr || (path[0] != '/' && path[0] != '@')) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::size_t length = std::strlen(path);
  if (length >= sizeof address.sun_path) return;
  std::memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = '\0';
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  (void)::sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address),
                 size);
}

}  // namespace mydocker::daemon
