// The verbs that show what the kernel gives: rights, limits, terminals, namespaces, networks, IPC, system calls.

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <mqueue.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <initializer_list>

#include "tests/payload/payload.h"

namespace payload {
namespace {

/// caps: the capability sets, NoNewPrivs and Seccomp lines of /proc/self/status.
int caps(char**) {
  std::FILE* status = std::fopen("/proc/self/status", "re");
  if (status == nullptr) fail("/proc/self/status");
  char line[512];
  while (std::fgets(line, sizeof line, status) != nullptr) {
    for (const char* key : {"Cap", "NoNewPrivs", "Seccomp:"}) {
      if (std::strncmp(line, key, std::strlen(key)) == 0) std::fputs(line, stdout);
    }
  }
  std::fclose(status);
  return 0;
}

/// limits: each rlimit as "NUMBER soft hard", -1 for none.
int limits(char**) {
  for (int resource = 0; resource < RLIMIT_NLIMITS; ++resource) {
    rlimit limit{};
    ::getrlimit(static_cast<__rlimit_resource>(resource), &limit);
    std::printf("%d %ld %ld\n", resource, static_cast<long>(limit.rlim_cur), static_cast<long>(limit.rlim_max));
  }
  return 0;
}

int isatty_verb(char**) {
  std::printf("%d %d %d\n", ::isatty(0), ::isatty(1), ::isatty(2));
  return 0;
}

int winsize_verb(char**) {
  winsize size{};
  if (::ioctl(1, TIOCGWINSZ, &size) != 0) fail("TIOCGWINSZ");
  std::printf("%u %u\n", size.ws_row, size.ws_col);
  return 0;
}

/// wait-winsize: prints the size after the next SIGWINCH.
int wait_winsize(char** a) {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGWINCH);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  std::puts("ready");
  std::fflush(stdout);
  int signal = 0;
  ::sigwait(&set, &signal);
  return winsize_verb(a);
}

int uname_verb(char**) {
  utsname names{};
  ::uname(&names);
  std::printf("hostname %s\ndomainname %s\nrelease %s\n", names.nodename, names.domainname, names.release);
  return 0;
}

/// pids: "PID PARENT COMMAND" of every process that /proc shows.
int pids(char**) {
  std::printf("self %d parent %d session %d\n", ::getpid(), ::getppid(), ::getsid(0));
  DIR* dir = ::opendir("/proc");
  if (dir == nullptr) fail("/proc");
  while (const dirent* entry = ::readdir(dir)) {
    if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
    char path[300];
    std::snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
    std::FILE* stat = std::fopen(path, "re");
    if (stat == nullptr) continue;
    int pid = 0;
    int parent = 0;
    char command[64];
    char state = '?';
    if (std::fscanf(stat, "%d %63s %c %d", &pid, command, &state, &parent) == 4) {
      std::printf("%d %d %c %s\n", pid, parent, state, command);
    }
    std::fclose(stat);
  }
  return 0;
}

/// links: "NAME ADDRESS/PREFIX" or "NAME -" of each network interface.
int links(char**) {
  struct if_nameindex* names = ::if_nameindex();
  for (struct if_nameindex* n = names; n != nullptr && n->if_name != nullptr; ++n) {
    ifaddrs* list = nullptr;
    ::getifaddrs(&list);
    bool any = false;
    for (ifaddrs* i = list; i != nullptr; i = i->ifa_next) {
      if (i->ifa_addr == nullptr || i->ifa_addr->sa_family != AF_INET || std::strcmp(i->ifa_name, n->if_name) != 0) {
        continue;
      }
      char address[64];
      ::inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(i->ifa_addr)->sin_addr, address, sizeof address);
      const unsigned mask = ntohl(reinterpret_cast<sockaddr_in*>(i->ifa_netmask)->sin_addr.s_addr);
      std::printf("%s %s/%d\n", n->if_name, address, __builtin_popcount(mask));
      any = true;
    }
    if (!any) std::printf("%s -\n", n->if_name);
    ::freeifaddrs(list);
  }
  return 0;
}

