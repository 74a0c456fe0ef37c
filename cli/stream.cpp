#include "cli/stream.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <vector>

#include "cli/terminal.h"
#include "engine/base/sys.h"

namespace mydocker::cli {
namespace {

constexpr std::size_t buffer_bytes = std::size_t{64} << 10;
constexpr std::size_t frame_head_bytes = 8;
constexpr std::size_t max_error_bytes = std::size_t{64} << 10;

// Not forwarded: our own children, broken pipes, the terminal's size, Go's preemption signal in Docker's own CLI,
// faults.
bool is_forwarded(int signal) {
  static constexpr int kept[] = {SIGCHLD, SIGPIPE, SIGURG, SIGWINCH, SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
  return std::find(std::begin(kept), std::end(kept), signal) == std::end(kept);
}

sigset_t make_signal_set(SignalQueue::Kind kind) {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGWINCH);
  if (kind == SignalQueue::Kind::resize) {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) ::sigaddset(&set, signal);
    return set;
  }
  for (int signal = 1; signal <= SIGRTMAX; ++signal) {
    if (is_forwarded(signal)) ::sigaddset(&set, signal);
  }
  return set;
}

void handle_signals(const PumpOptions& options) {
  if (options.signals == nullptr) return;
  while (const int signal = options.signals->take()) {
    if (options.on_signal) options.on_signal(signal);
  }
}

/// One running attach session.
class Pump {
 public:
  Pump(HijackedStream stream, const PumpOptions& options) : socket_(std::move(stream.socket)), options_(options) {
    set_nonblocking(socket_.get());
    output(stream.pending);
    scanner_.emplace(options.scan_detach ? options.detach_sequence : std::string(1, '\0'));
    input_open_ = options.read_input;
  }

