#include "runtime/oci/console.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <optional>

#include "engine/base/sys.h"

namespace mydocker::oci {
namespace {

/// The calling terminal in raw mode while it lives.
class RawTerminal {
 public:
  RawTerminal() {
    if (::tcgetattr(0, &saved_) != 0) return;
    termios raw = saved_;
    ::cfmakeraw(&raw);
    active_ = ::tcsetattr(0, TCSANOW, &raw) == 0;
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;
  ~RawTerminal() {
    if (active_) ::tcsetattr(0, TCSANOW, &saved_);
  }

 private:
  termios saved_{};
  bool active_ = false;
};

void copy_window_size(int master) {
  winsize size{};
  if (::ioctl(0, TIOCGWINSZ, &size) == 0) ::ioctl(master, TIOCSWINSZ, &size);
}

/// false: the source is at its end.
bool pump(int from, int to) {
  char buffer[16384];
  const ssize_t count = retry_on_eintr([&] { return ::read(from, buffer, sizeof buffer); });
  if (count <= 0) return false;
  write_all(to, std::string_view(buffer, static_cast<std::size_t>(count)));
  return true;
}

void forward_signal(int source, int pidfd, int master) {
  signalfd_siginfo info{};
  if (::read(source, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return;
  const int signal = static_cast<int>(info.ssi_signo);
  if (signal == SIGWINCH && master >= 0) return copy_window_size(master);
  if (signal != SIGCHLD && signal != SIGPIPE && signal != SIGURG) signal_pidfd(pidfd, signal);
}

ExitStatus reap(pid_t pid) {
  siginfo_t status{};
  if (retry_on_eintr([&] { return ::waitid(P_PID, static_cast<id_t>(pid), &status, WEXITED); }) < 0) {
    throw sys_error("wait for the container");
  }
  return make_exit_status(status.si_code, status.si_status);
}

}  // namespace

SignalSource::SignalSource() {
  sigset_t all{};
  ::sigfillset(&all);
  ::sigdelset(&all, SIGTSTP);
  if (::sigprocmask(SIG_BLOCK, &all, nullptr) != 0) throw sys_error("sigprocmask");
  fd_ = UniqueFd(::signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd_) throw sys_error("signalfd");
}

void inherit_terminal_size(runtime::Process& process) {
  winsize size{};
  if (!process.terminal || process.console_size || ::ioctl(0, TIOCGWINSZ, &size) != 0) return;
  process.console_size = runtime::ConsoleSize{size.ws_row, size.ws_col};
}

ExitStatus attend(Attended process, SignalSource& signals) {
  UniqueFd& master = process.master;
  std::optional<RawTerminal> raw;
  if (master) {
    raw.emplace();
    copy_window_size(master.get());
  }
  bool input = static_cast<bool>(master);
  for (;;) {
    const int notify = process.notify != nullptr ? process.notify->fd() : -1;
    pollfd waiting[5] = {{process.pidfd, POLLIN, 0},
                         {signals.fd(), POLLIN, 0},
                         {master.get(), POLLIN, 0},
                         {input ? 0 : -1, POLLIN, 0},
                         {notify, POLLIN, 0}};
    if (::poll(waiting, 5, -1) < 0 && errno != EINTR) throw sys_error("poll");
    if (waiting[4].revents != 0 && process.notify->relay(0)) process.notify = nullptr;
    if (waiting[1].revents != 0) forward_signal(signals.fd(), process.pidfd, master.get());
    if (waiting[2].revents != 0 && !pump(master.get(), 1)) master.reset();
    if (waiting[3].revents != 0 && master && !pump(0, master.get())) input = false;
    if (!master) input = false;
    if (waiting[0].revents == 0) continue;
    if (master) {  // what it wrote last
      set_nonblocking(master.get());
      while (pump(master.get(), 1)) {
      }
    }
    return reap(process.pid);
  }
}

}  // namespace mydocker::oci
