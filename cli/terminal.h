#pragma once

#include <termios.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// Standard streams and the terminal. One thread.
namespace mydocker::cli {

struct TerminalSize {
  std::uint16_t height = 0;
  std::uint16_t width = 0;
};

bool is_terminal(int fd);
/// nullopt: not a terminal, or it does not know.
std::optional<TerminalSize> terminal_size(int fd);

/// Puts a terminal into raw mode and restores it when destroyed. On what is no terminal it does nothing.
class RawTerminal {
 public:
  RawTerminal() = default;
  explicit RawTerminal(int fd);
  RawTerminal(RawTerminal&& other) noexcept;
  RawTerminal& operator=(RawTerminal&& other) noexcept;
  ~RawTerminal() { restore(); }

  void restore() noexcept;

 private:
  int fd_ = -1;
  termios saved_{};
};

/// "ctrl-p,ctrl-q" -> "\x10\x11". Throws Error{invalid_argument} "invalid detach keys (x) provided" (WIRE 5.4).
std::string parse_detach_keys(std::string_view text);

/// Finds the detach sequence in typed bytes. A partial match is held back until it is decided.
class DetachScanner {
 public:
  explicit DetachScanner(std::string sequence) : sequence_(std::move(sequence)) {}

  /// What may be sent now; nullopt: the sequence is complete, and `before` holds what came ahead of it.
  std::optional<std::string> feed(std::string_view typed, std::string& before);

 private:
  std::string sequence_;
  std::size_t matched_ = 0;
};

/// Buffered writing to standard output; flushed at exit and before anything goes to stderr.
void print(std::string_view text);
void print_error(std::string_view text);
void flush_output();

}  // namespace mydocker::cli
