#include "runtime/placeholder.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/sys.h"

namespace mydocker::runtime {

Placeholder& Placeholder::operator=(Placeholder&& other) noexcept {
  if (this != &other) {
    end();
    pid_ = std::exchange(other.pid_, -1);
  }
  return *this;
}

Placeholder Placeholder::start() {
  const pid_t parent = ::getpid();
  Placeholder out;
  out.pid_ = ::fork();
  if (out.pid_ < 0) throw sys_error("fork a placeholder");
  if (out.pid_ > 0) return out;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::syscall(SYS_close_range, 0U, ~0U, 0);
  while (::getppid() == parent) ::pause();
  ::_exit(0);
}

void Placeholder::end() noexcept {
  const pid_t pid = std::exchange(pid_, -1);
  if (pid <= 0) return;
  ::kill(pid, SIGKILL);  // ours and not yet reaped: the number cannot have been given away
  retry_on_eintr([&] { return ::waitpid(pid, nullptr, 0); });
}

}  // namespace mydocker::runtime
