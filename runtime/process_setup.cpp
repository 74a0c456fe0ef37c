#include "runtime/process_setup.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>

#include "engine/base/failpoint.h"
#include "engine/base/sys.h"
#include "runtime/capabilities.h"
#include "runtime/interpreter.h"
#include "runtime/rights.h"

namespace mydocker::runtime {
namespace {

constexpr int exit_not_found = 127;
constexpr int exit_not_executable = 126;
constexpr int exit_failed = 128;
constexpr std::string_view default_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::optional<std::string_view> find_variable(const std::vector<std::string>& env, std::string_view name) {
  // The last one wins, as in the C library of the container.
  for (auto it = env.rbegin(); it != env.rend(); ++it) {
    if (it->size() > name.size() && it->starts_with(name) && (*it)[name.size()] == '=') {
      return std::string_view(*it).substr(name.size() + 1);
    }
  }
  return std::nullopt;
}

/// Go's errors begin in lower case, and clients look for them.
std::string lower_errno_text(int errno_value) {
  std::string text = errno_text(errno_value);
  if (!text.empty()) text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  return text;
}

/// 0, or why it cannot be executed.
int check_executable(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return errno;
  if (S_ISDIR(status.st_mode)) return EISDIR;
  return (status.st_mode & 0111) != 0 ? 0 : EACCES;
}

[[noreturn]] void throw_bad_program(const std::string& name, int errno_value) {
  const std::string quoted = concat("exec: \"", name, "\": ");
  switch (errno_value) {
    case EISDIR:
      throw LaunchError(ErrorKind::invalid_argument, quoted + "is a directory: permission denied", exit_not_executable,
                        errno_value);
    case EACCES:
      throw LaunchError(ErrorKind::invalid_argument, quoted + "permission denied", exit_not_executable, errno_value);
    default:
      throw LaunchError(ErrorKind::invalid_argument, concat(quoted, "stat ", name, ": ", lower_errno_text(errno_value)),
                        errno_value == ENOENT || errno_value == ENOTDIR ? exit_not_found : exit_failed, errno_value);
  }
}

[[noreturn]] void throw_exec_failed(const std::string& program, int errno_value) {
  const int code = errno_value == ENOENT                             ? exit_not_found
                   : errno_value == EACCES || errno_value == ENOEXEC ? exit_not_executable
                                                                     : exit_failed;
  std::string text = concat("exec ", program, ": ", lower_errno_text(errno_value));
  if (errno_value == ENOENT) {  // the program was found before: what is missing is what it needs
    const std::string interpreter = find_interpreter(program);
    if (!interpreter.empty()) text += concat(" (its interpreter ", interpreter, " does not exist)");
  }
  throw LaunchError(ErrorKind::invalid_argument, text, code, errno_value);
}

/// Names the user's own error as the request's fault.
template <typename Call>
auto as_launch_error(Call&& call) {
  try {
    return call();
  } catch (const LaunchError&) {
    throw;
  } catch (const Error& error) {
    throw LaunchError(error.kind(), error.message(), exit_failed, error.errno_value());
  }
}

void move_behind(int* fd, int lowest) {
  const int moved = ::fcntl(*fd, F_DUPFD_CLOEXEC, lowest);
  if (moved < 0) throw sys_error("dup of a descriptor");
  *fd = moved;
}

void close_range_or_throw(unsigned first, unsigned last) {
  if (first <= last && ::syscall(SYS_close_range, first, last, 0) != 0) throw sys_error("close_range");
}

}  // namespace

Launch prepare_launch(int root, const Process& process, const std::string& user,
                      const std::vector<std::string>& group_add, bool resolve_home) {
  return as_launch_error([&] {
    Launch launch;
    launch.process = process;
    if (!user.empty() || !group_add.empty()) {
      launch.identity = resolve_identity(root, user, group_add);
    } else {
      launch.identity.uid = process.user.uid;
      launch.identity.gid = process.user.gid;
      launch.identity.groups = {process.user.gid};
      for (const std::uint32_t gid : process.user.additional_gids) {
        if (gid != process.user.gid) launch.identity.groups.push_back(gid);
      }
    }
    if (resolve_home && !find_variable(process.env, "HOME")) {
      std::string home = user.empty() ? find_home(root, launch.identity.uid) : launch.identity.home;
      launch.process.env.push_back(concat("HOME=", home.empty() ? "/" : home));
    }
    return launch;
  });
}

void prepare_filter(Launch& launch, const std::optional<Seccomp>& seccomp, bool use_default,
                    const std::optional<FilterProgram>& compiled) {
  if (use_default) {
    launch.seccomp = make_default_seccomp(parse_capabilities(launch.process.capabilities).bounding);
  } else {
    launch.seccomp = seccomp;
  }
  if (!launch.seccomp) return;
  if (compiled) {
    launch.filter = *compiled;
    return;
  }
  launch.filter = as_launch_error([&] { return compile_seccomp(*launch.seccomp); });
}

void make_working_directory(int root, const Launch& launch) {
  as_launch_error([&] {
    const std::string& path = launch.process.cwd;
    try {
      if (find_in_root(root, path, O_PATH | O_DIRECTORY)) return;
    } catch (const Error&) {  // a magic link, say: entering it will be judged by the kernel and by getcwd
      return;
    }
    UniqueFd directory;
    try {
      directory = make_dirs_in_root(root, path);
    } catch (const Error& error) {
      if (error.errno_value() != ENOTDIR) throw;
      throw Error(error.kind(), concat("Cannot mkdir: ", path, " is not a directory"), ENOTDIR);
    }
    if (::fchownat(directory.get(), "", launch.identity.uid, launch.identity.gid, AT_EMPTY_PATH) != 0) {
      throw sys_error("chown ", path);
    }
  });
}

void enter_working_directory(const Launch& launch) {
  const std::string& path = launch.process.cwd;
  int reason = 0;
  try {
    // No magic links: /proc/self/fd/N would lead to whatever a descriptor is open on (CVE-2024-21626).
    const UniqueFd root = open_file("/", O_PATH | O_DIRECTORY);
    const UniqueFd directory = open_in_root(root.get(), path, O_PATH | O_DIRECTORY);
    if (::fchdir(directory.get()) != 0) reason = errno;
  } catch (const Error& error) {
    reason = error.errno_value();
  }
  if (reason != 0) {
    throw LaunchError(ErrorKind::invalid_argument,
                      concat("chdir to cwd (\"", path, "\") set in config.json failed: ", lower_errno_text(reason)),
                      reason == EACCES   ? exit_not_executable
                      : reason == ENOENT ? exit_not_found
                                         : exit_failed,
                      reason);
  }
  char buffer[4096];
  // The raw call: "(unreachable)" marks a directory outside of our root.
  const long length = ::syscall(SYS_getcwd, buffer, sizeof buffer);
  if (length <= 0 || buffer[0] != '/') {
    throw LaunchError(ErrorKind::invalid_argument,
                      concat("the working directory \"", path, "\" is outside of the container's root"), exit_failed);
  }
}

std::string find_program(const Process& process) {
  const std::string& name = process.args.front();
  if (name.find('/') != std::string::npos) {
    if (const int reason = check_executable(name); reason != 0) throw_bad_program(name, reason);
    return name;
  }
  std::string_view path = find_variable(process.env, "PATH").value_or(default_path);
  bool more = true;
  while (more) {
    const std::size_t colon = path.find(':');
    more = colon != std::string_view::npos;
    const std::string_view directory = path.substr(0, colon);
    const std::string candidate = concat(directory.empty() ? "." : directory, "/", name);
    if (check_executable(candidate) == 0) return candidate;
    if (more) path.remove_prefix(colon + 1);
  }
  throw LaunchError(ErrorKind::invalid_argument, concat("exec: \"", name, "\": executable file not found in $PATH"),
                    exit_not_found, ENOENT);
}

void arrange_descriptors(const Stdio& stdio, int null_fd, const std::vector<int>& preserve,
                         const std::vector<int*>& keep) {
  std::vector<int> sources;
  for (const int fd : {stdio.in, stdio.out, stdio.err}) sources.push_back(fd >= 0 ? fd : null_fd);
  sources.insert(sources.end(), preserve.begin(), preserve.end());
  // First everything out of the way, so that no target hides a source.
  const int count = static_cast<int>(sources.size());
  int lowest = std::max(count, *std::max_element(sources.begin(), sources.end()) + 1);
  for (int* fd : keep) lowest = std::max(lowest, *fd + 1);
  for (int& fd : sources) move_behind(&fd, lowest);
  for (int* fd : keep) move_behind(fd, lowest);
  for (int i = 0; i < count; ++i) {
    if (::dup2(sources[static_cast<std::size_t>(i)], i) < 0) throw sys_error("dup2 of a descriptor");
  }
  std::vector<int> kept;
  for (int* fd : keep) {
    *fd = ::fcntl(*fd, F_DUPFD_CLOEXEC, count);
    if (*fd < 0) throw sys_error("dup of a descriptor");
    kept.push_back(*fd);
  }
  std::sort(kept.begin(), kept.end());
  unsigned next = static_cast<unsigned>(count);
  for (const int fd : kept) {
    if (static_cast<unsigned>(fd) > next) close_range_or_throw(next, static_cast<unsigned>(fd) - 1);
    next = static_cast<unsigned>(fd) + 1;
  }
  close_range_or_throw(next, ~0U);
}

void reset_process_state(bool die_with_parent) {
  set_parent_death_signal(die_with_parent);
  // Raw calls: the C library hides the two signals that it uses itself, and leaves them ignored in spawned programs.
  struct {
    void (*handler)(int) = SIG_DFL;
    unsigned long flags = 0;
    void (*restorer)() = nullptr;
    unsigned long mask = 0;
  } action;
  for (int signal = 1; signal <= 64; ++signal) {
    if (signal != SIGKILL && signal != SIGSTOP) ::syscall(SYS_rt_sigaction, signal, &action, nullptr, 8);
  }
  const unsigned long empty = 0;
  ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &empty, nullptr, 8);
  if (::setsid() < 0 && errno != EPERM) throw sys_error("setsid");
  ::umask(0);
}

