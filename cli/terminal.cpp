#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

#include "engine/base/error.h"

namespace mydocker::cli {

bool is_terminal(int fd) {
  termios settings{};
  return ::tcgetattr(fd, &settings) == 0;
}

std::optional<TerminalSize> terminal_size(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0) return std::nullopt;
  return TerminalSize{size.ws_row, size.ws_col};
}

RawTerminal::RawTerminal(int fd) {
  if (::tcgetattr(fd, &saved_) != 0) return;
  termios raw = saved_;
  ::cfmakeraw(&raw);
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  if (::tcsetattr(fd, TCSANOW, &raw) == 0) fd_ = fd;
}

RawTerminal::RawTerminal(RawTerminal&& other) noexcept : fd_(std::exchange(other.fd_, -1)), saved_(other.saved_) {}

RawTerminal& RawTerminal::operator=(RawTerminal&& other) noexcept {
  restore();
  fd_ = std::exchange(other.fd_, -1);
  saved_ = other.saved_;
  return *this;
}

void RawTerminal::restore() noexcept {
  if (const int fd = std::exchange(fd_, -1); fd >= 0) ::tcsetattr(fd, TCSANOW, &saved_);
}

std::string parse_detach_keys(std::string_view text) {
  const auto fail = [&] {
    return Error(ErrorKind::invalid_argument, concat("invalid detach keys (", text, ") provided"));
  };
  if (text.empty()) return "\x10\x11";
  std::string out;
  std::string_view rest = text;
  for (;;) {
    const std::size_t comma = rest.find(',');
    const std::string_view key = rest.substr(0, comma);
    if (key.size() == 1) {
      out += key[0];
    } else if (key == "DEL") {
      out += '\x7f';
    } else if (key.size() == 6 && key.starts_with("ctrl-")) {
      const char c = key[5];
      const std::size_t symbol = std::string_view("@abcdefghijklmnopqrstuvwxyz[\\]^_").find(c);
      if (symbol == std::string_view::npos) throw fail();
      out += static_cast<char>(symbol);
    } else {
      throw fail();
    }
    if (comma == std::string_view::npos) return out;
    rest.remove_prefix(comma + 1);
  }
}

std::optional<std::string> DetachScanner::feed(std::string_view typed, std::string& before) {
  std::string out;
  for (const char c : typed) {
    if (c == sequence_[matched_]) {
      if (++matched_ < sequence_.size()) continue;
      matched_ = 0;
      before = std::move(out);
      return std::nullopt;
    }
    out.append(sequence_, 0, matched_);
    matched_ = 0;
    if (c == sequence_[0] && sequence_.size() > 1) {
      matched_ = 1;
    } else {
      out += c;
    }
  }
  return out;
}

void print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void print_error(std::string_view text) {
  std::fflush(stdout);
  std::fwrite(text.data(), 1, text.size(), stderr);
}

void flush_output() { std::fflush(stdout); }

}  // namespace mydocker::cli
