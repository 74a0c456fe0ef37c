#include "runtime/devices.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "engine/base/mount.h"
#include "engine/base/sys.h"

namespace mydocker::runtime {
namespace {

struct Node {
  const char* name;
  unsigned major;
  unsigned minor;
};
constexpr Node default_nodes[] = {{"null", 1, 3},   {"zero", 1, 5},    {"full", 1, 7},
                                  {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};

struct Link {
  const char* target;
  const char* name;
};
constexpr Link default_links[] = {{"/proc/self/fd", "fd"},
                                  {"/proc/self/fd/0", "stdin"},
                                  {"/proc/self/fd/1", "stdout"},
                                  {"/proc/self/fd/2", "stderr"},
                                  {"/proc/kcore", "core"}};

mode_t node_type(const std::string& type) {
  if (type == "b") return S_IFBLK;
  if (type == "p") return S_IFIFO;
  return S_IFCHR;
}

/// Whether the entry is already what it shall be.
bool is_node(int dir, const std::string& name, mode_t type, dev_t device) {
  struct stat status{};
  if (::fstatat(dir, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return false;
  return (status.st_mode & S_IFMT) == type && (type == S_IFIFO || status.st_rdev == device);
}

void bind_host_node(int dir, const std::string& name, const std::string& host_path, mode_t type, dev_t number) {
  if (!path_exists(host_path)) {
    throw Error(ErrorKind::invalid_argument,
                concat("device ", host_path, " cannot be made here, and the host has none"));
  }
  const UniqueFd mount = clone_mount(AT_FDCWD, host_path, false);
  struct stat status{};
  if (::fstat(mount.get(), &status) != 0) throw sys_error("fstat ", host_path);
  if ((status.st_mode & S_IFMT) != type || status.st_rdev != number) {
    throw Error(ErrorKind::invalid_argument,
                concat("device ", host_path, " cannot be made here, and the host's is another one"));
  }
  const UniqueFd target = open_at(dir, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_RDONLY, 0666);
  attach_mount(mount.get(), target.get());
}

void make_node(int dir, const std::string& name, const Device& device) {
  const mode_t type = node_type(device.type);
  const dev_t number = makedev(static_cast<unsigned>(device.major), static_cast<unsigned>(device.minor));
  const mode_t mode = device.file_mode.value_or(0666) & 07777;
  if (::mknodat(dir, name.c_str(), type | mode, number) != 0) {
    if (errno == EEXIST && is_node(dir, name, type, number)) return;
    if (errno != EPERM) throw sys_error("make device ", device.path);
    return bind_host_node(dir, name, device.path, type, number);
  }
  const uid_t uid = device.uid.value_or(0);
  const gid_t gid = device.gid.value_or(0);
  if (uid == 0 && gid == 0) return;
  if (::fchownat(dir, name.c_str(), uid, gid, AT_SYMLINK_NOFOLLOW) != 0) throw sys_error("chown ", device.path);
}

void make_default_nodes(int dev) {
  for (const Node& node : default_nodes) {
    make_node(dev, node.name, {concat("/dev/", node.name), "c", node.major, node.minor, {}, {}, {}});
  }
  for (const Link& link : default_links) {
    if (::symlinkat(link.target, dev, link.name) != 0 && errno != EEXIST) throw sys_error("link /dev/", link.name);
  }
}

/// /dev/ptmx must lead to the container's own devpts, whatever was there.
void link_ptmx(int dev) {
  if (::unlinkat(dev, "ptmx", 0) != 0 && errno != ENOENT) throw sys_error("unlink /dev/ptmx");
  if (::symlinkat("pts/ptmx", dev, "ptmx") != 0) throw sys_error("link /dev/ptmx");
}

bool has_own_dev(const Spec& spec) {
  for (const Mount& mount : spec.mounts) {
    if (mount.destination == "/dev" || mount.destination == "/dev/") return mount.type == "tmpfs";
  }
  return true;  // the rootfs's own /dev directory is filled
}

bool has_devpts(const Spec& spec) {
  for (const Mount& mount : spec.mounts) {
    if (mount.type == "devpts") return true;
  }
  return false;
}

}  // namespace

void make_devices(int root, const Spec& spec) {
  if (!has_own_dev(spec)) return;
  const UniqueFd dev = make_dirs_in_root(root, "dev");
  make_default_nodes(dev.get());
  if (has_devpts(spec)) link_ptmx(dev.get());
  for (const Device& device : spec.linux.devices) {
    const std::size_t slash = device.path.rfind('/');
    const std::string name = device.path.substr(slash + 1);
    if (name.empty() || name == "." || name == "..") {
      throw Error(ErrorKind::invalid_argument, concat("device path ", device.path, " has no name"));
    }
    if (name == "ptmx" && slash == 4) continue;  // "/dev/ptmx" is ours
    const UniqueFd parent = make_dirs_in_root(root, device.path.substr(0, slash));
    make_node(parent.get(), name, device);
  }
}

void bind_console(int root, int slave) {
  const UniqueFd dev = make_dirs_in_root(root, "dev");
  UniqueFd target(::openat(dev.get(), "console", O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_RDONLY, 0620));
  if (!target) target = open_beneath(dev.get(), "console", O_PATH | O_NOFOLLOW);
  const UniqueFd mount = clone_mount(slave, "", false);
  attach_mount(mount.get(), target.get());
}

UniqueFd open_null_device(int flags) {
  UniqueFd fd = open_file("/dev/null", flags);
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) throw sys_error("fstat /dev/null");
  if (!S_ISCHR(status.st_mode) || status.st_rdev != makedev(1, 3)) {
    throw Error(ErrorKind::internal, "the host's /dev/null is not device 1:3");
  }
  return fd;
}

}  // namespace mydocker::runtime
