#include "runtime/hooks.h"

#include <fcntl.h>
#include <poll.h>

#include "engine/base/process.h"
#include "engine/base/sys.h"

namespace mydocker::runtime {
namespace {

void run_hook(std::string_view name, const Hook& hook, const std::string& state) {
  const UniqueFd input = make_memfd("state", state, false);
  SpawnOptions options;
  options.program = hook.path;
  options.arguments = hook.args.empty() ? std::vector<std::string>{hook.path} : hook.args;
  options.environment = hook.env;
  options.fds = {{input.get(), 0}, {2, 1}, {2, 2}};
  mydocker::Process process = mydocker::Process::spawn(options);
  const int timeout_ms = hook.timeout ? static_cast<int>(std::min<std::int64_t>(*hook.timeout, 3600) * 1000) : -1;
  if (!wait_readable(process.pidfd(), timeout_ms)) {
    throw Error(ErrorKind::internal, concat("hook ", name, " ", hook.path, ": timed out"));
  }
  const ExitStatus status = process.wait();
  if (status.success()) return;
  throw Error(ErrorKind::internal, concat("hook ", name, " ", hook.path, ": exit status ", status.shell_code()));
}

}  // namespace

std::vector<std::string> run_poststop_hooks(const Spec& spec, State state) {
  if (!spec.hooks) return {};
  state.status = "stopped";
  state.pid = 0;
  return run_all_hooks("poststop", spec.hooks->poststop, state);
}

std::vector<std::string> run_all_hooks(std::string_view name, const std::vector<Hook>& hooks, const State& state) {
  std::vector<std::string> failures;
  if (hooks.empty()) return failures;
  const std::string text = write_json(to_json(state));
  for (const Hook& hook : hooks) {
    try {
      run_hook(name, hook, text);
    } catch (const Error& error) {
      failures.push_back(error.message());
    }
  }
  return failures;
}

void run_hooks(std::string_view name, const std::vector<Hook>& hooks, const State& state) {
  if (hooks.empty()) return;
  const std::string text = write_json(to_json(state));
  for (const Hook& hook : hooks) run_hook(name, hook, text);
}

}  // namespace mydocker::runtime
