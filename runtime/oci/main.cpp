#include <unistd.h>

#include <cstdlib>
#include <string_view>

#include "engine/base/sys.h"
#include "runtime/oci/command_line.h"
#include "runtime/oci/report.h"
#include "runtime/oci/seal.h"
#include "runtime/oci/verbs.h"
#include "runtime/spec.h"

/// mydocker-runtime: the OCI command line, a drop-in for runc.
namespace mydocker::oci {
namespace {

constexpr std::string_view default_root = "/run/mydocker-runtime";

struct Verb {
  std::string_view name;
  int (*action)(const GlobalOptions&, const Words&);
  bool enters_container;  ///< runs from a sealed copy
  std::string_view help;
};
constexpr Verb verbs[] = {
    {"create", create, true, "create a container; start runs it"},
    {"delete", delete_container, false, "delete what a container holds"},
    {"events", events, false, "display events such as OOM notifications, cpu, memory, and IO usage statistics"},
    {"exec", exec, true, "execute a new process inside the container"},
    {"features", features, false, "show the enabled features"},
    {"kill", kill, false, "send a signal (default SIGTERM) to the container's init process"},
    {"list", list, false, "list containers of this --root"},
    {"pause", pause, false, "suspend all processes inside the container"},
    {"ps", ps, false, "display the processes running inside a container"},
    {"resume", resume, false, "resume all processes that have been paused"},
    {"run", run, true, "create and run a container"},
    {"spec", spec, false, "write an example config.json"},
    {"start", start, false, "execute the user defined process in a created container"},
    {"state", state, false, "output the state of a container"},
    {"update", update, false, "update container resource constraints"},
};

const Verb* find_verb(std::string_view name) {
  for (const Verb& verb : verbs) {
    if (verb.name == name) return &verb;
  }
  return nullptr;
}

void print_help() {
  std::string text =
      "Usage: mydocker-runtime [global options] command [command options] [arguments...]\n\n"
      "An OCI runtime: runs containers from bundles (directories with a config.json).\n\nCommands:\n";
  for (const Verb& verb : verbs) {
    std::string name(verb.name);
    name.resize(10, ' ');
    text += concat("   ", name, verb.help, "\n");
  }
  text +=
      "\nGlobal options:\n"
      "   --root DIR              state directory (default /run/mydocker-runtime)\n"
      "   --log FILE              where errors are logged (default: standard error only)\n"
      "   --log-format FORMAT     text or json\n"
      "   --systemd-cgroup        use the systemd cgroup driver\n"
      "   --cgroup-manager NAME   cgroupfs or systemd\n"
      "   --version, -v           print the version\n";
  write_all(1, text);
}

/// A user's own runtime directory where there is one.
std::string state_directory() {
  const char* own = ::geteuid() == 0 ? nullptr : ::getenv("XDG_RUNTIME_DIR");
  return own == nullptr ? std::string(default_root) : concat(own, "/mydocker-runtime");
}

GlobalOptions read_global_options(const Arguments& arguments) {
  GlobalOptions options;
  options.root = arguments.get("root", state_directory());
  options.log_file = arguments.get("log");
  const std::string format = arguments.get("log-format", "text");
  if (format != "text" && format != "json") {
    throw Error(ErrorKind::invalid_argument, concat("unknown log format \"", format, "\""));
  }
  options.log_json = format == "json";
  const std::string manager = arguments.get("cgroup-manager", "cgroupfs");
  if (manager != "cgroupfs" && manager != "systemd") {
    throw Error(ErrorKind::invalid_argument, concat("unknown cgroup manager \"", manager, "\""));
  }
  options.systemd_cgroup = arguments.has("systemd-cgroup") || manager == "systemd";
  return options;
}

int dispatch(char** argv, char** environment) {
  GlobalOptions options;
  try {
    const Words words(argv + 1, [&] {
      char** end = argv + 1;
      while (*end != nullptr) ++end;
      return end;
    }());
    const Arguments arguments(words,
                              {{"root"},
                               {"log"},
                               {"log-format"},
                               {"debug", 0, true},
                               {"systemd-cgroup", 0, true},
                               {"cgroup-manager"},
                               {"rootless"},
                               {"version", 'v', true},
                               {"help", 'h', true}},
                              false);
    if (arguments.has("version")) {
      write_all(1, concat("mydocker-runtime version " MYDOCKER_VERSION "\nspec: ", runtime::oci_version, "\n"));
      return 0;
    }
    if (arguments.has("help") || arguments.positional().empty()) {
      print_help();
      return 0;
    }
    options = read_global_options(arguments);
    const std::string& name = arguments.positional()[0];
    const Verb* verb = find_verb(name);
    if (verb == nullptr) throw Error(ErrorKind::invalid_argument, concat("unknown command \"", name, "\""));
    if (verb->enters_container) run_from_sealed_copy(argv, environment);
    return verb->action(options, Words(arguments.positional().begin() + 1, arguments.positional().end()));
  } catch (const std::exception& error) {
    report_error(options, error.what());
    const bool is_exec = argv[1] != nullptr && [&] {
      for (char** word = argv + 1; *word != nullptr; ++word) {
        if (std::string_view(*word) == "exec") return true;
        if (find_verb(*word) != nullptr) return false;
      }
      return false;
    }();
    return is_exec ? 255 : 1;  // as runc: 255 cannot be mistaken for a program's own code
  }
}

}  // namespace
}  // namespace mydocker::oci

int main(int, char** argv, char** environment) { return mydocker::oci::dispatch(argv, environment); }
