#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "engine/base/sys.h"
#include "runtime/filter_cache.h"
#include "runtime/oci/console.h"
#include "runtime/oci/container.h"
#include "runtime/oci/process_files.h"
#include "runtime/oci/verbs.h"
#include "runtime/task.h"
#include "runtime/terminal.h"

namespace mydocker::oci {
namespace {

std::uint32_t parse_number(const std::string& text, std::string_view what) {
  // strtoul(3) alone takes blanks and signs.
  const bool digits = !text.empty() && text.size() <= 10 && text.find_first_not_of("0123456789") == std::string::npos;
  const unsigned long value = digits ? std::strtoul(text.c_str(), nullptr, 10) : 0;
  if (!digits || value > 2147483647UL) {
    throw Error(ErrorKind::invalid_argument, concat("invalid ", what, " \"", text, "\""));
  }
  return static_cast<std::uint32_t>(value);
}

/// The container's own process with what the flags change.
runtime::Process make_process(const runtime::Spec& spec, const Arguments& arguments) {
  if (!arguments.get("process").empty()) return runtime::read_process(arguments.get("process"));
  runtime::Process process = spec.process;
  process.terminal = arguments.has("tty");
  process.args.assign(arguments.positional().begin() + 1, arguments.positional().end());
  process.console_size.reset();
  if (!arguments.get("cwd").empty()) process.cwd = arguments.get("cwd");
  for (const std::string& variable : arguments.all("env")) process.env.push_back(variable);
  if (arguments.has("no-new-privs")) process.no_new_privileges = true;
  if (!arguments.get("apparmor").empty()) process.apparmor_profile = arguments.get("apparmor");
  if (!arguments.get("process-label").empty()) process.selinux_label = arguments.get("process-label");
  for (const std::string& gid : arguments.all("additional-gids")) {
    process.user.additional_gids.push_back(parse_number(gid, "gid"));
  }
  for (const std::string& name : arguments.all("cap")) {
    if (!process.capabilities) process.capabilities.emplace();
    for (auto* set :
         {&process.capabilities->bounding, &process.capabilities->effective, &process.capabilities->permitted}) {
      set->push_back(name);  // never inheritable or ambient (SECURITY R11)
    }
  }
  if (const std::string user = arguments.get("user"); !user.empty()) {
    const std::size_t colon = std::min(user.find(':'), user.size());
    process.user.uid = parse_number(user.substr(0, colon), "uid");
    process.user.gid = colon < user.size() ? parse_number(user.substr(colon + 1), "gid") : process.user.gid;
  }
  return process;
}

/// --cgroup [CONTROLLER[,CONTROLLER]:]PATH: groups below the container's, which must exist.
std::vector<std::string> list_cgroup_files(const Arguments& arguments, const runtime::Cgroup* cgroup) {
  std::vector<std::string> files;
  for (const std::string& word : arguments.all("cgroup")) {
    const std::size_t colon = word.find(':');
    const std::string controllers = colon == std::string::npos ? "" : concat(",", word.substr(0, colon), ",");
    const std::string below = colon == std::string::npos ? word : word.substr(colon + 1);
    if (cgroup == nullptr || concat("/", below, "/").find("/../") != std::string::npos) {
      throw Error(ErrorKind::invalid_argument, concat("invalid --cgroup \"", word, "\""));
    }
    const std::size_t before = files.size();
    for (const runtime::CgroupHierarchy& one : cgroup->layout().hierarchies) {
      const bool wanted = controllers.empty() ||
                          std::any_of(one.controllers.begin(), one.controllers.end(), [&](const std::string& name) {
                            return controllers.find(concat(",", name, ",")) != std::string::npos;
                          });
      const std::string file = concat(cgroup->layout().root, "/", one.directory, cgroup->path(), "/", below,
                                      one.v2 ? "/cgroup.procs" : "/tasks");
      if (wanted && path_exists(file)) files.push_back(file);
    }
    if (files.size() == before) {
      throw Error(ErrorKind::not_found, concat("--cgroup: the container has no cgroup \"", word, "\""));
    }
  }
  return files;
}

}  // namespace

int exec(const GlobalOptions& options, const Words& words) {
  const Arguments arguments(words,
                            {{"process", 'p'},
                             {"tty", 't', true},
                             {"detach", 'd', true},
                             {"env", 'e'},
                             {"user", 'u'},
                             {"cwd"},
                             {"pid-file"},
                             {"console-socket"},
                             {"preserve-fds"},
                             {"cap", 'c'},
                             {"no-new-privs", 0, true},
                             {"apparmor"},
                             {"process-label"},
                             {"additional-gids", 'g'},
                             {"ignore-paused", 0, true},
                             {"no-subreaper", 0, true},
                             {"cgroup"}},
                            false);
  Container container = Container::open(options, arguments.positional(0, "container id"));
  const Status status = container.status();
  if (status == Status::paused && !arguments.has("ignore-paused")) {
    throw Error(ErrorKind::conflict, "cannot exec in a paused container (use --ignore-paused to override)");
  }
  const UniqueFd init = container.open_process();
  const runtime::Spec spec = container.spec();
  std::optional<runtime::Cgroup> cgroup;
  if (!container.record().cgroup_path.empty()) cgroup.emplace(container.cgroup());
  runtime::ExecOptions exec_options;
  exec_options.init_pidfd = init.get();
  exec_options.init_pid = container.record().pid;
  exec_options.process = make_process(spec, arguments);
  exec_options.personality = spec.linux.personality;
  exec_options.memory_policy = spec.linux.memory_policy;
  exec_options.seccomp = spec.linux.seccomp;
  if (cgroup) exec_options.cgroup = &*cgroup;
  exec_options.resolve_home = true;
  for (const runtime::Rlimit& limit : exec_options.process.rlimits) {
    exec_options.requested_rlimits.push_back(limit.type);
  }
  exec_options.stdio = {0, 1, 2};
  exec_options.preserve_fds = list_preserved_descriptors(arguments);
  exec_options.cgroup_files = list_cgroup_files(arguments, exec_options.cgroup);
  if (exec_options.seccomp) {
    exec_options.filter = runtime::load_or_compile(*exec_options.seccomp, filter_directory(options));
    exec_options.state = container.state();
  }
  exec_options.die_with_parent = false;
  const bool detach = arguments.has("detach");
  const std::string console_socket = arguments.get("console-socket");
  if (exec_options.process.terminal && detach && console_socket.empty()) {
    throw Error(ErrorKind::invalid_argument, "cannot allocate tty if detached without --console-socket");
  }
  if (!detach) inherit_terminal_size(exec_options.process);
  if (!exec_options.process.terminal && !console_socket.empty()) {
    throw Error(ErrorKind::invalid_argument, "cannot use --console-socket if the process has no terminal");
  }
  runtime::Task task = runtime::exec_task(exec_options);
  SignalSource signals;
  UniqueFd console = task.take_console();
  if (console && !console_socket.empty()) {
    runtime::send_to_console_socket(console_socket, console.get());
    console.reset();
  }
  write_pid_file(arguments, task.pid());
  if (detach) return 0;
  return attend({task.pid(), task.pidfd(), std::move(console)}, signals).shell_code();
}

}  // namespace mydocker::oci
