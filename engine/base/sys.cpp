#include "engine/base/sys.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

namespace mydocker {
namespace {

constexpr int lookup_attempts = 64;

bool is_absence(int errno_value) { return errno_value == ENOENT || errno_value == ENOTDIR; }

long open_how_at(int dir, const std::string& path, int flags, mode_t mode, std::uint64_t resolve) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE) how.mode = mode;
  how.resolve = resolve;
  for (int attempt = 0;; ++attempt) {
    const long fd = retry_on_eintr([&] { return ::syscall(SYS_openat2, dir, path.c_str(), &how, sizeof how); });
    if (fd >= 0 || errno != EAGAIN || attempt >= lookup_attempts) return fd;
  }
}

}  // namespace

UniqueFd open_at(int dir, const std::string& path, int flags, mode_t mode) {
  const int fd = retry_on_eintr([&] { return ::openat(dir, path.c_str(), flags | O_CLOEXEC, mode); });
  if (fd < 0) throw sys_error("open ", path);
  return UniqueFd(fd);
}

UniqueFd open_file(const std::string& path, int flags, mode_t mode) { return open_at(AT_FDCWD, path, flags, mode); }

UniqueFd find_at(int dir, const std::string& path, int flags, mode_t mode) {
  const int fd = retry_on_eintr([&] { return ::openat(dir, path.c_str(), flags | O_CLOEXEC, mode); });
  if (fd < 0 && !is_absence(errno)) throw sys_error("open ", path);
  return UniqueFd(fd);
}

