#include "runtime/terminal.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "engine/base/sys.h"

namespace mydocker::runtime {

Terminal open_terminal(int devpts) {
  struct statfs kind{};
  if (::fstatfs(devpts, &kind) != 0) throw sys_error("statfs /dev/pts");
  if (kind.f_type != DEVPTS_SUPER_MAGIC) throw Error(ErrorKind::internal, "/dev/pts of the container is no devpts");
  Terminal terminal;
  terminal.master = open_beneath(devpts, "ptmx", O_RDWR | O_NOCTTY);
  int unlock = 0;
  if (::ioctl(terminal.master.get(), TIOCSPTLCK, &unlock) != 0) throw sys_error("unlock the pty");
  terminal.slave = UniqueFd(::ioctl(terminal.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!terminal.slave) throw sys_error("open the peer of the pty");
  return terminal;
}

Terminal open_terminal_at_root() {
  const UniqueFd root = open_file("/", O_PATH | O_DIRECTORY);
  const UniqueFd devpts = open_beneath(root.get(), "dev/pts", O_RDONLY | O_DIRECTORY);
  return open_terminal(devpts.get());
}

void set_terminal_size(int terminal, const ConsoleSize& size) {
  winsize window{};
  window.ws_row = static_cast<unsigned short>(size.height);
  window.ws_col = static_cast<unsigned short>(size.width);
  if (::ioctl(terminal, TIOCSWINSZ, &window) != 0) throw sys_error("set the terminal size");
}

void become_terminal(int slave) {
  if (::ioctl(slave, TIOCSCTTY, 0) != 0) throw sys_error("take the controlling terminal");
  for (int fd = 0; fd < 3; ++fd) {
    if (::dup2(slave, fd) < 0) throw sys_error("dup2 of the terminal");
  }
}

void send_to_console_socket(const std::string& path, int master) {
  const UniqueFd socket = connect_unix(path, SOCK_STREAM);
  char name[128] = "/dev/ptmx";
  send_packet(socket.get(), name, std::span<const int>(&master, 1));
}

}  // namespace mydocker::runtime
