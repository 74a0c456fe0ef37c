#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <optional>

#include "engine/base/sys.h"
#include "engine/base/time.h"
#include "runtime/filter_cache.h"
#include "runtime/oci/console.h"
#include "runtime/oci/container.h"
#include "runtime/oci/notify_socket.h"
#include "runtime/oci/process_files.h"
#include "runtime/oci/report.h"
#include "runtime/oci/verbs.h"
#include "runtime/systemd.h"
#include "runtime/task.h"
#include "runtime/terminal.h"

namespace mydocker::oci {
namespace {

constexpr std::string_view scope_prefix = "system.slice:mydocker-runtime:";
constexpr std::string_view cgroup_prefix = "/mydocker-runtime-";  // no parent directory of ours stays behind

std::vector<Option> launch_options() {
  return {{"bundle", 'b'},       {"console-socket"},    {"pid-file"},
          {"detach", 'd', true}, {"keep", 0, true},     {"no-subreaper", 0, true},
          {"preserve-fds"},      {"no-pivot", 0, true}, {"no-new-keyring", 0, true}};
}

std::string absolute_path(const std::string& path) {
  char resolved[PATH_MAX];
  if (::realpath(path.c_str(), resolved) == nullptr) {
    const int saved = errno;
    throw Error(ErrorKind::invalid_argument, concat("bundle ", path, ": ", errno_text(saved)), saved);
  }
  return resolved;
}

std::string cgroup_path_of(const GlobalOptions& options, const runtime::Spec& spec, const std::string& id) {
  const std::string& path = spec.linux.cgroups_path;
  if (options.systemd_cgroup) {
    const std::string name = path.empty() ? concat(scope_prefix, id) : path;
    if (!runtime::parse_scope_name(name)) {
      throw Error(ErrorKind::invalid_argument,
                  concat("expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got \"", path,
                         "\" instead"));
    }
    return name;
  }
  if (path.empty()) return concat(cgroup_prefix, id);
  if (path.front() == '/') return path;
  return concat("/", path);
}

std::string user_name() { return ::getuid() == 0 ? "root" : std::to_string(::getuid()); }

/// An ordinary user may have no cgroup to make; that is no error as long as no limit is asked for.
std::optional<runtime::Cgroup> make_cgroup(const std::string& path, const runtime::Spec& spec) {
  if (::geteuid() == 0) return runtime::Cgroup::create(path);
  try {
    return runtime::Cgroup::create(path);
  } catch (const Error&) {
    if (spec.linux.resources) throw;
    return std::nullopt;
  }
}

/// A container between its creation and its start, in the process that created it.
struct Creation {
  Container container;
  std::optional<runtime::Cgroup> cgroup;  ///< none: an ordinary user's container without limits
  UniqueFd start_listener;
  runtime::Task task;
};

runtime::TaskOptions make_task_options(const Container& container, runtime::Spec spec, const Arguments& arguments,
                                       const std::string& filter_directory) {
  runtime::TaskOptions options;
  options.id = container.record().id;
  options.bundle = container.record().bundle;
  options.resolve_home = true;
  for (const runtime::Rlimit& limit : spec.process.rlimits) options.requested_rlimits.push_back(limit.type);
  options.stdio = {0, 1, 2};
  options.preserve_fds = list_preserved_descriptors(arguments);
  options.die_with_parent = false;
  options.new_keyring = !arguments.has("no-new-keyring");
  if (spec.linux.seccomp) options.filter = runtime::load_or_compile(*spec.linux.seccomp, filter_directory);
  options.spec = std::move(spec);
  return options;
}

/// After a failure: what was made is taken back, and the hooks are told (runtime.md "Lifecycle", steps 12 and 13). What
/// fails here is a warning: the error that led here is the one to report.
void give_up(const GlobalOptions& options, Container container) {
  try {
    const std::optional<runtime::Spec> spec = container.find_spec();
    const runtime::State state = container.state();
    container.remove();
    if (spec) warn(options, runtime::run_poststop_hooks(*spec, state));
  } catch (const Error& error) {
    warn(options, error.message());
  }
}

/// `separate_start`: start comes from another process, through the socket. `attended`: this process stays.
Creation create_container(const GlobalOptions& options, const Arguments& arguments, bool separate_start,
                          bool attended) {
  const std::string& id = arguments.positional(0, "container id");
  const std::string bundle = absolute_path(arguments.get("bundle", "."));
  runtime::Spec spec = runtime::read_bundle(bundle);
  const std::string console_socket = arguments.get("console-socket");
  if (spec.process.terminal && !attended && console_socket.empty()) {
    throw Error(ErrorKind::invalid_argument, "cannot allocate tty if detached without --console-socket");
  }
  if (attended) inherit_terminal_size(spec.process);
  if (!spec.process.terminal && !console_socket.empty()) {
    throw Error(ErrorKind::invalid_argument, "cannot use --console-socket if the process has no terminal");
  }
  Container container = Container::reserve(options, id);
  try {
    Record& record = container.record();
    record.bundle = bundle;
    record.rootfs = spec.root.path.starts_with("/") ? spec.root.path : concat(bundle, "/", spec.root.path);
    record.cgroup_path = cgroup_path_of(options, spec, id);
    record.created = to_rfc3339(now());
    record.owner = user_name();
    NotifySocket::prepare(spec, container.directory());
    if (const int listening = count_listen_descriptors(); listening > 0) {
      spec.process.env.insert(spec.process.env.end(), {concat("LISTEN_FDS=", listening), "LISTEN_PID=1"});
    }
    container.save_spec(spec);
    container.save();  // before anything is made, so that `delete` knows of it
    std::optional<runtime::Cgroup> cgroup = make_cgroup(record.cgroup_path, spec);
    if (!cgroup) {
      record.cgroup_path.clear();
      container.save();
    }
    Creation creation{std::move(container), std::move(cgroup), {}, {}};
    runtime::TaskOptions task_options =
        make_task_options(creation.container, std::move(spec), arguments, filter_directory(options));
    if (creation.cgroup) task_options.cgroup = &*creation.cgroup;
    if (separate_start) {
      creation.start_listener = listen_unix(creation.container.start_socket(), SOCK_SEQPACKET);
      task_options.start_listener = creation.start_listener.get();
    }
    creation.task = runtime::Task::create(std::move(task_options));
    creation.task.wait_created();
    creation.container.record().pid = creation.task.pid();
    creation.container.record().start_time = read_start_time(creation.task.pid());
    creation.container.save();
    if (!console_socket.empty()) {
      runtime::send_to_console_socket(console_socket, creation.task.take_console().get());
    }
    write_pid_file(arguments, creation.task.pid());
    return creation;
  } catch (...) {
    give_up(options, Container::open(options, id));
    throw;
  }
}

}  // namespace

int create(const GlobalOptions& options, const Words& words) {
  const Arguments arguments(words, launch_options(), true);
  Creation creation = create_container(options, arguments, true, false);
  warn(options, creation.task.warnings());
  creation.task.release();
  return 0;
}

int start(const GlobalOptions& options, const Words& words) {
  const Arguments arguments(words, {}, true);
  Container container = Container::open(options, arguments.positional(0, "container id"));
  const Status status = container.status();
  if (status != Status::created) {
    throw Error(ErrorKind::conflict, concat("cannot start a container in the ", to_string(status), " state"));
  }
  const runtime::Spec spec = container.spec();
  const UniqueFd process = container.open_process();
  std::optional<NotifySocket> notify = NotifySocket::open(container.directory());
  try {
    warn(options, runtime::start_created(container.start_socket(), spec, container.state()));
  } catch (...) {
    signal_pidfd(process.get(), SIGKILL);  // a process whose filter has no listener, say: it must not go on
    throw;
  }
  ::unlink(container.start_socket().c_str());
  container.record().started = true;
  container.save();
  if (notify) notify->wait_ready(process.get(), container.record().pid);
  return 0;
}

int run(const GlobalOptions& options, const Words& words) {
  const Arguments arguments(words, launch_options(), true);
  const bool detach = arguments.has("detach");
  if (!detach && !arguments.has("no-subreaper")) ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  Creation creation = create_container(options, arguments, false, !detach);
  SignalSource signals;
  Container& container = creation.container;
  const runtime::Spec spec = container.spec();
  std::optional<NotifySocket> notify;
  try {
    notify = NotifySocket::open(container.directory());
    container.record().started = true;
    container.save();
    creation.task.start();
  } catch (...) {
    creation.task = {};
    give_up(options, std::move(container));
    throw;
  }
  warn(options, creation.task.warnings());
  creation.task.release();
  if (detach) {
    if (notify) notify->wait_ready(creation.task.pidfd(), creation.task.pid());
    return 0;
  }
  Attended attended{creation.task.pid(), creation.task.pidfd(), creation.task.take_console(),
                    notify ? &*notify : nullptr};
  const ExitStatus status = attend(std::move(attended), signals);
  if (!arguments.has("keep")) {
    const runtime::State state = container.state();
    container.remove();
    warn(options, runtime::run_poststop_hooks(spec, state));
  }
  return status.shell_code();
}

}  // namespace mydocker::oci
