#include "tests/support/command.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <array>
#include <csignal>
#include <cstdlib>

#include "engine/base/sys.h"
#include "tests/support/patience.h"
#include "tests/support/requirements.h"

extern char** environ;

namespace mydocker::test {

using Clock = std::chrono::steady_clock;

namespace {

std::vector<std::string> merged_environment(const std::vector<std::string>& added) {
  std::vector<std::string> out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const std::string_view key = text.substr(0, text.find('=') + 1);
    bool replaced = false;
    for (const std::string& item : added) replaced = replaced || item.starts_with(key);
    if (!replaced) out.emplace_back(text);
  }
  out.insert(out.end(), added.begin(), added.end());
  return out;
}

UniqueFd open_terminal(UniqueFd& slave) {
  UniqueFd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!master || ::grantpt(master.get()) != 0 || ::unlockpt(master.get()) != 0) throw sys_error("posix_openpt");
  std::array<char, 64> name{};
  if (::ptsname_r(master.get(), name.data(), name.size()) != 0) throw sys_error("ptsname");
  slave = open_file(name.data(), O_RDWR | O_NOCTTY);
  const winsize size{24, 80, 0, 0};
  ::ioctl(master.get(), TIOCSWINSZ, &size);
  return master;
}

/// Appends what is there; false at the end.
bool read_into(UniqueFd& fd, std::string& out) {
  std::array<char, 65536> buffer;
  const ssize_t got = retry_on_eintr([&] { return ::read(fd.get(), buffer.data(), buffer.size()); });
  if (got <= 0) {  // a terminal's master says EIO when the last slave is closed
    fd.reset();
    return false;
  }
  out.append(buffer.data(), static_cast<std::size_t>(got));
  return true;
}

}  // namespace

RunningCommand::RunningCommand(std::vector<std::string> argv, const CommandOptions& options)
    : timeout_(patient(options.timeout)) {
  SpawnOptions spawn;
  spawn.program = find_program(argv.at(0));
  if (spawn.program.empty()) throw Error(ErrorKind::internal, concat("no program ", argv[0]));
  spawn.arguments = std::move(argv);
  spawn.environment = merged_environment(options.environment);
  spawn.new_session = true;

  UniqueFd child_in;
  UniqueFd child_out;
  UniqueFd child_err;
  if (options.terminal) {
    terminal_ = open_terminal(child_in);
    spawn.fds = {{child_in.get(), 0}, {child_in.get(), 1}, {child_in.get(), 2}};
    output_ = duplicate_fd(terminal_.get());
    input_ = duplicate_fd(terminal_.get());
  } else {
    Pipe in = make_pipe();
    Pipe out = make_pipe();
    Pipe err = make_pipe();
    child_in =
        options.standard_input_file.empty() ? std::move(in.read) : open_file(options.standard_input_file, O_RDONLY);
    child_out = options.standard_output_file.empty()
                    ? std::move(out.write)
                    : open_file(options.standard_output_file, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    child_err = std::move(err.write);
    spawn.fds = {{child_in.get(), 0}, {child_out.get(), 1}, {child_err.get(), 2}};
    input_ = std::move(in.write);
    if (options.standard_output_file.empty()) output_ = std::move(out.read);
    errors_ = std::move(err.read);
  }
  process_ = Process::spawn(spawn);
}

void RunningCommand::write(std::string_view text) {
  const auto handler = ::signal(SIGPIPE, SIG_IGN);
  while (!text.empty() && input_) {
    const ssize_t done = retry_on_eintr([&] { return ::write(input_.get(), text.data(), text.size()); });
    if (done <= 0) break;  // it does not read any more: its exit code will tell
    text.remove_prefix(static_cast<std::size_t>(done));
  }
  ::signal(SIGPIPE, handler);
}

bool RunningCommand::pump(Clock::time_point deadline) {
  std::array<pollfd, 2> items{{{output_ ? output_.get() : -1, POLLIN, 0}, {errors_ ? errors_.get() : -1, POLLIN, 0}}};
  if (!output_ && !errors_) return false;
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  if (left <= 0) return false;
  const int ready = retry_on_eintr([&] { return ::poll(items.data(), items.size(), static_cast<int>(left)); });
  if (ready <= 0) return false;
  if (items[0].revents != 0) read_into(output_, out_);
  if (items[1].revents != 0) read_into(errors_, err_);
  return true;
}

bool RunningCommand::read_until(std::string_view text, std::chrono::milliseconds timeout) {
  const Clock::time_point deadline = Clock::now() + patient(timeout);
  for (;;) {
    if (const std::size_t found = out_.find(text, matched_); found != std::string::npos) {
      matched_ = found + text.size();
      return true;
    }
    if (!pump(deadline)) return false;
  }
}

CommandResult RunningCommand::wait() {
  const Clock::time_point deadline = Clock::now() + timeout_;
  if (!terminal_) input_.reset();
  while (pump(deadline)) {
  }
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  CommandResult result;
  if (wait_readable(process_.pidfd(), static_cast<int>(std::max<std::int64_t>(left, 0)))) {
    result.code = process_.wait().shell_code();
  } else {
    process_.kill(SIGKILL);
    process_.wait();
    err_ += "\n(killed: out of time)";
  }
  result.out = out_;
  result.err = err_;
  return result;
}

CommandResult run_command(std::vector<std::string> argv, const CommandOptions& options) {
  RunningCommand command(std::move(argv), options);
  // Small inputs fit into the pipe; larger ones come from a file.
  command.write(options.input);
  return command.wait();
}

}  // namespace mydocker::test