/// listen PORT [TEXT]: answers each TCP client with the address it came from and TEXT.
int listen_verb(char** a) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(number(a, 0, 80)));
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(fd, 16) != 0) fail("listen");
  std::puts("ready");
  std::fflush(stdout);
  for (;;) {
    sockaddr_in peer{};
    socklen_t length = sizeof peer;
    const int client = ::accept(fd, reinterpret_cast<sockaddr*>(&peer), &length);
    if (client < 0) continue;
    char from[64];
    char line[300];
    ::inet_ntop(AF_INET, &peer.sin_addr, from, sizeof from);
    const int size = std::snprintf(line, sizeof line, "%s %s\n", from, a[0] != nullptr && a[1] != nullptr ? a[1] : "");
    if (::write(client, line, static_cast<size_t>(size)) < 0) std::perror("write");
    ::close(client);
  }
}

/// connect ADDRESS PORT: prints what the other side says.
int connect_verb(char** a) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval patience{5, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(number(a, 1, 80)));
  ::inet_pton(AF_INET, word(a, 0), &address.sin_addr);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail("connect");
  char buffer[512];
  const ssize_t got = ::read(fd, buffer, sizeof buffer);
  if (got < 0) fail("read");
  std::fwrite(buffer, 1, static_cast<size_t>(got), stdout);
  return 0;
}

/// orphan: leaves a child behind that is a zombie until PID 1 reaps it; "reaped" when it is gone.
int orphan(char**) {
  int report[2];
  if (::pipe(report) != 0) fail("pipe");
  if (::fork() == 0) {
    const pid_t grandchild = ::fork();
    if (grandchild == 0) ::_exit(0);
    if (::write(report[1], &grandchild, sizeof grandchild) < 0) ::_exit(1);
    ::usleep(20000);  // the grandchild is dead by now, and loses its parent next
    ::_exit(0);
  }
  pid_t grandchild = 0;
  if (::read(report[0], &grandchild, sizeof grandchild) < 0) fail("read");
  ::wait(nullptr);
  for (int i = 0; i < 500; ++i) {
    if (::kill(grandchild, 0) != 0) {
      std::puts("reaped");
      return 0;
    }
    ::usleep(10000);
  }
  std::puts("zombie");
  return 1;
}

/// forkbomb N: how many of N children could be made.
int forkbomb(char** a) {
  long made = 0;
  for (long i = number(a, 0, 100); i > 0; --i) {
    const pid_t child = ::fork();
    if (child < 0) break;
    if (child == 0) {
      for (;;) ::pause();
    }
    ++made;
  }
  std::printf("made %ld\n", made);
  std::fflush(stdout);
  ::_exit(0);
}

/// mqueue NAME send|receive: POSIX message queues of this IPC namespace.
int mqueue_verb(char** a) {
  const bool send = std::strcmp(word(a, 1), "send") == 0;
  const mqd_t queue = ::mq_open(a[0], send ? O_CREAT | O_RDWR : O_RDONLY, 0600, nullptr);
  if (queue == static_cast<mqd_t>(-1)) fail("mq_open");
  if (send) {
    if (::mq_send(queue, "message", 7, 0) != 0) fail("mq_send");
    std::puts("sent");
  } else {
    char buffer[65536];
    const ssize_t got = ::mq_receive(queue, buffer, sizeof buffer, nullptr);
    if (got < 0) fail("mq_receive");
    std::printf("%.*s\n", static_cast<int>(got), buffer);
  }
  return 0;
}

/// shm KEY: makes a System V segment of that key, or says that it is there already.
int shm(char** a) {
  const int segment = ::shmget(static_cast<key_t>(number(a, 0, 1)), 4096, IPC_CREAT | IPC_EXCL | 0600);
  std::puts(segment >= 0 ? "made" : std::strerror(errno));
  return 0;
}

/// syscall NUMBER [ARGUMENT...]: "ok VALUE" or the name-free errno.
int syscall_verb(char** a) {
  errno = 0;
  const long result =
      ::syscall(number(a, 0, -1), number(a, 1, 0), number(a, 2, 0), number(a, 3, 0), number(a, 4, 0), number(a, 5, 0));
  if (result < 0) {
    std::printf("errno %d\n", errno);
  } else {
    std::printf("ok %ld\n", result);
  }
  return 0;
}