UniqueFd open_in_root(int root, const std::string& path, int flags, mode_t mode) {
  const long fd = open_how_at(root, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  if (fd < 0) throw sys_error("openat2 ", path);
  return UniqueFd(static_cast<int>(fd));
}

UniqueFd find_in_root(int root, const std::string& path, int flags, mode_t mode) {
  const long fd = open_how_at(root, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  if (fd < 0 && !is_absence(errno)) throw sys_error("openat2 ", path);
  return UniqueFd(static_cast<int>(fd));
}

UniqueFd open_beneath(int parent, const std::string& name, int flags, mode_t mode) {
  const long fd = open_how_at(parent, name, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
  if (fd < 0) throw sys_error("openat2 ", name);
  return UniqueFd(static_cast<int>(fd));
}

UniqueFd make_dirs_in_root(int root, const std::string& path, mode_t mode) {
  if (UniqueFd whole = find_in_root(root, path.empty() ? "." : path, O_PATH | O_DIRECTORY)) return whole;
  // Walk the parts; each is looked up (links resolve inside the root) or made in the directory just opened.
  UniqueFd current = open_in_root(root, ".", O_PATH | O_DIRECTORY);
  std::string walked;
  std::size_t begin = 0;
  while (begin < path.size()) {
    std::size_t end = path.find('/', begin);
    if (end == std::string::npos) end = path.size();
    const std::string part = path.substr(begin, end - begin);
    begin = end + 1;
    if (part.empty() || part == ".") continue;
    walked += "/" + part;
    UniqueFd next = find_in_root(root, walked, O_PATH | O_DIRECTORY);
    if (!next) {
      if (part == "..")
        throw Error(ErrorKind::invalid_argument, concat("path ", path, ": \"..\" below a missing directory"));
      if (::mkdirat(current.get(), part.c_str(), mode) != 0 && errno != EEXIST) throw sys_error("mkdir ", walked);
      next = open_beneath(current.get(), part, O_PATH | O_DIRECTORY);
    }
    current = std::move(next);
  }
  return current;
}

std::string read_all(int fd, std::size_t limit, std::string_view name) {
  std::string out;
  std::array<char, 16384> buffer;
  for (;;) {
    const ssize_t got = retry_on_eintr([&] { return ::read(fd, buffer.data(), buffer.size()); });
    if (got < 0) throw sys_error("read ", name);
    if (got == 0) return out;
    if (out.size() + static_cast<std::size_t>(got) > limit) {
      throw Error(ErrorKind::too_large, concat("read ", name, ": larger than ", limit, " bytes"));
    }
    out.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

std::string read_file_at(int dir, const std::string& path, std::size_t limit) {
  const UniqueFd fd = open_at(dir, path, O_RDONLY);
  return read_all(fd.get(), limit, path);
}

std::string read_file(const std::string& path, std::size_t limit) { return read_file_at(AT_FDCWD, path, limit); }

std::optional<std::string> find_file_at(int dir, const std::string& path, std::size_t limit) {
  const UniqueFd fd = find_at(dir, path, O_RDONLY);
  if (!fd) return std::nullopt;
  try {
    return read_all(fd.get(), limit, path);
  } catch (const Error& error) {
    if (error.errno_value() == ESRCH) return std::nullopt;  // below /proc: the process has ended since the open
    throw;
  }
}

void write_kernel_file_at(int dir, const std::string& path, std::string_view data) {
  const UniqueFd fd = open_at(dir, path, O_WRONLY);
  const ssize_t done = retry_on_eintr([&] { return ::write(fd.get(), data.data(), data.size()); });
  if (done < 0) throw sys_error("write \"", data, "\" to ", path);
  if (static_cast<std::size_t>(done) != data.size()) {
    throw Error(ErrorKind::internal, concat("write to ", path, ": short write"));
  }
}

void write_kernel_file(const std::string& path, std::string_view data) { write_kernel_file_at(AT_FDCWD, path, data); }

void write_all(int fd, std::string_view data) {
  while (!data.empty()) {
    const ssize_t done = retry_on_eintr([&] { return ::write(fd, data.data(), data.size()); });
    if (done < 0) throw sys_error("write");
    data.remove_prefix(static_cast<std::size_t>(done));
  }
}

void make_dirs(const std::string& path, mode_t mode) {
  if (::mkdir(path.c_str(), mode) == 0 || errno == EEXIST) return;
  if (errno != ENOENT) throw sys_error("mkdir ", path);
  const std::size_t slash = path.find_last_of('/');
  if (slash == std::string::npos || slash == 0) throw sys_error("mkdir ", path);
  make_dirs(path.substr(0, slash), mode);
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) throw sys_error("mkdir ", path);
}

bool path_exists(const std::string& path) {
  struct stat info{};
  return ::lstat(path.c_str(), &info) == 0;
}

Pipe make_pipe(int extra_flags) {
  std::array<int, 2> fds{};
  if (::pipe2(fds.data(), O_CLOEXEC | extra_flags) != 0) throw sys_error("pipe2");
  return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

std::pair<UniqueFd, UniqueFd> make_socket_pair(int type) {
  std::array<int, 2> fds{};
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds.data()) != 0) throw sys_error("socketpair");
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

UniqueFd make_memfd(const std::string& name, std::string_view content, bool sealed) {
  UniqueFd fd(::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) throw sys_error("memfd_create ", name);
  write_all(fd.get(), content);
  if (::lseek(fd.get(), 0, SEEK_SET) != 0) throw sys_error("lseek ", name);
  if (sealed && ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0) {
    throw sys_error("seal ", name);
  }
  return fd;
}

UniqueFd duplicate_fd(int fd) {
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy) throw sys_error("dup");
  return copy;
}

void set_nonblocking(int fd, bool on) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0) throw sys_error("fcntl");
}

namespace {
constexpr std::size_t max_packet_fds = 253;  ///< SCM_MAX_FD of net/scm.h
}

bool try_send_packet(int socket, std::string_view data, std::span<const int> fds, int flags) {
  if (fds.size() > max_packet_fds) throw Error(ErrorKind::internal, "send: too many descriptors");
  iovec part{const_cast<char*>(data.data()), data.size()};  // sendmsg(2) does not write to it
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * max_packet_fds)> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  if (retry_on_eintr([&] { return ::sendmsg(socket, &message, MSG_NOSIGNAL | flags); }) >= 0) return true;
  if ((flags & MSG_DONTWAIT) != 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
  throw sys_error("send");
}

void send_packet(int socket, std::string_view data, std::span<const int> fds) {
  static_cast<void>(try_send_packet(socket, data, fds, 0));
}

void take_descriptors(msghdr& message, std::vector<UniqueFd>& out) {
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      out.emplace_back(fd);
    }
  }
}

