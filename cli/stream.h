#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "cli/client.h"
#include "engine/base/unique_fd.h"

/// The bytes of attach, exec and logs: demultiplexing, typing, signals. One thread; blocks in poll(2).
namespace mydocker::cli {

/// Splits the frames of WIRE 4.1 as they arrive in pieces of any size.
class FrameDecoder {
 public:
  /// `use(stream, bytes)`: stream 1 = stdout, 2 = stderr. Throws Error{internal} with the engine's text on a frame of
  /// type 3, or when the bytes are no frames.
  void feed(std::string_view bytes, const std::function<void(int, std::string_view)>& use);

 private:
  std::string head_;
  std::string error_text_;
  int stream_ = 0;
  std::uint32_t remaining_ = 0;
};

/// Signals as readable events. While it lives the signals are blocked; afterwards they are as before.
class SignalQueue {
 public:
  enum class Kind {
    forward,  ///< whatever may be meant for the container (docker's --sig-proxy)
    resize,   ///< SIGWINCH, and what ends us, so that the terminal is restored first
  };
  explicit SignalQueue(Kind kind);
  ~SignalQueue();
  SignalQueue(const SignalQueue&) = delete;
  SignalQueue& operator=(const SignalQueue&) = delete;

  int fd() const noexcept { return fd_.get(); }
  /// 0: none is waiting.
  int take();

 private:
  UniqueFd fd_;
};

/// Restores the default action and sends the signal to ourselves.
[[noreturn]] void die_by_signal(int signal);
/// "TERM" for SIGTERM: what the engine's kill takes.
std::string signal_name(int signal);

struct PumpOptions {
  bool framed = true;        ///< stdcopy frames; false = raw bytes of a terminal, all to stdout
  bool read_input = false;   ///< copy stdin to the container
  bool scan_detach = false;  ///< look for the detach sequence in stdin
  std::string detach_sequence;
  SignalQueue* signals = nullptr;
  std::function<void(int)> on_signal;
};

enum class PumpEnd { output_ended, detached };

/// Runs until the engine ends the stream or the user detaches. Input that ends is half-closed, so the container sees
/// EOF.
PumpEnd run_pump(HijackedStream stream, const PumpOptions& options);

/// Writes all of it, and lets signals through while a slow reader makes us wait.
void write_output(int fd, std::string_view data, const PumpOptions& options);

}  // namespace mydocker::cli
