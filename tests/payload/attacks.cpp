// Verbs of a hostile payload (SECURITY section 4): each tries something, and tells on stdout what worked.

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>

#include "tests/payload/payload.h"

namespace payload {
namespace {

bool told_to_stop() { return ::access("/stop", F_OK) == 0; }

void say_ready() {
  std::puts("ready");
  std::fflush(stdout);
}

/// Whether one byte of a file of the process can be read.
bool reads(const char* directory, const char* name) {
  char path[96];
  std::snprintf(path, sizeof path, "%s/%s", directory, name);
  const int fd = ::open(path, O_RDONLY | O_NONBLOCK);
  if (fd < 0) return false;
  char byte = 0;
  const bool got = ::read(fd, &byte, 1) > 0;
  ::close(fd);
  return got;
}

bool opens(const char* directory, const char* name, int flags) {
  char path[96];
  std::snprintf(path, sizeof path, "%s/%s", directory, name);
  const int fd = ::open(path, flags | O_NONBLOCK);
  if (fd >= 0) ::close(fd);
  return fd >= 0;
}

bool reads_link(const char* directory, const char* name, char (&target)[256]) {
  char path[96];
  std::snprintf(path, sizeof path, "%s/%s", directory, name);
  const ssize_t length = ::readlink(path, target, sizeof target - 1);
  target[length > 0 ? length : 0] = '\0';
  return length > 0;
}

/// A program of the container runs in the process: what it shows is its own affair.
bool is_ours(const char* directory) {
  char target[256];
  return reads_link(directory, "exe", target) &&
         (std::strncmp(target, "/bin/", 5) == 0 || std::strcmp(target, "/payload") == 0);
}

/// Tries to attach until that works, or there is nothing left to catch. Whether it caught the process while that runs
/// another program than the container's: stopped, it cannot go on to one between the look and the answer.
bool catches(int pid, const char* directory) {
  for (int attempt = 1; ::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) != 0; ++attempt) {
    if (errno == ESRCH || attempt == 100000 || (attempt % 8 == 0 && is_ours(directory))) return false;
  }
  ::ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr);
  ::waitpid(pid, nullptr, __WALL);
  const bool caught = !is_ours(directory) && reads(directory, "cmdline");
  ::ptrace(PTRACE_DETACH, pid, nullptr, nullptr);
  return caught;
}

/// snoop: looks into every process that appears, until a file /stop does; tells what it could see of one before that
/// ran a program of the container. The line at the end has a 1 when there was something to look at.
int snoop(char**) {
  say_ready();
  long looks = 0;
  for (int pid = 2; !told_to_stop(); pid = pid > 2000 ? 2 : pid + 1) {
    char directory[64];
    char target[256];
    std::snprintf(directory, sizeof directory, "/proc/%d", pid);
    if (::access(directory, F_OK) != 0 || is_ours(directory)) continue;
    ++looks;
    const bool environment = reads(directory, "environ");
    const bool auxv = reads(directory, "auxv");  // the right to look is the one to trace
    const bool memory = opens(directory, "mem", O_RDWR);
    const bool cwd = reads_link(directory, "cwd", target);
    const bool root = reads_link(directory, "root", target);
    const bool exe = reads_link(directory, "exe", target);
    const bool fd = reads_link(directory, "fd/0", target);
    if (!(environment || auxv || memory || cwd || root || exe || fd) || is_ours(directory)) continue;
    if (!reads(directory, "cmdline")) continue;  // without memory: it has run, and is ending
    std::printf("snooped pid %d: environ %d auxv %d mem %d cwd %d root %d exe %d fd %d\n", pid, environment, auxv,
                memory, cwd, root, exe, fd);
  }
  std::printf("end %d\n", looks > 0 ? 1 : 0);
  return 0;
}

/// tracer: attaches to every new process before that runs a program of the container, until a file /stop appears. The
/// line at the end has a 1 when there was a process to attach to.
int tracer(char**) {
  say_ready();
  bool any = false;
  for (int next = ::getpid() + 1; !told_to_stop();) {
    for (int pid = next; pid < next + 8; ++pid) {
      if (::kill(pid, 0) != 0) continue;
      char directory[64];
      std::snprintf(directory, sizeof directory, "/proc/%d", pid);
      if (catches(pid, directory)) std::printf("traced pid %d\n", pid);
      next = pid + 1;
      any = true;
      break;
    }
  }
  std::printf("end %d\n", any ? 1 : 0);
  return 0;
}

