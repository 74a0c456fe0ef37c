// The program inside the test image: `payload VERB [ARGUMENT...]`. Each verb shows or does one thing, and says what it
// saw on stdout, a fact a line; errors end it with code 111 and the errno's text on stderr.

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "tests/payload/payload.h"

extern char** environ;

namespace {

using namespace payload;

/// pause: until a signal ends it; SIGTERM and SIGINT do, also for PID 1.
int pause_verb(char**) {
  const auto end = [](int) { ::_exit(0); };
  std::signal(SIGTERM, end);
  std::signal(SIGINT, end);
  std::puts("ready");
  std::fflush(stdout);
  for (;;) ::pause();
}

/// ignore-term: ready, and only SIGKILL ends it.
int ignore_term(char**) {
  std::signal(SIGTERM, SIG_IGN);
  std::signal(SIGINT, SIG_IGN);
  std::puts("ready");
  std::fflush(stdout);
  for (;;) ::pause();
}

/// trap: prints the number of each signal that arrives; SIGUSR2 ends it with code 42.
int trap_verb(char**) {
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_BLOCK, &all, nullptr);
  std::puts("ready");
  std::fflush(stdout);
  for (;;) {
    int signal = 0;
    ::sigwait(&all, &signal);
    if (signal == SIGCHLD || signal == SIGWINCH) continue;
    std::printf("signal %d\n", signal);
    std::fflush(stdout);
    if (signal == SIGUSR2) return 42;
  }
}

/// children N: N children that sleep for ever, then waits itself.
int children(char** a) {
  for (long i = number(a, 0, 3); i > 0; --i) {
    const pid_t child = ::fork();
    if (child < 0) fail("fork");
    if (child == 0) {
      for (;;) ::pause();
    }
  }
  return pause_verb(a);
}

int exit_verb(char** a) { return static_cast<int>(number(a, 0, 0)); }

/// die SIGNAL: ends by that signal.
int die(char** a) {
  const int signal = static_cast<int>(number(a, 0, SIGKILL));
  std::signal(signal, SIG_DFL);
  ::kill(::getpid(), signal);
  ::sleep(1);
  return 0;  // PID 1 of a namespace cannot end itself by most signals
}

/// fault: SIGSEGV by a real one, which ends PID 1 of a namespace, too.
int fault(char**) {
  volatile int* nowhere = nullptr;
  *nowhere = 1;
  return 0;
}

/// cat: stdin to stdout until the end, then "end" on stderr.
int cat(char**) {
  char buffer[65536];
  for (;;) {
    const ssize_t got = ::read(0, buffer, sizeof buffer);
    if (got < 0) fail("read");
    if (got == 0) break;
    for (ssize_t done = 0; done < got;) {
      const ssize_t put = ::write(1, buffer + done, static_cast<size_t>(got - done));
      if (put < 0) fail("write");
      done += put;
    }
  }
  std::fputs("end\n", stderr);
  return 0;
}

int echo(char** a) {
  for (int i = 0; a[i] != nullptr; ++i) std::printf("%s%s", i > 0 ? " " : "", a[i]);
  std::puts("");
  return 0;
}

/// both N: N numbered lines on stdout and on stderr, in turn.
int both(char** a) {
  const long count = number(a, 0, 10);
  for (long i = 1; i <= count; ++i) {
    std::printf("out %ld\n", i);
    std::fflush(stdout);
    std::fprintf(stderr, "err %ld\n", i);
  }
  return 0;
}

/// seq [MICROSECONDS]: numbers from 1 on, a line each, one write(2) each, for ever.
int seq(char** a) {
  const long pause_us = number(a, 0, 1000);
  for (long i = 1;; ++i) {
    char line[32];
    const int length = std::snprintf(line, sizeof line, "%ld\n", i);
    if (::write(1, line, static_cast<size_t>(length)) != length) fail("write");
    if (pause_us > 0) ::usleep(static_cast<useconds_t>(pause_us));
  }
}

/// spew BYTES: that many bytes of text in lines of 100.
int spew(char** a) {
  long left = number(a, 0, 1 << 20);
  char line[101];
  std::memset(line, 'x', 99);
  line[99] = '\n';
  while (left > 0) {
    const size_t part = left < 100 ? static_cast<size_t>(left) : 100;
    if (std::fwrite(line, 1, part, stdout) != part) fail("write");
    left -= static_cast<long>(part);
  }
  return 0;
}