std::optional<Packet> receive_packet(int socket, std::size_t limit) {
  // The length first (MSG_PEEK|MSG_TRUNC), so that no buffer of `limit` bytes is made for a short packet.
  char probe = 0;
  const ssize_t length = retry_on_eintr([&] { return ::recv(socket, &probe, 1, MSG_PEEK | MSG_TRUNC); });
  if (length < 0 && errno == ECONNRESET) return std::nullopt;
  if (length < 0) throw sys_error("receive");
  Packet packet;
  packet.data.resize(std::clamp<std::size_t>(static_cast<std::size_t>(length), 1, limit));
  iovec part{packet.data.data(), packet.data.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * max_packet_fds)> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t got = retry_on_eintr([&] { return ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC); });
  if (got < 0) throw sys_error("receive");
  take_descriptors(message, packet.fds);
  if (got == 0) return std::nullopt;
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
    throw Error(ErrorKind::too_large, "receive: packet too large");
  packet.data.resize(static_cast<std::size_t>(got));
  return packet;
}

namespace {

/// sockaddr_un has room for 107 bytes; a longer path is reached through its directory's descriptor (DESIGN 8).
struct UnixAddress {
  sockaddr_un address{};
  UniqueFd directory;

  explicit UnixAddress(const std::string& path) {
    address.sun_family = AF_UNIX;
    std::string name = path;
    if (name.size() >= sizeof address.sun_path) {
      const std::size_t slash = path.find_last_of('/');
      directory = open_file(path.substr(0, slash), O_PATH | O_DIRECTORY);
      name = concat("/proc/self/fd/", directory.get(), path.substr(slash));
    }
    if (name.empty() || name.size() >= sizeof address.sun_path) {
      throw Error(ErrorKind::invalid_argument, concat("socket path ", path, " cannot be used"));
    }
    std::memcpy(address.sun_path, name.data(), name.size());
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
};

}  // namespace

UniqueFd listen_unix(const std::string& path, int type, mode_t mode) {
  UniqueFd socket(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  if (!socket) throw sys_error("socket");
  // fchmod before bind(2) sets the mode with which the file is born: no moment with a wider one (man 7 unix).
  if (::fchmod(socket.get(), mode) != 0) throw sys_error("fchmod ", path);
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) throw sys_error("unlink ", path);
  const UnixAddress address(path);
  if (::bind(socket.get(), address.get(), sizeof(sockaddr_un)) != 0) throw sys_error("bind ", path);
  if (::chmod(path.c_str(), mode) != 0) throw sys_error("chmod ", path);
  if (::listen(socket.get(), SOMAXCONN) != 0) throw sys_error("listen ", path);
  return socket;
}

UniqueFd connect_unix(const std::string& path, int type) {
  UniqueFd socket(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  if (!socket) throw sys_error("socket");
  const UnixAddress address(path);
  if (retry_on_eintr([&] { return ::connect(socket.get(), address.get(), sizeof(sockaddr_un)); }) != 0) {
    if (errno == ENOENT || errno == ECONNREFUSED) {
      throw Error(ErrorKind::unavailable, concat("connect ", path, ": ", errno_text(errno)), errno);
    }
    throw sys_error("connect ", path);
  }
  return socket;
}

UniqueFd open_pidfd(pid_t pid) {
  UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!fd) throw sys_error("pidfd_open ", pid);
  return fd;
}

bool signal_pidfd(int pidfd, int signal) {
  if (::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0) == 0) return true;
  if (errno == ESRCH) return false;
  throw sys_error("pidfd_send_signal ", signal);
}

bool wait_readable(int fd, int timeout_ms) {
  pollfd item{fd, POLLIN, 0};
  const int ready = retry_on_eintr([&] { return ::poll(&item, 1, timeout_ms); });
  if (ready < 0) throw sys_error("poll");
  return ready > 0;
}

std::string to_hex(std::span<const std::uint8_t> bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const std::uint8_t byte : bytes) {
    out.push_back(digits[byte >> 4]);
    out.push_back(digits[byte & 15]);
  }
  return out;
}

std::string random_hex(std::size_t bytes) {
  std::vector<std::uint8_t> data(bytes);
  if (::getrandom(data.data(), data.size(), 0) != static_cast<ssize_t>(data.size())) throw sys_error("getrandom");
  return to_hex(data);
}

std::string make_random_id() {
  for (;;) {
    std::string id = random_hex(32);
    if (id.find_first_not_of("0123456789") < 12) return id;
  }
}

}  // namespace mydocker