void own_standard_streams(const Launch& launch, bool terminal) {
  if (launch.identity.uid == 0) return;
  for (int fd = 0; fd < 3; ++fd) {
    struct stat status{};
    if (::fstat(fd, &status) != 0) continue;
    if (!terminal && !S_ISFIFO(status.st_mode)) continue;  // not ours: a file or terminal of the caller
    if (::fchown(fd, launch.identity.uid, static_cast<gid_t>(-1)) != 0 && errno != EPERM && errno != EINVAL &&
        errno != EROFS) {
      throw sys_error("chown of a standard stream");
    }
  }
}

void execute(const Launch& launch, SyncSocket& sync) {
  const Process& process = launch.process;
  const CapabilitySets capabilities = parse_capabilities(process.capabilities);
  if (launch.join_keyring) join_session_keyring(launch.container_id);
  apply_labels(process);
  apply_priorities(process);
  ::umask(process.user.umask.value_or(022));
  apply_rlimits(process.rlimits, launch.requested_rlimits);
  failpoint("init.execute");
  sync.send(Sync::executing);
  const auto install = [&] {
    if (!launch.seccomp) return;
    const UniqueFd listener = install_filter(launch.filter, *launch.seccomp);
    if (!listener) return;
    sync.send(Sync::listener, listener.get());
    sync.expect_under_filter(Sync::listener_taken);
  };
  // Without no_new_privs a filter needs CAP_SYS_ADMIN, so it comes while we still have it.
  if (!process.no_new_privileges) install();
  limit_bounding_set(capabilities.bounding);
  set_ids(launch.identity);
  set_capabilities(capabilities);
  set_parent_death_signal(launch.die_with_parent);  // a change of credentials has cleared it
  if (process.no_new_privileges) {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) throw sys_error("set no_new_privs");
    install();
  }
  std::vector<char*> arguments;
  for (const std::string& one : process.args) arguments.push_back(const_cast<char*>(one.c_str()));
  arguments.push_back(nullptr);
  std::vector<char*> environment;
  for (const std::string& one : process.env) environment.push_back(const_cast<char*>(one.c_str()));
  environment.push_back(nullptr);
  ::execve(launch.program.c_str(), arguments.data(), environment.data());
  throw_exec_failed(launch.program, errno);
}

}  // namespace mydocker::runtime