int env(char**) {
  for (char** e = environ; *e != nullptr; ++e) std::puts(*e);
  return 0;
}

int id(char**) {
  std::printf("uid %u gid %u groups", ::getuid(), ::getgid());
  gid_t groups[256];
  const int count = ::getgroups(256, groups);
  for (int i = 0; i < count; ++i) std::printf(" %u", groups[i]);
  std::puts("");
  return 0;
}

/// memhog MIB: touches that much memory, then says so and waits.
int memhog(char** a) {
  const auto size = static_cast<size_t>(number(a, 0, 10)) << 20;
  auto* memory = static_cast<char*>(::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (memory == MAP_FAILED) fail("mmap");
  for (size_t i = 0; i < size; i += 4096) memory[i] = 1;
  std::puts("touched");
  std::fflush(stdout);
  if (a[0] != nullptr && a[1] != nullptr) return 0;
  return pause_verb(a);
}

/// spin MILLISECONDS: burns CPU for that long by the wall clock; prints the CPU time that it got, in milliseconds.
int spin(char** a) {
  const long wall_ms = number(a, 0, 1000);
  timespec begin{};
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &begin);
  volatile unsigned long sink = 0;
  do {
    for (int i = 0; i < 100000; ++i) sink = sink + 1;
    ::clock_gettime(CLOCK_MONOTONIC, &now);
  } while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < wall_ms);
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  std::printf("cpu_ms %ld\n", (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
                                  (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000);
  return 0;
}

/// fds: each open descriptor and what it is; the one that reads the list is left out.
int fds(char**) {
  DIR* dir = ::opendir("/proc/self/fd");
  if (dir == nullptr) fail("/proc/self/fd");
  while (const dirent* entry = ::readdir(dir)) {
    if (entry->d_name[0] == '.' || std::atoi(entry->d_name) == ::dirfd(dir)) continue;
    char target[4096] = "";
    if (::readlinkat(::dirfd(dir), entry->d_name, target, sizeof target - 1) < 0) continue;
    std::printf("%s %s\n", entry->d_name, target);
  }
  return 0;
}

/// file PATH: its content as it is.
int file(char** a) {
  const int fd = ::open(word(a, 0), O_RDONLY);
  if (fd < 0) fail(a[0]);
  ::dup2(fd, 0);
  char buffer[65536];
  for (;;) {
    const ssize_t got = ::read(0, buffer, sizeof buffer);
    if (got < 0) fail(a[0]);
    if (got == 0) return 0;
    if (::write(1, buffer, static_cast<size_t>(got)) != got) fail("write");
  }
}

/// write PATH TEXT
int write_verb(char** a) {
  const int fd = ::open(word(a, 0), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0) fail(a[0]);
  const char* text = word(a, 1);
  if (::write(fd, text, std::strlen(text)) < 0) fail(a[0]);
  return 0;
}

/// pwd
int pwd(char**) {
  char path[4096];
  if (::getcwd(path, sizeof path) == nullptr) fail("getcwd");
  std::puts(path);
  return 0;
}

int sleep_verb(char** a) {
  ::usleep(static_cast<useconds_t>(number(a, 0, 1000)) * 1000);
  return 0;
}

constexpr Verb verbs[] = {
    {"pause", pause_verb}, {"ignore-term", ignore_term},
    {"trap", trap_verb},   {"children", children},
    {"exit", exit_verb},   {"die", die},
    {"fault", fault},      {"cat", cat},
    {"echo", echo},        {"both", both},
    {"seq", seq},          {"spew", spew},
    {"env", env},          {"id", id},
    {"memhog", memhog},    {"spin", spin},
    {"fds", fds},          {"file", file},
    {"write", write_verb}, {"pwd", pwd},
    {"sleep", sleep_verb},
};

}  // namespace

int main(int count, char** arguments) {
  if (count < 2) {
    std::fprintf(stderr, "usage: payload VERB [ARGUMENT...]\n");
    return 2;
  }
  for (const std::span<const Verb> table : {std::span<const Verb>(verbs), kernel_verbs(), attack_verbs()}) {
    for (const Verb& verb : table) {
      if (std::strcmp(verb.name, arguments[1]) == 0) return verb.run(arguments + 2);
    }
  }
  std::fprintf(stderr, "payload: no verb %s\n", arguments[1]);
  return 2;
}
