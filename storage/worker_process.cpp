#include "storage/worker_process.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include <csignal>
#include <ctime>

#include "engine/base/failpoint.h"
#include "engine/base/sys.h"

namespace mydocker::storage {
namespace {

constexpr int pipe_bytes = 1 << 20;  // what any user may ask for (/proc/sys/fs/pipe-max-size)
constexpr int no_pipe = -1;

/// A library cannot rely on its program ignoring SIGPIPE: blocks it in this thread and takes back the one we cause.
class SigpipeBlock {
 public:
  SigpipeBlock() {
    ::sigemptyset(&set_);
    ::sigaddset(&set_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &set_, &before_);
  }
  SigpipeBlock(const SigpipeBlock&) = delete;
  SigpipeBlock& operator=(const SigpipeBlock&) = delete;
  ~SigpipeBlock() {
    if (::sigismember(&before_, SIGPIPE) == 1) return;
    const timespec now{0, 0};
    while (::sigtimedwait(&set_, nullptr, &now) == SIGPIPE) {
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t set_{};
  sigset_t before_{};
};

[[noreturn]] void rethrow(const WorkerAnswer& answer) {
  throw Error(parse_error_kind(answer.error_kind), answer.error, answer.errno_value);
}

}  // namespace

WorkerProcess::WorkerProcess(const WorkerOptions& options, const WorkerRequest& request, int root, WorkerPipe pipe,
                             int container_root)
    : patience_(options.patience), job_(request.job) {
  failpoint("worker.spawn");
  auto [own_socket, its_socket] = make_socket_pair(SOCK_SEQPACKET);
  SpawnOptions spawn;
  spawn.program = options.program;
  spawn.arguments = {"mydocker-worker", request.job};
  spawn.environment = options.environment;
  spawn.fds = {{its_socket.get(), worker_socket}, {root, worker_root}};
  if (container_root >= 0) spawn.fds.emplace_back(container_root, worker_container_root);
  Pipe ends;
  int its_end = no_pipe;
  if (pipe != WorkerPipe::none) {
    ends = make_pipe();
    its_end = pipe == WorkerPipe::input ? ends.read.get() : ends.write.get();
    pipe_ = std::move(pipe == WorkerPipe::input ? ends.write : ends.read);
    ::fcntl(pipe_.get(), F_SETPIPE_SZ, pipe_bytes);  // smaller pipes work, too
    // Only our end of a pipe: the flag belongs to the open file, and each end is one of its own.
    set_nonblocking(pipe_.get());
    spawn.fds.emplace_back(its_end, pipe == WorkerPipe::input ? STDIN_FILENO : STDOUT_FILENO);
  }
  process_ = Process::spawn(spawn);
  socket_ = std::move(own_socket);
  send_packet(socket_.get(), write_json(to_json(request)));
}

void WorkerProcess::wait_for_pipe(short events) {
  pollfd item{pipe_.get(), events, 0};
  const int ready = retry_on_eintr([&] { return ::poll(&item, 1, static_cast<int>(patience_.count())); });
  if (ready < 0) throw sys_error("poll");
  if (ready > 0) return;
  process_.kill(SIGKILL);
  throw Error(ErrorKind::unavailable, concat("worker ", job_, ": no progress for ", patience_.count(), " ms"));
}

void WorkerProcess::write(std::string_view bytes) {
  const SigpipeBlock block;
  while (!bytes.empty()) {
    const ssize_t done = retry_on_eintr([&] { return ::write(pipe_.get(), bytes.data(), bytes.size()); });
    if (done >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(done));
    } else if (errno == EAGAIN) {
      wait_for_pipe(POLLOUT);
    } else if (errno == EPIPE) {
      finish();  // throws the reason
      throw Error(ErrorKind::internal, concat("worker ", job_, ": ended before its input"));
    } else {
      throw sys_error("write to worker ", job_);
    }
  }
}

std::size_t WorkerProcess::read(char* buffer, std::size_t size) {
  for (;;) {
    const ssize_t got = retry_on_eintr([&] { return ::read(pipe_.get(), buffer, size); });
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EAGAIN) throw sys_error("read from worker ", job_);
    wait_for_pipe(POLLIN);
  }
}

WorkerAnswer WorkerProcess::finish() {
  pipe_.reset();
  if (!wait_readable(socket_.get(), static_cast<int>(patience_.count()))) {
    process_.kill(SIGKILL);
    throw Error(ErrorKind::unavailable, concat("worker ", job_, ": no answer for ", patience_.count(), " ms"));
  }
  const std::optional<Packet> packet = receive_packet(socket_.get());
  const ExitStatus status = process_.wait();
  if (!packet) {
    throw Error(ErrorKind::internal, concat("worker ", job_, " died (", status.signal != 0 ? "signal " : "exit code ",
                                            status.signal != 0 ? status.signal : status.code, ")"));
  }
  WorkerAnswer answer;
  read_json(parse_json(packet->data), "", answer);
  if (!answer.error.empty()) rethrow(answer);
  return answer;
}

}  // namespace mydocker::storage
