#include <signal.h>

#include <cerrno>
#include <cstdlib>
#include <string_view>

#include "engine/base/sys.h"
#include "runtime/oci/container.h"
#include "runtime/oci/report.h"
#include "runtime/oci/verbs.h"

namespace mydocker::oci {
namespace {

constexpr int kill_timeout_ms = 10000;

struct SignalName {
  std::string_view name;
  int number;
};
constexpr SignalName signal_names[] = {
    {"HUP", SIGHUP},       {"INT", SIGINT},   {"QUIT", SIGQUIT},   {"ILL", SIGILL},   {"TRAP", SIGTRAP},
    {"ABRT", SIGABRT},     {"BUS", SIGBUS},   {"FPE", SIGFPE},     {"KILL", SIGKILL}, {"USR1", SIGUSR1},
    {"SEGV", SIGSEGV},     {"USR2", SIGUSR2}, {"PIPE", SIGPIPE},   {"ALRM", SIGALRM}, {"TERM", SIGTERM},
    {"STKFLT", SIGSTKFLT}, {"CHLD", SIGCHLD}, {"CONT", SIGCONT},   {"STOP", SIGSTOP}, {"TSTP", SIGTSTP},
    {"TTIN", SIGTTIN},     {"TTOU", SIGTTOU}, {"URG", SIGURG},     {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ},
    {"VTALRM", SIGVTALRM}, {"PROF", SIGPROF}, {"WINCH", SIGWINCH}, {"IO", SIGIO},     {"PWR", SIGPWR},
    {"SYS", SIGSYS}};

int parse_signal(std::string word) {
  char* end = nullptr;
  const long number = std::strtol(word.c_str(), &end, 10);
  if (!word.empty() && *end == '\0') {
    if (number >= 1 && number <= 64) return static_cast<int>(number);
    throw Error(ErrorKind::invalid_argument, concat("unknown signal \"", word, "\""));
  }
  for (char& c : word) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  const std::string_view name = word.starts_with("SIG") ? std::string_view(word).substr(3) : std::string_view(word);
  for (const SignalName& one : signal_names) {
    if (one.name == name) return one.number;
  }
  throw Error(ErrorKind::invalid_argument, concat("unknown signal \"", word, "\""));
}

void stop_process(const Container& container) {
  try {
    const UniqueFd pidfd = container.open_process();
    signal_pidfd(pidfd.get(), SIGKILL);
    wait_readable(pidfd.get(), kill_timeout_ms);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::not_found) throw;
  }
}

}  // namespace

int kill(const GlobalOptions& options, const Words& words) {
  // A negative number would look like a flag; signals are positive, so nothing is lost.
  const Arguments arguments(words, {{"all", 'a', true}}, true);
  const Container container = Container::open(options, arguments.positional(0, "container id"));
  const int signal = parse_signal(arguments.positional().size() > 1 ? arguments.positional()[1] : "SIGTERM");
  if (arguments.has("all")) {
    runtime::Cgroup cgroup = container.cgroup();
    if (signal == SIGKILL) {
      cgroup.kill_all();
      return 0;
    }
    for (const pid_t pid : cgroup.processes()) {
      try {
        signal_pidfd(open_pidfd(pid).get(), signal);
      } catch (const Error& error) {
        if (error.errno_value() != ESRCH) throw;
      }
    }
    return 0;
  }
  const UniqueFd pidfd = container.open_process();
  signal_pidfd(pidfd.get(), signal);
  // A frozen process dies only once it is thawed.
  if (signal == SIGKILL && container.status() == Status::paused) container.cgroup().thaw();
  return 0;
}

int delete_container(const GlobalOptions& options, const Words& words) {
  const Arguments arguments(words, {{"force", 'f', true}}, true);
  const std::string& id = arguments.positional(0, "container id");
  const bool force = arguments.has("force");
  try {
    Container container = Container::open(options, id);
    const Status status = container.status();
    if (status != Status::stopped && status != Status::creating && !force) {
      throw Error(ErrorKind::conflict,
                  concat("cannot delete container \"", id, "\" that is not stopped: ", to_string(status)));
    }
    if (status == Status::paused) {
      const UniqueFd pidfd = container.open_process();
      signal_pidfd(pidfd.get(), SIGKILL);
      container.cgroup().thaw();
    }
    stop_process(container);
    const std::optional<runtime::Spec> spec = container.find_spec();
    const runtime::State state = container.state();
    container.remove();
    if (spec) warn(options, runtime::run_poststop_hooks(*spec, state));
  } catch (const Error& error) {
    if (!(force && error.kind() == ErrorKind::not_found)) throw;
  }
  return 0;
}

int pause(const GlobalOptions& options, const Words& words) {
  const Arguments arguments(words, {}, true);
  const Container container = Container::open(options, arguments.positional(0, "container id"));
  const Status status = container.status();
  if (status != Status::running && status != Status::created) {
    throw Error(ErrorKind::conflict, concat("cannot pause a container that is ", to_string(status)));
  }
  container.cgroup().freeze();
  return 0;
}

int resume(const GlobalOptions& options, const Words& words) {
  const Arguments arguments(words, {}, true);
  const Container container = Container::open(options, arguments.positional(0, "container id"));
  if (container.status() != Status::paused) throw Error(ErrorKind::conflict, "the container is not paused");
  container.cgroup().thaw();
  return 0;
}

}  // namespace mydocker::oci
