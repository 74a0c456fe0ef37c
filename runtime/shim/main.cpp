#include <fcntl.h>
#include <linux/close_range.h>
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "engine/base/error.h"
#include "engine/base/log.h"
#include "engine/base/sys.h"
#include "runtime/shim/event_loop.h"
#include "runtime/shim/monitor.h"

/// mydocker-shim SHIM_DIR: the parent of one container (runtime/shim/monitor.h). Started by the engine, which is its
/// first client through descriptor 3 and finds it again at SHIM_DIR/socket. Logs to stderr, which is SHIM_DIR/shim.log.
namespace mydocker::shim {
namespace {

constexpr int first_connection_fd = 3;

/// Descriptors of whoever started us are not ours to keep (SECURITY R5).
UniqueFd take_first_connection() {
  ::syscall(SYS_close_range, first_connection_fd + 1, ~0U, 0);
  int type = 0;
  socklen_t length = sizeof type;
  if (::getsockopt(first_connection_fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0 || type != SOCK_SEQPACKET) return {};
  if (::fcntl(first_connection_fd, F_SETFD, FD_CLOEXEC) != 0) throw sys_error("fcntl");
  return UniqueFd(first_connection_fd);
}

UniqueFd watch_children() {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGCHLD);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) throw sys_error("sigprocmask");
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) throw sys_error("signalfd");
  return fd;
}

void set_up_process() {
  // Small heap, given back soon: there is one shim for each container.
  ::mallopt(M_TRIM_THRESHOLD, 32 * 1024);
  ::mallopt(M_MMAP_THRESHOLD, 64 * 1024);
  ::mallopt(M_TOP_PAD, 0);
  if (::prctl(PR_SET_DUMPABLE, 0) != 0) throw sys_error("PR_SET_DUMPABLE");  // SECURITY R6
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) throw sys_error("PR_SET_CHILD_SUBREAPER");
  // What ends sessions and services must not end containers; a client that is gone shows as EPIPE.
  for (const int signal : {SIGPIPE, SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2, SIGXFSZ}) {
    ::signal(signal, SIG_IGN);
  }
  ::umask(0022);
  if (::chdir("/") != 0) throw sys_error("chdir /");
}

int run(const std::string& shim_dir) {
  UniqueFd first_connection = take_first_connection();
  set_up_process();
  UniqueFd child_events = watch_children();
  EventLoop loop;
  Monitor monitor(loop, shim_dir, listen_unix(shim_dir + "/socket", SOCK_SEQPACKET), std::move(child_events),
                  std::move(first_connection));
  loop.run();
  return 0;
}

}  // namespace
}  // namespace mydocker::shim

int main(int argc, char** argv) {
  if (argc != 2 || argv[1][0] != '/') {
    mydocker::log::error("usage: mydocker-shim SHIM_DIR (absolute; started by mydockerd)");
    return 2;
  }
  try {
    return mydocker::shim::run(argv[1]);
  } catch (const std::exception& error) {
    mydocker::log::error("shim", {{"error", error.what()}});
    return 1;
  }
}
