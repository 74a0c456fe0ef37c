#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "runtime/spec.h"

/// OCI hooks (config.md "POSIX-platform Hooks"): programs that get the container's state on stdin.
namespace mydocker::runtime {

/// runtime.md "State". Also what `mydocker-runtime state` prints.
struct State {
  std::string version = std::string(oci_version);
  std::string id;
  std::string status;  ///< "creating", "created", "running", "stopped"
  pid_t pid = 0;
  std::string bundle;
  std::map<std::string, std::string> annotations;

  static constexpr auto json_fields() {
    return std::tuple(field("ociVersion", &State::version), field("id", &State::id), field("status", &State::status),
                      field_omit_empty("pid", &State::pid), field("bundle", &State::bundle),
                      field_omit_empty("annotations", &State::annotations));
  }
};

/// All of them, whatever becomes of the one before (runtime.md: poststart and poststop): a message for each failure.
std::vector<std::string> run_all_hooks(std::string_view name, const std::vector<Hook>& hooks, const State& state);
std::vector<std::string> run_poststop_hooks(const Spec& spec, State state);
/// Runs them one after the other and waits for each, at most its timeout. Throws Error{internal} for the first that
/// fails: "hook createRuntime /bin/x: exit status 1".
void run_hooks(std::string_view name, const std::vector<Hook>& hooks, const State& state);

}  // namespace mydocker::runtime