/// overwrite: tries to open the program of every process that it sees for writing; "opened PID" if it can.
int overwrite(char**) {
  for (int pid = 1; pid < 2000; ++pid) {
    for (const char* name : {"exe", "map_files"}) {
      char path[64];
      std::snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
      const int fd = ::open(path, O_WRONLY | O_NONBLOCK);
      if (fd < 0) continue;
      std::printf("opened %d\n", pid);
      ::close(fd);
    }
  }
  return 0;
}

/// Writes the first byte of a file again as it is: true where that is possible.
bool rewrites(int held) {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", held);
  const int fd = ::open(path, O_RDWR);
  if (fd < 0) return false;
  char byte = 0;
  const bool done = ::pread(fd, &byte, 1, 0) == 1 && ::pwrite(fd, &byte, 1, 0) == 1;
  ::close(fd);
  return done;
}

/// usurp: takes hold of the program of every foreign process and keeps it, also after that has ended, and tries to
/// write to it, until a file /stop appears. "end held N wrote M": programs held, programs that could be written to.
int usurp(char**) {
  say_ready();
  constexpr int most = 64;
  int held[most];
  int pids[most];
  bool wrote[most] = {};
  int count = 0;
  const auto is_held = [&](int pid) {
    for (int i = 0; i < count; ++i) {
      if (pids[i] == pid) return true;
    }
    return false;
  };
  const auto try_all = [&] {
    for (int i = 0; i < count; ++i) wrote[i] = wrote[i] || rewrites(held[i]);
  };
  for (int pid = 1; !told_to_stop(); pid = pid > 300 ? 1 : pid + 1) {
    char directory[64];
    std::snprintf(directory, sizeof directory, "/proc/%d", pid);
    if (count == most || is_held(pid) || ::access(directory, F_OK) != 0 || is_ours(directory)) {
      if (pid == 1) try_all();
      continue;
    }
    char path[80];
    std::snprintf(path, sizeof path, "%s/exe", directory);
    const int fd = ::open(path, O_RDONLY);
    if (fd < 0) continue;
    pids[count] = pid;
    held[count++] = fd;
    std::puts("held");
    std::fflush(stdout);
  }
  try_all();
  int written = 0;
  for (const bool one : wrote) written += one ? 1 : 0;
  std::printf("end held %d wrote %d\n", count, written);
  return 0;
}

/// swap A B: exchanges two directory entries, until a file /stop appears.
int swap(char** a) {
  const char* first = word(a, 0);
  const char* second = word(a, 1);
  say_ready();
  long rounds = 0;
  while (!told_to_stop()) {
    for (int i = 0; i < 100; ++i) {
      if (::syscall(SYS_renameat2, AT_FDCWD, first, AT_FDCWD, second, RENAME_EXCHANGE) == 0) ++rounds;
    }
  }
  std::printf("end %d\n", rounds > 0 ? 1 : 0);
  return 0;
}

void tell_writable(const char* path, int depth) {
  struct stat status{};
  if (::lstat(path, &status) != 0) return;
  if (S_ISREG(status.st_mode)) {
    const int fd = ::open(path, O_WRONLY | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0) return;
    ::close(fd);
    std::printf("file %s\n", path);
  } else if (S_ISDIR(status.st_mode)) {
    if (::access(path, W_OK) == 0) std::printf("directory %s\n", path);
    DIR* dir = depth > 0 ? ::opendir(path) : nullptr;
    while (const dirent* entry = dir != nullptr ? ::readdir(dir) : nullptr) {
      if (std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0) continue;
      char below[4096];
      std::snprintf(below, sizeof below, "%s/%s", path, entry->d_name);
      tell_writable(below, depth - 1);
    }
    if (dir != nullptr) ::closedir(dir);
  }
}

/// writable PATH...: every file below that opens for writing (nothing is written), every directory that takes entries.
int writable(char** a) {
  for (int i = 0; a[i] != nullptr; ++i) tell_writable(a[i], 16);
  return 0;
}

