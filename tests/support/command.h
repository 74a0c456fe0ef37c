#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "engine/base/process.h"
#include "engine/base/unique_fd.h"

namespace mydocker::test {

struct CommandOptions {
  std::string input;                          ///< what stdin holds (run_command only)
  std::vector<std::string> environment = {};  ///< added to the test's own
  bool terminal = false;                      ///< stdin, stdout and stderr are one pseudo terminal (80x24)
  std::chrono::milliseconds timeout{60'000};  ///< then it is killed, and the code is -1
  std::string standard_input_file = {};       ///< opened as stdin instead of a pipe
  std::string standard_output_file = {};      ///< stdout goes there instead
};

struct CommandResult {
  int code = -1;  ///< as a shell counts: 128+n for a signal; -1 = ran out of time
  std::string out;
  std::string err;  ///< empty with a terminal: everything is in `out`
};

/// A program started by a test; killed with the object.
class RunningCommand {
 public:
  explicit RunningCommand(std::vector<std::string> argv, const CommandOptions& options = {});

  pid_t pid() const { return process_.pid(); }
  void write(std::string_view text);
  /// End of input (of a terminal: ^D must be written instead).
  void close_input() { input_.reset(); }
  /// Reads stdout until it holds `text` (from what was not matched before); false at the end or out of time.
  bool read_until(std::string_view text, std::chrono::milliseconds timeout = std::chrono::seconds(20));
  /// Everything until the end.
  CommandResult wait();
  bool kill(int signal) { return process_.kill(signal); }
  const std::string& out() const { return out_; }
  const std::string& err() const { return err_; }
  /// The master side, for window sizes.
  int terminal() const { return terminal_.get(); }

 private:
  bool pump(std::chrono::steady_clock::time_point deadline);

  std::chrono::milliseconds timeout_;
  UniqueFd input_;
  UniqueFd output_;
  UniqueFd errors_;
  UniqueFd terminal_;
  std::string out_;
  std::string err_;
  std::size_t matched_ = 0;
  Process process_;
};

CommandResult run_command(std::vector<std::string> argv, const CommandOptions& options = {});

}  // namespace mydocker::test