  PumpEnd run() {
    for (;;) {
      if (detached_ && to_send_.empty()) return PumpEnd::detached;
      std::array<pollfd, 3> fds{{{socket_.get(), POLLIN, 0}, {-1, POLLIN, 0}, {-1, POLLIN, 0}}};
      if (!to_send_.empty()) fds[0].events = static_cast<short>(fds[0].events | POLLOUT);
      if (input_open_ && !detached_ && to_send_.size() < buffer_bytes) fds[1].fd = STDIN_FILENO;
      if (options_.signals != nullptr) fds[2].fd = options_.signals->fd();
      if (::poll(fds.data(), fds.size(), -1) < 0) {
        if (errno == EINTR) continue;
        throw sys_error("poll");
      }
      if (fds[2].revents != 0) handle_signals(options_);
      if ((fds[0].revents & POLLOUT) != 0) send_pending();
      if ((fds[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0 && !receive()) {
        return detached_ ? PumpEnd::detached : PumpEnd::output_ended;
      }
      if (fds[1].revents != 0) read_input();
    }
  }

 private:
  UniqueFd socket_;
  const PumpOptions& options_;
  FrameDecoder decoder_;
  std::optional<DetachScanner> scanner_;
  std::string to_send_;
  bool input_open_ = false;
  bool half_close_wanted_ = false;
  bool detached_ = false;
  std::vector<char> buffer_ = std::vector<char>(buffer_bytes);

  void output(std::string_view bytes) {
    if (!options_.framed) {
      write_output(STDOUT_FILENO, bytes, options_);
      return;
    }
    decoder_.feed(bytes, [this](int stream, std::string_view piece) {
      write_output(stream == 2 ? STDERR_FILENO : STDOUT_FILENO, piece, options_);
    });
  }

  // false: the engine closed the stream.
  bool receive() {
    const ssize_t got = ::read(socket_.get(), buffer_.data(), buffer_.size());
    if (got > 0) {
      output(std::string_view(buffer_.data(), static_cast<std::size_t>(got)));
      return true;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (got < 0 && errno != ECONNRESET && errno != EPIPE) throw sys_error("read from the daemon");
    return false;
  }

  void read_input() {
    const ssize_t got = ::read(STDIN_FILENO, buffer_.data(), buffer_.size());
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (got <= 0) {
      input_open_ = false;
      half_close_wanted_ = true;
    } else {
      const std::string_view typed(buffer_.data(), static_cast<std::size_t>(got));
      if (options_.scan_detach) {
        std::string before;
        if (auto passed = scanner_->feed(typed, before)) {
          to_send_ += *passed;
        } else {
          to_send_ += before;
          detached_ = true;
        }
      } else {
        to_send_ += typed;
      }
    }
    send_pending();
  }

  void send_pending() {
    while (!to_send_.empty()) {
      const ssize_t sent = ::send(socket_.get(), to_send_.data(), to_send_.size(), MSG_NOSIGNAL);
      if (sent < 0) {
        if (errno == EAGAIN || errno == EINTR) return;
        // The container's input is gone; its output may still have something to say.
        to_send_.clear();
        input_open_ = false;
        return;
      }
      to_send_.erase(0, static_cast<std::size_t>(sent));
    }
    if (std::exchange(half_close_wanted_, false)) ::shutdown(socket_.get(), SHUT_WR);
  }
};

}  // namespace

void FrameDecoder::feed(std::string_view bytes, const std::function<void(int, std::string_view)>& use) {
  while (!bytes.empty()) {
    if (remaining_ > 0) {
      const std::string_view piece = bytes.substr(0, remaining_);
      if (stream_ == 3) {
        if (error_text_.size() < max_error_bytes) error_text_ += piece;
      } else {
        use(stream_, piece);
      }
      remaining_ -= static_cast<std::uint32_t>(piece.size());
      bytes.remove_prefix(piece.size());
      if (remaining_ == 0 && stream_ == 3)
        throw Error(ErrorKind::internal, concat("error from daemon in stream: ", error_text_));
      continue;
    }
    const std::size_t taken = std::min(frame_head_bytes - head_.size(), bytes.size());
    head_ += bytes.substr(0, taken);
    bytes.remove_prefix(taken);
    if (head_.size() < frame_head_bytes) return;
    const auto byte = [this](std::size_t at) {
      return static_cast<std::uint32_t>(static_cast<unsigned char>(head_[at]));
    };
    stream_ = static_cast<int>(byte(0));
    if (stream_ > 3) throw Error(ErrorKind::internal, concat("Unrecognized input header: ", stream_));
    if (stream_ == 0) stream_ = 1;
    remaining_ = byte(4) << 24 | byte(5) << 16 | byte(6) << 8 | byte(7);
    head_.clear();
  }
}

SignalQueue::SignalQueue(Kind kind) {
  const sigset_t set = make_signal_set(kind);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  fd_ = UniqueFd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd_) throw sys_error("signalfd");
}

SignalQueue::~SignalQueue() {
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

int SignalQueue::take() {
  signalfd_siginfo info{};
  return ::read(fd_.get(), &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo) : 0;
}

void die_by_signal(int signal) {
  flush_output();
  ::signal(signal, SIG_DFL);
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, signal);
  ::raise(signal);
  ::sigprocmask(SIG_UNBLOCK, &set, nullptr);
  ::_exit(128 + signal);
}

std::string signal_name(int signal) {
  const char* name = ::sigabbrev_np(signal);
  return name != nullptr ? name : std::to_string(signal);
}

void write_output(int fd, std::string_view data, const PumpOptions& options) {
  struct stat file{};
  // Only pipes and terminals make a writer wait for somebody; a pipe that polls writable takes PIPE_BUF bytes at once.
  const bool may_wait = options.signals != nullptr && ::fstat(fd, &file) == 0 &&
                        (S_ISFIFO(file.st_mode) || S_ISCHR(file.st_mode) || S_ISSOCK(file.st_mode));
  while (!data.empty()) {
    std::size_t size = data.size();
    if (may_wait) {
      std::array<pollfd, 2> fds{{{fd, POLLOUT, 0}, {options.signals->fd(), POLLIN, 0}}};
      if (::poll(fds.data(), fds.size(), -1) < 0 && errno != EINTR) throw sys_error("poll");
      if (fds[1].revents != 0) handle_signals(options);
      if (fds[0].revents == 0) continue;
      if (S_ISFIFO(file.st_mode)) size = std::min<std::size_t>(size, 4096);
    }
    const ssize_t written = ::write(fd, data.data(), size);
    if (written < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      throw sys_error("write");
    }
    data.remove_prefix(static_cast<std::size_t>(written));
  }
}

PumpEnd run_pump(HijackedStream stream, const PumpOptions& options) { return Pump(std::move(stream), options).run(); }

}  // namespace mydocker::cli