/// scheduler: "policy P nice N priority R reset F affinity LIST io VALUE" of the own process.
int scheduler(char**) {
  const int policy = ::sched_getscheduler(0);
  sched_param parameters{};
  ::sched_getparam(0, &parameters);
  cpu_set_t set;
  CPU_ZERO(&set);
  if (policy < 0 || ::sched_getaffinity(0, sizeof set, &set) != 0) fail("sched");
  const bool all = CPU_COUNT(&set) == ::sysconf(_SC_NPROCESSORS_ONLN);
  std::printf("policy %d nice %d priority %d reset %d affinity ", policy & ~SCHED_RESET_ON_FORK,
              ::getpriority(PRIO_PROCESS, 0), parameters.sched_priority, (policy & SCHED_RESET_ON_FORK) != 0 ? 1 : 0);
  if (all) std::printf("all");
  for (int cpu = 0; !all && cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) std::printf("%d", cpu);
  }
  std::printf(" io %ld\n", ::syscall(SYS_ioprio_get, 1, 0));
  return 0;
}

/// notify TEXT [stay]: sends a datagram to NOTIFY_SOCKET; stays until it is ended.
int notify(char** a) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr) fail("NOTIFY_SOCKET");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM, 0);
  const char* text = word(a, 0);
  if (::sendto(socket, text, std::strlen(text), 0, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0) {
    fail("sendto");
  }
  if (a[1] != nullptr) ::pause();
  return 0;
}

/// errnos NUMBER...: "NUMBER ERRNO" of each system call, made without arguments that mean anything.
int errnos(char** a) {
  for (int i = 0; a[i] != nullptr; ++i) {
    errno = 0;
    ::syscall(number(a, i, 0), -1L, -1L, -1L, -1L, -1L, -1L);
    std::printf("%s %d\n", a[i], errno);
  }
  return 0;
}

/// unshare FLAGS: "ok" or "errno N".
int unshare_verb(char** a) {
  std::printf(::unshare(static_cast<int>(number(a, 0, CLONE_NEWUSER))) == 0 ? "ok\n" : "errno %d\n", errno);
  return 0;
}

/// ns: the inode of each namespace.
int ns(char**) {
  for (const char* kind : {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"}) {
    char path[64];
    char target[64] = "";
    std::snprintf(path, sizeof path, "/proc/self/ns/%s", kind);
    if (::readlink(path, target, sizeof target - 1) < 0) std::snprintf(target, sizeof target, "-");
    std::printf("%s %s\n", kind, target);
  }
  return 0;
}

/// stat PATH: "MODE UID GID SIZE MAJOR MINOR LINKS" in octal and decimal, or the errno's text.
int stat_verb(char** a) {
  struct ::stat status{};
  if (::lstat(word(a, 0), &status) != 0) fail(a[0]);
  std::printf("%o %u %u %ld %u %u %lu\n", status.st_mode, status.st_uid, status.st_gid,
              static_cast<long>(status.st_size), static_cast<unsigned>(status.st_rdev >> 8 & 0xfff),
              static_cast<unsigned>(status.st_rdev & 0xff), static_cast<unsigned long>(status.st_nlink));
  return 0;
}

/// mknod PATH MAJOR MINOR: makes a character device and opens it; "opened", "mknod: ..." or "open: ...".
int mknod_verb(char** a) {
  const auto device = static_cast<dev_t>(number(a, 1, 1) << 8 | number(a, 2, 3));
  if (::mknod(word(a, 0), S_IFCHR | 0600, device) != 0) {
    std::printf("mknod: %s\n", std::strerror(errno));
    return 0;
  }
  if (::open(a[0], O_RDWR) < 0) {
    std::printf("open: %s\n", std::strerror(errno));
    return 0;
  }
  std::puts("opened");
  return 0;
}

constexpr Verb verbs[] = {
    {"caps", caps},
    {"limits", limits},
    {"isatty", isatty_verb},
    {"winsize", winsize_verb},
    {"wait-winsize", wait_winsize},
    {"uname", uname_verb},
    {"pids", pids},
    {"links", links},
    {"listen", listen_verb},
    {"connect", connect_verb},
    {"orphan", orphan},
    {"forkbomb", forkbomb},
    {"mqueue", mqueue_verb},
    {"shm", shm},
    {"syscall", syscall_verb},
    {"scheduler", scheduler},
    {"errnos", errnos},
    {"notify", notify},
    {"unshare", unshare_verb},
    {"ns", ns},
    {"stat", stat_verb},
    {"mknod", mknod_verb},
};

}  // namespace

std::span<const Verb> kernel_verbs() { return verbs; }

}  // namespace payload
