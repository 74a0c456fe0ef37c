#include "storage/worker/confine.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <vector>

#include "engine/base/mount.h"
#include "engine/base/sys.h"

namespace mydocker::storage {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t native_architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t native_architecture = AUDIT_ARCH_AARCH64;
#else
#error "the worker's system call filter does not know this architecture"
#endif

// A job that computes this long is an attack; waiting for the disk or the network does not count.
constexpr rlim_t most_cpu_seconds = 3600;
constexpr rlim_t most_files = 4096;  // walking holds one per directory level

// The sanitizers' run-time needs terabytes of address space and system calls of its own: test builds only.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MYDOCKER_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MYDOCKER_SANITIZED 1
#endif
#ifdef MYDOCKER_SANITIZED
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

/// Nothing that makes sockets, mounts, namespaces or processes, runs programs or looks at other processes.
constexpr std::array allowed_calls = {
    // the job
    SYS_read, SYS_write, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_lseek, SYS_ftruncate, SYS_close, SYS_openat,
    SYS_openat2, SYS_newfstatat, SYS_fstat, SYS_statx, SYS_fstatfs, SYS_getdents64, SYS_readlinkat, SYS_mkdirat,
    SYS_mknodat, SYS_symlinkat, SYS_linkat, SYS_unlinkat, SYS_renameat, SYS_renameat2, SYS_fchown, SYS_fchownat,
    SYS_fchmod, SYS_utimensat, SYS_fsetxattr, SYS_fgetxattr, SYS_flistxattr, SYS_fcntl, SYS_sendmsg, SYS_fchdir,
    SYS_copy_file_range, SYS_fsync, SYS_syncfs, SYS_ppoll,
#ifdef SYS_poll
    SYS_poll,
#endif
#ifdef SYS_unlink  // libraries use the old names where they exist
    SYS_unlink, SYS_open, SYS_stat, SYS_lstat,
#endif
    // the C++ run-time
    SYS_brk, SYS_mmap, SYS_munmap, SYS_mremap, SYS_mprotect, SYS_madvise, SYS_futex, SYS_getrandom, SYS_clock_gettime,
    SYS_gettid, SYS_getpid, SYS_tgkill, SYS_rt_sigaction, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_sigaltstack,
    SYS_exit, SYS_exit_group};

void set_limit(__rlimit_resource which, rlim_t value, const char* name) {
  rlimit limit{};
  if (::getrlimit(which, &limit) != 0) throw sys_error("getrlimit ", name);
  if (limit.rlim_max != RLIM_INFINITY && value > limit.rlim_max) value = limit.rlim_max;
  limit = rlimit{value, value};
  if (::setrlimit(which, &limit) != 0) throw sys_error("setrlimit ", name);
}

void keep_capabilities(std::uint64_t kept) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  for (std::size_t i = 0; i < data.size(); ++i) {
    const auto part = static_cast<std::uint32_t>(kept >> (32 * i));
    data[i].effective = data[i].permitted = part;
  }
  if (::syscall(SYS_capset, &header, data.data()) != 0) throw sys_error("capset");
}

std::uint64_t capabilities_of(Rights rights) {
  const auto set = [](auto... numbers) { return ((std::uint64_t{1} << numbers) | ...); };
  const std::uint64_t make =
      set(CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID, CAP_MKNOD, CAP_SETFCAP);
  switch (rights) {
    case Rights::unpack:
      return make | set(CAP_SYS_ADMIN);  // trusted.overlay.*; mount and its like are not in the call list
    case Rights::copy:
      return make;
    case Rights::read:
      return set(CAP_DAC_READ_SEARCH);
    case Rights::read_trusted:
      return set(CAP_DAC_READ_SEARCH, CAP_SYS_ADMIN);
  }
  return 0;
}

void install_filter() {
  std::vector<sock_filter> program;
  const auto add = [&](unsigned code, std::uint32_t value, std::uint8_t if_true = 0, std::uint8_t if_false = 0) {
    program.push_back(sock_filter{static_cast<std::uint16_t>(code), if_true, if_false, value});
  };
  add(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch));
  add(BPF_JMP | BPF_JEQ | BPF_K, native_architecture, 1, 0);
  add(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  add(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr));
  for (const long call : allowed_calls) {
    add(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(call), 0, 1);
    add(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  }
  add(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) throw sys_error("install the seccomp filter");
}

}  // namespace

UniqueFd detach_directory(int directory, RootAccess access) {
  UniqueFd mount = clone_mount(directory, "", false);
  std::uint64_t attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  if (access == RootAccess::read_only) attributes |= MOUNT_ATTR_RDONLY;
  // The clone of a shared mount is shared as well, and pivot_root(2) takes no such root.
  set_mount_attributes(mount.get(), attributes, 0, MS_PRIVATE, false);
  return mount;
}

