#include "cli/autostart.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "cli/terminal.h"
#include "engine/base/process.h"
#include "engine/base/sys.h"

namespace mydocker::cli {
namespace {

constexpr std::chrono::seconds patience{30};
constexpr std::string_view lock_path = "/run/mydocker-autostart.lock";
constexpr std::string_view log_path = "/var/log/mydockerd.log";

std::string engine_program() {
  std::array<char, 4096> path{};
  const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size() - 1);
  if (size <= 0) return {};
  const std::string self(path.data(), static_cast<std::size_t>(size));
  std::string program = self.substr(0, self.rfind('/') + 1) + "mydockerd";
  return ::access(program.c_str(), X_OK) == 0 ? program : std::string();
}

bool answers(const std::string& socket) {
  try {
    connect_unix(socket, SOCK_STREAM);
    return true;
  } catch (const Error&) {
    return false;
  }
}

// A datagram socket with an abstract name chosen by the kernel: what NOTIFY_SOCKET names.
struct Notification {
  UniqueFd socket;
  std::string name;
};

Notification make_notification() {
  Notification out;
  out.socket = UniqueFd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (!out.socket || ::bind(out.socket.get(), generic, sizeof(sa_family_t)) != 0) throw sys_error("bind");
  socklen_t length = sizeof address;
  if (::getsockname(out.socket.get(), generic, &length) != 0) throw sys_error("getsockname");
  out.name = concat("@", std::string_view(address.sun_path + 1, length - sizeof(sa_family_t) - 1));
  return out;
}

std::vector<std::string> engine_environment(const std::string& notify_socket) {
  std::vector<std::string> out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (std::strncmp(*entry, "NOTIFY_SOCKET=", 14) != 0) out.emplace_back(*entry);
  }
  out.push_back("NOTIFY_SOCKET=" + notify_socket);
  return out;
}

bool wait_until_it_answers(const std::string& socket, const Process& engine, const Notification& notification) {
  const UniqueFd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  const std::string directory = socket.substr(0, socket.rfind('/') + 1);
  ::inotify_add_watch(watch.get(), directory.c_str(), IN_CREATE | IN_MOVED_TO | IN_ATTRIB);
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!answers(socket)) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    std::array<pollfd, 3> fds{
        {{notification.socket.get(), POLLIN, 0}, {watch.get(), POLLIN, 0}, {engine.pidfd(), POLLIN, 0}}};
    ::poll(fds.data(), fds.size(), static_cast<int>(left.count()));
    if (fds[2].revents != 0) return answers(socket);
    std::array<char, 4096> drained{};
    while (::read(watch.get(), drained.data(), drained.size()) > 0) {
    }
    while (::recv(notification.socket.get(), drained.data(), drained.size(), 0) > 0) {
    }
  }
  return true;
}

bool spawn_and_wait(const std::string& program, const std::string& socket) {
  const Notification notification = make_notification();
  const UniqueFd log = open_file(std::string(log_path), O_WRONLY | O_CREAT | O_APPEND, 0600);
  // What a script holds open (locks, pipes) must not live on in the engine.
  ::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  SpawnOptions options;
  options.program = program;
  options.arguments = {program};
  options.environment = engine_environment(notification.name);
  options.fds = {{log.get(), 1}, {log.get(), 2}};
  options.new_session = true;
  print_error(concat("mydocker: no engine answers at unix://", socket, ", starting ", program,
                     " in the background (log: ", log_path, ")\n"));
  Process engine = Process::spawn(options);
  const bool up = wait_until_it_answers(socket, engine, notification);
  static_cast<void>(engine.release());
  if (!up) print_error(concat("mydocker: the engine did not come up, see ", log_path, "\n"));
  return up;
}

}  // namespace

bool start_engine(const std::string& socket) {
  const char* wish = std::getenv("MYDOCKER_AUTOSTART");
  if (::geteuid() != 0 || (wish != nullptr && std::string_view(wish) == "0")) return false;
  const std::string program = engine_program();
  if (program.empty()) return false;
  try {
    // Two commands at once start one engine: the second waits here and finds it.
    const UniqueFd lock = open_file(std::string(lock_path), O_RDWR | O_CREAT, 0600);
    if (retry_on_eintr([&] { return ::flock(lock.get(), LOCK_EX); }) != 0) throw sys_error("flock ", lock_path);
    return answers(socket) || spawn_and_wait(program, socket);
  } catch (const Error& error) {
    print_error(concat("mydocker: cannot start the engine: ", error.message(), "\n"));
    return false;
  }
}

}  // namespace mydocker::cli
