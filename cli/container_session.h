#pragma once

#include <functional>
#include <optional>
#include <string>

#include "cli/command.h"
#include "cli/stream.h"

/// What run, start -a, attach and exec share. One thread; everything blocks.
namespace mydocker::cli {

/// Throws CommandFailure{1} "the input device is not a TTY" when a terminal is wanted and stdin is none.
void require_terminal(bool tty, bool input);

/// The detach sequence in bytes: --detach-keys, the configured one, or ctrl-p ctrl-q. Throws Error{invalid_argument}.
std::string detach_sequence(const Session& session, const Arguments& arguments);

/// Sends our terminal's size, `more` rows and columns added, to `path` ("/containers/<id>/resize"). A container that is
/// gone is no error.
void send_terminal_size(Session& session, const std::string& path, int more = 0);

struct InteractiveOptions {
  bool tty = false;
  bool input = false;
  bool forward_signals = false;  ///< --sig-proxy; never with a tty
  std::string container;         ///< receives forwarded signals
  std::string resize_path;       ///< for a tty
  std::string detach_sequence;
};

/// Raw mode, resizing, signals, detach keys around one hijacked stream.
class InteractiveSession {
 public:
  InteractiveSession(Session& session, InteractiveOptions options);
  /// Before the container starts: from now on signals are ours.
  void prepare();
  /// Copies until the stream ends or the user detaches; the terminal is restored when it returns.
  PumpEnd run(HijackedStream stream);

 private:
  Session& session_;
  InteractiveOptions options_;
  std::optional<SignalQueue> signals_;

  void handle_signal(int signal, const std::function<void()>& restore);
};

}  // namespace mydocker::cli
