#include "cli/container_session.h"

#include <unistd.h>

#include <csignal>

#include "cli/terminal.h"

namespace mydocker::cli {

void require_terminal(bool tty, bool input) {
  if (tty && input && !is_terminal(STDIN_FILENO)) throw CommandFailure(1, "the input device is not a TTY");
}

std::string detach_sequence(const Session& session, const Arguments& arguments) {
  return parse_detach_keys(arguments.has("detach-keys") ? arguments.text("detach-keys") : session.config.detach_keys);
}

void send_terminal_size(Session& session, const std::string& path, int more) {
  const auto size = terminal_size(STDOUT_FILENO);
  if (!size || (size->height + more == 0 && size->width + more == 0)) return;
  try {
    session.api().call(
        {.method = "POST",
         .path = path,
         .query = {{"h", std::to_string(size->height + more)}, {"w", std::to_string(size->width + more)}}});
  } catch (const Error&) {
    // It has ended, or not started yet: a later change of size tries again.
    return;
  }
}

InteractiveSession::InteractiveSession(Session& session, InteractiveOptions options)
    : session_(session), options_(std::move(options)) {}

void InteractiveSession::prepare() {
  if (signals_) return;
  if (options_.tty) {
    signals_.emplace(SignalQueue::Kind::resize);
  } else if (options_.forward_signals) {
    signals_.emplace(SignalQueue::Kind::forward);
  }
}

void InteractiveSession::handle_signal(int signal, const std::function<void()>& restore) {
  if (signal == SIGWINCH) {
    if (options_.tty) send_terminal_size(session_, options_.resize_path);
    return;
  }
  if (options_.tty) {
    restore();
    die_by_signal(signal);
  }
  try {
    session_.api().call({.method = "POST",
                         .path = concat("/containers/", path_part(options_.container), "/kill"),
                         .query = {{"signal", signal_name(signal)}}});
  } catch (const Error& error) {
    if (session_.debug) print_error(concat("Error sending signal: ", error.message(), "\n"));
  }
}

PumpEnd InteractiveSession::run(HijackedStream stream) {
  prepare();
  RawTerminal raw;
  const bool typed = options_.input && options_.tty && is_terminal(STDIN_FILENO);
  if (typed) raw = RawTerminal(STDIN_FILENO);
  PumpOptions pump;
  pump.framed = !options_.tty;
  pump.read_input = options_.input;
  pump.scan_detach = typed;
  pump.detach_sequence = options_.detach_sequence;
  pump.signals = signals_ ? &*signals_ : nullptr;
  pump.on_signal = [&](int signal) { handle_signal(signal, [&] { raw.restore(); }); };
  return run_pump(std::move(stream), pump);
}

}  // namespace mydocker::cli
