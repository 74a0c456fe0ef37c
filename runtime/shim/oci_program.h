#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "runtime/shim_protocol.h"
#include "runtime/task.h"

namespace mydocker::shim {

/// Runs the verbs of another OCI runtime's command line (as runc and crun have it), one program a verb, and turns what
/// it logs into errors. Single-threaded; blocks until the program has ended.
class OciProgram {
 public:
  /// `directory` holds the runtime's state ("state"), log and the files of its verbs; programs run in it.
  /// `systemd`: containers' cgroups are scopes of systemd.
  OciProgram(runtime::ForeignRuntime runtime, std::string directory, bool systemd);

  /// `stdio` becomes the verb's, and so that of the process it makes. Throws LaunchError with what the runtime logged;
  /// exit codes as Docker finds them in the text (WIRE 23). A runtime that does not end in two minutes is killed.
  void run(const std::vector<std::string>& verb, const runtime::Stdio& stdio = {}) const;
  const std::string& directory() const noexcept { return directory_; }

 private:
  std::vector<std::string> make_arguments(const std::vector<std::string>& verb) const;

  runtime::ForeignRuntime runtime_;
  std::string directory_;
  bool systemd_;
};

/// What a runtime's log (--log-format json, one object a line) says of its failure: the last error's text without what
/// other engines put in front of it; "" when it says nothing. Pure.
std::string find_runtime_error(std::string_view log);
/// 127 no such program, 126 it cannot be executed, 128 anything else. Pure.
int exit_code_of_runtime_error(std::string_view message);

}  // namespace mydocker::shim