/// cgroup-mount CONTROLLER: the way to release_agent (CVE-2022-0492): a user and cgroup namespace of one's own, and a
/// v1 hierarchy mounted there. Tells how far it came.
int cgroup_mount(char** a) {
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWCGROUP) != 0) {
    std::printf("unshare: errno %d\n", errno);
  } else {
    std::puts("unshared");
  }
  if (::mkdir("/tmp/cgroup", 0700) != 0 && errno != EEXIST) fail("mkdir");
  if (::mount("cgroup", "/tmp/cgroup", "cgroup", 0, word(a, 0)) != 0) {
    std::printf("mount: errno %d\n", errno);
    return 0;
  }
  std::puts("mounted");
  for (const char* name : {"release_agent", "notify_on_release", "devices.allow", "cgroup.procs"}) {
    if (opens("/tmp/cgroup", name, O_WRONLY)) std::printf("writable %s\n", name);
  }
  ::umount2("/tmp/cgroup", MNT_DETACH);
  return 0;
}

void tell(const char* what, unsigned long argument, long result) {
  if (result < 0) {
    std::printf("%s %lx: errno %d\n", what, argument, errno);
  } else {
    std::printf("%s %lx: ok\n", what, argument);
  }
}

/// arguments: calls that the default profile judges by their arguments (SECURITY 6.4).
int arguments(char**) {
  constexpr int sockets[][2] = {
      {AF_UNIX, SOCK_STREAM}, {AF_INET, SOCK_STREAM}, {AF_NETLINK, SOCK_RAW}, {38, SOCK_SEQPACKET}, {40, SOCK_STREAM}};
  for (const auto& [family, type] : sockets) {  // 38 AF_ALG, 40 AF_VSOCK
    const int fd = ::socket(family, type, 0);
    const bool passed = fd >= 0 || errno == EAFNOSUPPORT;  // the filter let it, and the kernel does not have it
    tell("socket", static_cast<unsigned long>(family), passed ? 0 : -1);
    if (fd >= 0) ::close(fd);
  }
  for (const unsigned long flag : {0UL, static_cast<unsigned long>(CLONE_NEWNS), 0x02000000UL, 0x04000000UL,
                                   0x08000000UL, 0x10000000UL, 0x20000000UL, 0x40000000UL}) {
    std::fflush(stdout);
    const long child = ::syscall(SYS_clone, flag | SIGCHLD, 0L, 0L, 0L, 0L);
    if (child == 0) ::_exit(0);
    tell("clone", flag, child);
    if (child > 0) ::waitpid(static_cast<pid_t>(child), nullptr, 0);
  }
  tell("clone3", 0, ::syscall(SYS_clone3, nullptr, 0));
  const int before = ::personality(0xffffffffUL);
  for (const unsigned long persona : {0xffffffffUL, 0UL, 8UL, 0x20000UL, 0x20008UL, 0x40000UL, 0x8000000UL}) {
    tell("personality", persona, ::personality(persona));
  }
  ::personality(static_cast<unsigned long>(before));
  return 0;
}

long call_32(long number) {
#if defined(__x86_64__)
  long result = 0;
  __asm__ volatile("int $0x80"
                   : "=a"(result)
                   : "a"(number), "b"(-1L), "c"(-1L), "d"(-1L), "S"(-1L), "D"(-1L)
                   : "memory", "r8", "r9", "r10", "r11");
  return static_cast<std::int32_t>(result);
#else
  (void)number;
  return -ENOSYS;
#endif
}

/// errnos32 NUMBER...: "NUMBER ERRNO" of each call of the 32-bit ABI, without arguments that mean anything. Ends with
/// code 3 where the kernel has no such ABI.
int errnos32(char** a) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(call_32(20) == ::getpid() ? 0 : 3);  // getpid; a kernel without it sends a signal
  int status = 0;
  ::waitpid(child, &status, 0);
  if (status != 0) return 3;
  for (int i = 0; a[i] != nullptr; ++i) {
    const long result = call_32(number(a, i, 0));
    std::printf("%s %ld\n", a[i], result < 0 ? -result : 0);
  }
  return 0;
}

constexpr Verb verbs[] = {
    {"snoop", snoop},         {"tracer", tracer},     {"overwrite", overwrite},
    {"usurp", usurp},         {"swap", swap},         {"writable", writable},
    {"arguments", arguments}, {"errnos32", errnos32}, {"cgroup-mount", cgroup_mount},
};

}  // namespace

std::span<const Verb> attack_verbs() { return verbs; }

}  // namespace payload
