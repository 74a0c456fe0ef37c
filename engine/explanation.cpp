#include "engine/explanation.h"

#include <signal.h>
#include <string.h>

#include <algorithm>

#include "engine/base/error.h"
#include "engine/denial.h"

namespace mydocker::engine {
namespace {

constexpr int signal_base = 128;
constexpr int exit_not_executable = 126;
constexpr int exit_not_found = 127;

using Sentences = api::StringList;

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

std::string bytes_text(std::int64_t bytes) {
  if (bytes % (1 << 20) == 0) return concat(bytes >> 20, " MiB");
  return concat(bytes, " bytes");
}

std::string signal_text(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return name == nullptr ? concat("signal ", signal) : concat("SIG", std::string_view(name));
}

/// "failed to create task ...: unable to start container process: X" -> X.
std::string_view inner_error(std::string_view error) {
  constexpr std::string_view prefix = "unable to start container process: ";
  const std::size_t at = error.rfind(prefix);
  return at == std::string_view::npos ? error : error.substr(at + prefix.size());
}

std::string command_of(const ContainerRecord& record) { return record.path.empty() ? "its program" : record.path; }

void explain_denial(const ExplainFacts& facts, api::Explanation& out) {
  for (std::string& sentence : describe_denial(find_denial(facts.log, facts.record), facts.record)) {
    out.reasons.push_back(std::move(sentence));
  }
}

void explain_missing_program(const ExplainFacts& facts, api::Explanation& out) {
  const std::string program = command_of(facts.record);
  const ProgramFacts program_facts = facts.program.value_or(ProgramFacts{});
  if (program_facts.found && !program_facts.interpreter.empty() && !program_facts.interpreter_found) {
    out.verdict = concat("It did not start: ", program, " is there, but the interpreter it needs is not.");
    out.reasons.push_back(concat(program, " wants ", program_facts.interpreter, ", which the image does not have."));
    return;
  }
  if (program_facts.found && !program_facts.executable) {
    out.verdict = concat("It did not start: ", program, " is no executable file.");
    return;
  }
  out.verdict = concat("It did not start: there is no program ", program, " in the image.");
  if (!contains(program, "/")) out.reasons.emplace_back("It was looked for in every directory of PATH.");
}

void explain_failed_start(const ExplainFacts& facts, api::Explanation& out) {
  const std::string_view error = inner_error(facts.record.error);
  if (facts.port) {
    out.verdict = concat("It did not start: the host's port ", facts.port->port, " is taken.");
    out.reasons.push_back(facts.port->holder.empty() ? "Nobody holds it any more: a new start can succeed."
                                                     : concat("It is held by ", facts.port->holder, "."));
  } else if (contains(error, "executable file not found") || contains(error, "no such file or directory")) {
    explain_missing_program(facts, out);
  } else if (contains(error, "permission denied")) {
    out.verdict = concat("It did not start: ", command_of(facts.record), " may not be executed.");
  } else {
    out.verdict = "It did not start.";
  }
  out.reasons.push_back(concat("The error was: ", error));
}

void explain_kill(const ExplainFacts& facts, api::Explanation& out) {
  const ContainerRecord& record = facts.record;
  const std::string sender = record.last_exit ? record.last_exit->signal_source : "";
  if (record.oom_killed) {
    out.verdict = "The kernel killed it: it needed more memory than it may have.";
    const std::int64_t limit = record.host_config.memory_bytes;
    out.reasons.push_back(limit > 0 ? concat("Its memory limit is ", bytes_text(limit), " (--memory).")
                                    : "It has no memory limit of its own: the host, or a cgroup above it, ran out.");
    if (const auto& facts_of_kill = record.last_exit ? record.last_exit->oom : std::nullopt) {
      out.reasons.push_back(concat("It had used ", bytes_text(facts_of_kill->peak_bytes),
                                   " at most; processes killed: ", facts_of_kill->kills, "."));
    }
  } else if (sender == "health") {
    out.verdict = "It was killed because its health check failed.";
    out.reasons.emplace_back("--health-on-failure asked for that.");
  } else if (record.stopped_by_user || sender == "client") {
    out.verdict = "It was stopped: SIGKILL ended it after the grace period, or at once by kill or rm -f.";
  } else {
    out.verdict = "Somebody sent it SIGKILL, and it was not this engine's out-of-memory case.";
    out.reasons.emplace_back("A process of the host did, or the container's shim was killed.");
  }
}

void explain_signal(const ExplainFacts& facts, api::Explanation& out) {
  const int signal = facts.record.exit_code - signal_base;
  if (signal == SIGKILL) return explain_kill(facts, out);
  if (signal == SIGSYS) {
    out.verdict = "The kernel ended it for a system call that its seccomp profile forbids.";
    out.reasons.emplace_back("--security-opt seccomp=unconfined (or a profile that has the call) lets it go on.");
  } else if (signal == SIGTERM && facts.record.stopped_by_user) {
    out.verdict = "It was stopped: SIGTERM was sent and it ended.";
  } else {
    out.verdict = concat("It was ended by ", signal_text(signal), ".");
    if (facts.record.last_exit && facts.record.last_exit->core_dumped) out.reasons.emplace_back("It left a core dump.");
    if (signal == SIGSEGV || signal == SIGBUS || signal == SIGABRT || signal == SIGILL || signal == SIGFPE) {
      out.reasons.emplace_back("That is a crash of the program itself.");
    }
  }
}

void explain_exit(const ExplainFacts& facts, api::Explanation& out) {
  const int code = facts.record.exit_code;
  if (code == 0) {
    out.verdict = "It ended by itself, with success.";
  } else if (code > signal_base && code < signal_base + 65) {
    explain_signal(facts, out);
  } else if (code == exit_not_found) {
    out.verdict = "It ended with code 127: a command that it ran does not exist.";
  } else if (code == exit_not_executable) {
    out.verdict = "It ended with code 126: a command that it ran cannot be executed.";
  } else {
    out.verdict = concat("It ended by itself with code ", code, ": the program says that it failed.");
  }
  if (code != 0) explain_denial(facts, out);
}

void explain_restarts(const ExplainFacts& facts, api::Explanation& out) {
  const api::RestartPolicy& policy = facts.record.host_config.restart_policy;
  if (facts.record.restart_count > 0) {
    out.reasons.push_back(
        concat("It was restarted ", facts.record.restart_count, " times by its policy ", policy.name, "."));
  }
  if (facts.state == ContainerState::restarting) out.reasons.emplace_back("The next restart waits for its back-off.");
}

void explain_running(const ExplainFacts& facts, api::Explanation& out) {
  if (facts.health == "unhealthy") {
    out.verdict = "It runs, but its health check fails.";
    if (!facts.health_output.empty()) out.reasons.push_back("The last probe said: " + facts.health_output);
  } else if (facts.state == ContainerState::paused) {
    out.verdict = "It is paused: its processes are frozen until unpause.";
  } else {
    out.verdict = facts.health.empty() ? "It runs." : concat("It runs; its health is ", facts.health, ".");
  }
  if (facts.record.oom_killed) {
    out.reasons.emplace_back("A process in it was killed for want of memory; the main process lives on.");
  }
}

}  // namespace

api::Explanation make_explanation(const ExplainFacts& facts) {
  api::Explanation out;
  out.id = facts.record.id;
  out.name = facts.record.name;
  out.status = facts.status;
  out.log = facts.log;
  const bool failed_start = !facts.record.error.empty();
  if (facts.state == ContainerState::running || facts.state == ContainerState::paused) {
    explain_running(facts, out);
  } else if (failed_start) {
    explain_failed_start(facts, out);
  } else if (facts.state == ContainerState::created) {
    out.verdict = "It was created and never started.";
  } else {
    explain_exit(facts, out);
  }
  explain_restarts(facts, out);
  return out;
}

namespace {

/// "0.0.0.0:8080" of "failed to bind host port for 0.0.0.0:8080:172.17.0.2:80/tcp: address already in use".
std::string find_taken_port(std::string_view error) {
  constexpr std::string_view before = "failed to bind host port for ";
  const std::size_t begin = error.find(before);
  if (begin == std::string_view::npos || !contains(error, "address already in use")) return "";
  const std::string_view rest = error.substr(begin + before.size());
  const std::size_t colon = rest.find(':', rest.starts_with('[') ? rest.find(']') : 0);
  return std::string(rest.substr(0, colon == std::string_view::npos ? colon : rest.find(':', colon + 1)));
}

}  // namespace

std::string find_refused_port(std::string_view error) {
  constexpr std::string_view before = "Bind for ";
  constexpr std::string_view after = " failed: port is already allocated";
  const std::size_t end = error.find(after);
  const std::size_t begin = end == std::string_view::npos ? end : error.rfind(before, end);
  if (begin == std::string_view::npos) return find_taken_port(error);
  return std::string(error.substr(begin + before.size(), end - begin - before.size()));
}

}  // namespace mydocker::engine
