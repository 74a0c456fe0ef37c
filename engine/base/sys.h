#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/unique_fd.h"

/// Thin system call wrappers: EINTR retried, a failure is Error{internal} that names call and object.
/// Every descriptor is born close-on-exec. All functions may be called from any thread; all may block on the file.
namespace mydocker {

/// Runs `call` until it does not fail with EINTR.
template <typename Call>
auto retry_on_eintr(Call&& call) {
  for (;;) {
    auto result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

/// open(2) with O_CLOEXEC added.
UniqueFd open_file(const std::string& path, int flags, mode_t mode = 0);
/// openat(2) with O_CLOEXEC added; `dir` may be AT_FDCWD.
UniqueFd open_at(int dir, const std::string& path, int flags, mode_t mode = 0);
/// As open_at, but absence (ENOENT, ENOTDIR) is an empty handle.
UniqueFd find_at(int dir, const std::string& path, int flags, mode_t mode = 0);
/// Opens `path` inside `root`; symlinks and ".." cannot leave it (openat2(2) RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS;
/// SECURITY R1). EAGAIN (a rename raced the lookup) is retried 64 times.
UniqueFd open_in_root(int root, const std::string& path, int flags, mode_t mode = 0);
/// As open_in_root, but absence (ENOENT, ENOTDIR) is an empty handle.
UniqueFd find_in_root(int root, const std::string& path, int flags, mode_t mode = 0);
/// Opens `name` below `parent` without following any symlink (RESOLVE_BENEATH|NO_SYMLINKS|NO_MAGICLINKS).
UniqueFd open_beneath(int parent, const std::string& name, int flags, mode_t mode = 0);
/// mkdir -p of `path` inside `root`, every step resolved in the root; gives an O_PATH descriptor of the last directory.
UniqueFd make_dirs_in_root(int root, const std::string& path, mode_t mode = 0755);

/// The whole content; throws Error{too_large} beyond `limit` bytes.
std::string read_file(const std::string& path, std::size_t limit = std::size_t{64} << 20);
std::string read_file_at(int dir, const std::string& path, std::size_t limit = std::size_t{64} << 20);
/// As read_file_at, but absence (ENOENT, ENOTDIR) is nullopt.
std::optional<std::string> find_file_at(int dir, const std::string& path, std::size_t limit = std::size_t{64} << 20);
std::string read_all(int fd, std::size_t limit, std::string_view name);
/// Opens an existing file (O_WRONLY|O_TRUNC is not used) and writes `data` in one write(2): for /proc, /sys and cgroup
/// files.
void write_kernel_file(const std::string& path, std::string_view data);
void write_kernel_file_at(int dir, const std::string& path, std::string_view data);
/// Writes everything, however many write(2) calls it takes.
void write_all(int fd, std::string_view data);

/// mkdir -p on trusted host paths (never below a container root: make_dirs_in_root).
void make_dirs(const std::string& path, mode_t mode = 0755);
/// rm -rf of a tree that may be hostile, at a trusted host path: never follows a symlink, crosses no mount point, holds
/// a bounded number of descriptors however deep it is (deep directories are moved up beside `path` first). Absence is
/// fine. Throws Error{internal}.
void remove_tree(const std::string& path);
/// The same for an entry of an open directory.
void remove_tree_at(int dir, const std::string& name);
bool path_exists(const std::string& path);

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};
Pipe make_pipe(int extra_flags = 0);
/// A connected pair of AF_UNIX sockets; `type` is SOCK_STREAM or SOCK_SEQPACKET.
std::pair<UniqueFd, UniqueFd> make_socket_pair(int type);
UniqueFd make_memfd(const std::string& name, std::string_view content, bool sealed = true);
UniqueFd duplicate_fd(int fd);
void set_nonblocking(int fd, bool on = true);

/// One packet with descriptors (SCM_RIGHTS). Throws when the peer is gone; `received_fds` are close-on-exec.
struct Packet {
  std::string data;
  std::vector<UniqueFd> fds;
};
void send_packet(int socket, std::string_view data, std::span<const int> fds = {});
/// The same with flags of sendmsg(2); false: MSG_DONTWAIT was asked for and the socket is full.
bool try_send_packet(int socket, std::string_view data, std::span<const int> fds, int flags);
/// Owns the descriptors that a message of recvmsg(2) brought.
void take_descriptors(msghdr& message, std::vector<UniqueFd>& out);
/// nullopt = the peer closed. Throws Error{too_large} when a packet is longer than `limit`.
std::optional<Packet> receive_packet(int socket, std::size_t limit = std::size_t{1} << 20);

/// Listens on a file-system Unix socket; paths of any length work (through /proc/self/fd of the directory). Mode 0600.
UniqueFd listen_unix(const std::string& path, int type, mode_t mode = 0600);
/// Connects to it. Throws Error{unavailable} when nobody listens (ENOENT, ECONNREFUSED).
UniqueFd connect_unix(const std::string& path, int type);

UniqueFd open_pidfd(pid_t pid);
/// false: the process is gone already.
bool signal_pidfd(int pidfd, int signal);
/// poll(2) for readability; timeout in milliseconds, -1 = for ever. false: timed out.
bool wait_readable(int fd, int timeout_ms);

/// 32 random bytes as 64 hex digits; never 12 leading digits only (WIRE 13). getrandom(2).
std::string make_random_id();
/// `bytes` random bytes as hex.
std::string random_hex(std::size_t bytes);
std::string to_hex(std::span<const std::uint8_t> bytes);

}  // namespace mydocker