void isolate() {
  if (::unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) != 0) throw sys_error("unshare");
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) throw sys_error("make mounts private");
}

UniqueFd mount_stack(const OverlayMount& stack) {
  // Any directory of this mount namespace will do; the topmost layer exists for sure and has a name, which older
  // kernels need to find the mount again.
  UniqueFd root = mount_overlay(stack, open_file(stack.lower.front(), O_PATH | O_DIRECTORY).get());
  set_mount_attributes(root.get(), MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, 0, 0,
                       false);
  return root;
}

UniqueFd join_container(int mount_namespace, int root) {
  try {
    enter_mount_namespace(mount_namespace, CLONE_NEWNS, root);
  } catch (const Error& error) {
    throw Error(ErrorKind::unavailable, "the container's file system is gone", error.errno_value());
  }
  return open_file("/", O_PATH | O_DIRECTORY);
}

namespace {

constexpr std::uint64_t view_attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

bool is_directory(int fd) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) throw sys_error("stat of a mount");
  return S_ISDIR(status.st_mode);
}

UniqueFd make_mount_point(int root, const std::string& target, bool directory) {
  if (directory) return make_dirs_in_root(root, target);
  const std::size_t slash = target.rfind('/');
  if (slash != std::string::npos && slash > 0) make_dirs_in_root(root, target.substr(0, slash));
  return open_in_root(root, target, O_CREAT | O_RDONLY | O_NONBLOCK | O_NOCTTY, 0644);
}

void add_view_mount(int root, const ViewMount& mount) {
  UniqueFd source = open_file(mount.source, O_PATH);
  if (!mount.subpath.empty()) source = open_in_root(source.get(), mount.subpath, O_PATH);
  const bool directory = is_directory(source.get());
  UniqueFd target = find_in_root(root, mount.target, O_PATH);
  if (!target) target = make_mount_point(root, mount.target, directory);
  if (is_directory(target.get()) != directory) {
    throw Error(ErrorKind::invalid_argument,
                concat("mount \"", mount.target, "\": a directory and a file cannot cover each other"));
  }
  const UniqueFd tree = clone_mount(source.get(), "", mount.recursive);
  set_mount_attributes(tree.get(), view_attributes | (mount.read_only ? MOUNT_ATTR_RDONLY : 0U), 0, MS_PRIVATE,
                       mount.recursive);
  attach_mount(tree.get(), target.get());
}

/// An upper directory that goes with this process, over the real one. The container's work directory is a place that
/// nobody needs here.
OverlayMount add_scratch(const OverlayMount& stack) {
  OverlayMount out = stack;
  const UniqueFd tmpfs = make_mount("tmpfs", {{"mode", "700"}, {"source", "tmpfs"}}, 0);
  attach_mount(tmpfs.get(), open_file(stack.work, O_PATH | O_DIRECTORY).get());
  out.upper = stack.work + "/upper";
  out.work = stack.work + "/work";
  for (const std::string& directory : {out.upper, out.work}) {
    if (::mkdir(directory.c_str(), 0755) != 0) throw sys_error("mkdir ", directory);
  }
  out.lower.insert(out.lower.begin(), stack.upper);
  return out;
}

}  // namespace

UniqueFd mount_view(const OverlayMount& stack, bool scratch, const std::vector<ViewMount>& mounts) {
  OverlayMount writable = scratch ? add_scratch(stack) : stack;
  writable.read_only = false;  // mount points may have to be made
  UniqueFd root = mount_overlay(writable, open_file(stack.lower.front(), O_PATH | O_DIRECTORY).get());
  set_mount_attributes(root.get(), view_attributes, 0, 0, false);
  for (const ViewMount& mount : mounts) add_view_mount(root.get(), mount);
  if (stack.read_only) set_mount_attributes(root.get(), MOUNT_ATTR_RDONLY, 0, 0, false);
  return root;
}

void enter_mount(int mount) {
  attach_mount(mount, open_file("/", O_PATH | O_DIRECTORY).get());
  pivot_to(mount);
}

void drop_rights(Rights rights, std::uint64_t memory_bytes, std::uint64_t file_bytes) {
  ::signal(SIGXFSZ, SIG_IGN);  // EFBIG is enough
  set_limit(RLIMIT_CORE, 0, "core");
  set_limit(RLIMIT_CPU, most_cpu_seconds, "cpu");
  set_limit(RLIMIT_NOFILE, most_files, "nofile");
  if (rights == Rights::unpack || rights == Rights::copy) set_limit(RLIMIT_FSIZE, file_bytes, "fsize");
  if (!sanitized) set_limit(RLIMIT_AS, memory_bytes, "as");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) throw sys_error("no_new_privs");
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) throw sys_error("dumpable");
  if (::prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0) throw sys_error("keepcaps");
  keep_capabilities(capabilities_of(rights));
  if (!sanitized) install_filter();
}

}  // namespace mydocker::storage
