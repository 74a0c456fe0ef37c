#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <initializer_list>

/// mydocker-init [--] PROGRAM [ARGUMENT...]: PID 1 of a container with --init. Runs the program as its child, passes
/// signals on to it, reaps every orphan, and ends with the child's exit code (128+n for a signal). Static, no C++
/// library behind it: its size is paid by every such container.
namespace {

void complain(const char* what, const char* name) {
  const auto say = [](const char* text) {
    if (::write(2, text, ::strlen(text)) < 0) ::_exit(127);
  };
  say("mydocker-init: ");
  say(what);
  say(name);
  say(": ");
  say(::strerror(errno));
  say("\n");
}

/// In the child. Its own process group, so that a terminal's signals reach it once and its job control works.
[[noreturn]] void run_program(char** arguments, const sigset_t& mask) {
  ::setpgid(0, 0);
  // Becoming the foreground group from the background raises SIGTTOU, which would stop us.
  ::signal(SIGTTOU, SIG_IGN);
  ::tcsetpgrp(0, ::getpgrp());
  ::signal(SIGTTOU, SIG_DFL);
  ::sigprocmask(SIG_SETMASK, &mask, nullptr);
  ::execvp(arguments[0], arguments);
  const int error = errno;
  complain("exec ", arguments[0]);
  ::_exit(error == ENOENT ? 127 : 126);
}

/// Reaps all that has ended; true when `child` was among them.
bool reap(pid_t child, int& code) {
  bool ended = false;
  for (;;) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid <= 0) return ended;
    if (pid != child) continue;
    code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    ended = true;
  }
}

}  // namespace

int main(int argc, char** argv) {
  char** arguments = argv + 1;
  if (argc > 1 && ::strcmp(arguments[0], "--") == 0) ++arguments;
  if (arguments >= argv + argc) {
    errno = EINVAL;
    complain("usage: mydocker-init [--] PROGRAM", "");
    return 2;
  }

  // All but those that report our own faults; SIGTTIN and SIGTTOU would stop PID 1 if it touched the terminal.
  sigset_t waited;
  sigset_t inherited;
  ::sigfillset(&waited);
  for (const int fault : {SIGFPE, SIGILL, SIGSEGV, SIGBUS, SIGABRT, SIGTRAP, SIGSYS}) ::sigdelset(&waited, fault);
  ::sigprocmask(SIG_SETMASK, &waited, &inherited);
  ::signal(SIGTTIN, SIG_IGN);
  ::signal(SIGTTOU, SIG_IGN);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);  // when it is not PID 1 (host pid namespace)

  const pid_t child = ::fork();
  if (child < 0) {
    complain("fork", "");
    return 125;
  }
  if (child == 0) {
    ::signal(SIGTTIN, SIG_DFL);
    run_program(arguments, inherited);
  }
  for (int code = 0;;) {
    siginfo_t info;
    const int signal = ::sigwaitinfo(&waited, &info);
    if (signal < 0) continue;  // EINTR
    if (signal == SIGCHLD) {
      if (reap(child, code)) return code;
    } else {
      ::kill(child, signal);
    }
  }
}
