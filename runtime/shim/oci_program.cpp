#include "runtime/shim/oci_program.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>

#include "engine/base/failpoint.h"
#include "engine/base/process.h"
#include "engine/base/sys.h"

namespace mydocker::shim {
namespace {

constexpr int verb_timeout_ms = 120'000;
constexpr std::size_t log_limit = std::size_t{1} << 20;
constexpr int exit_not_found = 127;
constexpr int exit_not_executable = 126;
constexpr int exit_failed = 128;

const std::string log_file = "log.json";

/// The program is started in `directory`, so that names in it are short enough for socket addresses.
class WorkingDirectory {
 public:
  explicit WorkingDirectory(const std::string& directory) {
    if (::chdir(directory.c_str()) != 0) throw sys_error("chdir ", directory);
  }
  WorkingDirectory(const WorkingDirectory&) = delete;
  WorkingDirectory& operator=(const WorkingDirectory&) = delete;
  ~WorkingDirectory() {
    if (::chdir("/") != 0) ::abort();  // the root is always there
  }
};

}  // namespace

std::string find_runtime_error(std::string_view log) {
  std::string found;
  while (!log.empty()) {
    const std::size_t end = std::min(log.find('\n'), log.size());
    const std::string_view line = log.substr(0, end);
    log.remove_prefix(std::min(end + 1, log.size()));
    try {
      const json::value entry = parse_json(line);
      const json::value* level = entry.is_object() ? entry.get_object().if_contains("level") : nullptr;
      const json::value* text = entry.is_object() ? entry.get_object().if_contains("msg") : nullptr;
      if (level == nullptr || text == nullptr || !level->is_string() || !text->is_string()) continue;
      if (level->as_string() == "error" || level->as_string() == "fatal") found = std::string(text->as_string());
    } catch (const Error&) {  // not a line of the log
    }
  }
  constexpr std::string_view prefix = "unable to start container process: ";
  if (const std::size_t at = found.find(prefix); at != std::string::npos) found = found.substr(at + prefix.size());
  return found;
}

int exit_code_of_runtime_error(std::string_view message) {
  std::string text(message);
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto says = [&](std::string_view words) { return text.find(words) != std::string::npos; };
  if (says("not found in $path") || says("no such file or directory")) return exit_not_found;
  if (says("permission denied") || says("is a directory") || says("exec format error")) return exit_not_executable;
  return exit_failed;
}

OciProgram::OciProgram(runtime::ForeignRuntime runtime, std::string directory, bool systemd)
    : runtime_(std::move(runtime)), directory_(std::move(directory)), systemd_(systemd) {
  make_dirs(directory_ + "/state", 0700);
}

std::vector<std::string> OciProgram::make_arguments(const std::vector<std::string>& verb) const {
  std::vector<std::string> words{runtime_.path};
  words.insert(words.end(), runtime_.arguments.begin(), runtime_.arguments.end());
  words.insert(words.end(),
               {"--root", directory_ + "/state", "--log", directory_ + "/" + log_file, "--log-format", "json"});
  if (systemd_) words.emplace_back("--systemd-cgroup");
  words.insert(words.end(), verb.begin(), verb.end());
  return words;
}

void OciProgram::run(const std::vector<std::string>& verb, const runtime::Stdio& stdio) const {
  failpoint("shim.oci_program");
  const UniqueFd directory = open_file(directory_, O_RDONLY | O_DIRECTORY);
  if (::unlinkat(directory.get(), log_file.c_str(), 0) != 0 && errno != ENOENT) throw sys_error("unlink ", log_file);
  SpawnOptions options;
  options.program = runtime_.path;
  options.arguments = make_arguments(verb);
  options.environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
  for (const auto& [from, to] : {std::pair{stdio.in, 0}, std::pair{stdio.out, 1}, std::pair{stdio.err, 2}}) {
    if (from >= 0) options.fds.emplace_back(from, to);
  }
  ExitStatus status;
  {
    const WorkingDirectory inside(directory_);
    mydocker::Process program = mydocker::Process::spawn(options);
    if (!wait_readable(program.pidfd(), verb_timeout_ms)) program.kill(SIGKILL);
    status = program.wait();
  }
  if (status.success()) return;
  std::string message = find_runtime_error(find_file_at(directory.get(), log_file, log_limit).value_or(""));
  const int code = exit_code_of_runtime_error(message);
  if (message.empty()) {
    message = concat(runtime_.path, " ", verb.front(), " ended with ", status.shell_code(), " and no word");
  }
  throw runtime::LaunchError(code == exit_failed ? ErrorKind::internal : ErrorKind::invalid_argument, message, code);
}

}  // namespace mydocker::shim
