#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace mydocker::engine {

/// What `top` answers (WIRE 16): a title per column, a row per process, the command line as one cell.
struct ProcessTable {
  std::vector<std::string> titles;
  std::vector<std::vector<std::string>> rows;
};

/// Where the facts come from; tests point elsewhere.
struct ProcessSources {
  std::string proc = "/proc";
  std::string passwd = "/etc/passwd";
  std::string group = "/etc/group";
};

/// The processes with these host pids as `ps <arguments>` would print them on the host, by pid; those that ended
/// meanwhile are left out. No program is run: /proc is read here, and user names come from the host's passwd file.
/// Understood: -e -A -a -d -x -f -F -l -j -w, BSD a u x l j w, -o/o/--format with Docker clients' usual columns (a
/// header may follow as name=header), -p/--pid. "" is "-ef". Blocks on /proc; any thread. Throws
/// Error{invalid_argument} for what is not understood, and "Couldn't find PID field in ps output" when no column is
/// called PID.
ProcessTable list_processes(const std::vector<pid_t>& pids, std::string_view arguments,
                            const ProcessSources& sources = {});

}  // namespace mydocker::engine
