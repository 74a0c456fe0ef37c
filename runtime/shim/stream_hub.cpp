#include "runtime/shim/stream_hub.h"

#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <span>

#include "engine/base/log.h"
#include "engine/base/sys.h"

namespace mydocker::shim {
namespace {

using runtime::StreamId;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds stall_check_interval(500);
/// Docker gives a log driver as long to take what is left.
constexpr milliseconds log_patience(10'000);
constexpr milliseconds log_check_interval(50);
constexpr std::size_t last_reads = 16;  ///< of 64 KiB: as much as a pipe holds
/// A client that has all the time in the world after the container's end: somebody reads with a pager.
constexpr milliseconds flush_stall_limit(600'000);

}  // namespace

void StdinSink::open(UniqueFd fd) {
  fd_ = std::move(fd);
  if (!fd_) return;
  set_nonblocking(fd_.get());
  flush();
}

void StdinSink::write(std::string_view data) {
  if (!fd_) return;
  pending_ += data;
  flush();
}

void StdinSink::end() {
  ending_ = true;
  if (pending_.empty()) discard();
}

void StdinSink::discard() noexcept {
  if (watched_) loop_.forget(fd_.get());
  watched_ = false;
  fd_.reset();
  std::string().swap(pending_);
}

void StdinSink::on_ready(std::uint32_t) {
  flush();
  if (has_room()) on_room_();
}

void StdinSink::flush() {
  std::size_t done = 0;
  while (done < pending_.size()) {
    const ssize_t count =
        retry_on_eintr([&] { return ::write(fd_.get(), pending_.data() + done, pending_.size() - done); });
    if (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK) return discard();  // EPIPE: nobody reads any more
    if (count < 0) break;
    done += static_cast<std::size_t>(count);
  }
  pending_.erase(0, done);
  if (pending_.empty() && ending_) return discard();
  if (!pending_.empty() && !watched_) loop_.watch(fd_.get(), EPOLLOUT, *this);
  if (pending_.empty() && watched_) loop_.forget(fd_.get());
  watched_ = !pending_.empty();
}

/// One stream of output.
class StreamHub::Source final : public FdHandler {
 public:
  Source(StreamHub& hub, UniqueFd fd, StreamId stream) : hub_(hub), fd_(std::move(fd)), stream_(stream) {
    set_nonblocking(fd_.get());
    hub_.loop_.watch(fd_.get(), EPOLLIN, *this);
    watched_ = true;
  }
  ~Source() { set_paused(true); }
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  void set_paused(bool paused) {
    if (watched_ == !paused) return;
    // Not just an empty event mask: a closed pipe reports EPOLLHUP whatever the mask says.
    if (paused) {
      hub_.loop_.forget(fd_.get());
    } else {
      hub_.loop_.watch(fd_.get(), EPOLLIN, *this);
    }
    watched_ = !paused;
  }
  void on_ready(std::uint32_t) override { hub_.read_source(*this); }

  int fd() const { return fd_.get(); }
  StreamId stream() const { return stream_; }

 private:
  StreamHub& hub_;
  UniqueFd fd_;
  StreamId stream_;
  bool watched_ = false;
};

StreamHub::StreamHub(EventLoop& loop, HubOptions options, Listener& listener, LogSink* log)
    : loop_(loop), options_(std::move(options)), listener_(listener), log_(log), stdin_(loop, [this] {
        update_input_flow();
      }) {
  if (options_.backlog_directory.empty()) {
    options_.backlog_limit_bytes = std::min(options_.backlog_limit_bytes, std::uint64_t{1} << 20);
  }
}

StreamHub::~StreamHub() {
  *alive_ = false;
  if (stall_timer_) loop_.cancel(*stall_timer_);
  if (grace_timer_) loop_.cancel(*grace_timer_);
}

void StreamHub::open_pipes(UniqueFd in, UniqueFd out, UniqueFd err) {
  stdin_.open(std::move(in));
  if (out) add_source(std::move(out), StreamId::out);
  if (err) add_source(std::move(err), StreamId::err);
}

void StreamHub::open_terminal(UniqueFd master) {
  // Three descriptors, as epoll wants one for each direction and the sizes outlive the end of the output.
  if (options_.open_stdin) stdin_.open(duplicate_fd(master.get()));
  terminal_ = duplicate_fd(master.get());
  add_source(std::move(master), StreamId::out);
}

void StreamHub::resize(std::uint16_t height, std::uint16_t width) {
  if (!terminal_) throw Error(ErrorKind::conflict, "the process has no terminal");
  winsize size{};
  size.ws_row = height;
  size.ws_col = width;
  if (::ioctl(terminal_.get(), TIOCSWINSZ, &size) != 0) throw sys_error("TIOCSWINSZ");
}

AttachClient& StreamHub::add_client(runtime::StreamChoice choice, UniqueFd client) {
  if (closing_) throw Error(ErrorKind::conflict, "the process has ended");
  auto owned = std::make_unique<AttachClient>(loop_, static_cast<AttachClient::Owner&>(*this), std::move(choice),
                                              std::move(client), options_.tty, options_.backlog_directory);
  AttachClient& added = *owned;
  clients_.push_back({.client = std::move(owned), .sent_before = 0, .progress_at = Clock::now()});
  added.set_input_paused(!stdin_.has_room());
  return added;
}

void StreamHub::attach(runtime::StreamChoice choice, UniqueFd client) {
  add_client(std::move(choice), std::move(client)).begin();
}

LogPosition StreamHub::attach_held(runtime::StreamChoice choice, UniqueFd client, UniqueFd gate) {
  const std::optional<LogPosition> position = log_ != nullptr ? log_->position() : std::nullopt;
  if (!position) throw Error(ErrorKind::not_implemented, "this container keeps no log that can be read");
  AttachClient& added = add_client(std::move(choice), std::move(client));
  added.hold(std::move(gate));
  added.send(StreamId::out, position->pending_out);
  added.send(StreamId::err, position->pending_err);
  added.begin();
  return *position;
}

void StreamHub::process_ended(milliseconds grace) {
  process_ended_ = true;
  stdin_.discard();
  if (sources_.empty()) return announce_drained();
  grace_timer_ = loop_.after(grace, [this, deadline = Clock::now() + log_patience] { end_grace(deadline); });
}

void StreamHub::end_grace(Clock::time_point log_deadline) {
  grace_timer_.reset();
  if (log_ != nullptr && !log_->has_room() && Clock::now() < log_deadline) {
    grace_timer_ = loop_.after(log_check_interval, [this, log_deadline] { end_grace(log_deadline); });
    return;
  }
  while (!sources_.empty()) {
    Source& source = *sources_.back();
    // What lay in the pipe while it was paused; its writers may go on for ever.
    for (std::size_t reads = 0; reads < last_reads && read_once(source) > 0; ++reads) continue;
    end_source(source);
  }
}

void StreamHub::close_clients() {
  closing_ = true;
  for (std::size_t i = 0; i < clients_.size(); ++i) clients_[i].client->close_when_flushed();
  drop_closed_clients();
  update_output_flow();
}

void StreamHub::add_source(UniqueFd fd, StreamId stream) {
  sources_.push_back(std::make_unique<Source>(*this, std::move(fd), stream));
}

/// What read(2) gave; what came is delivered.
ssize_t StreamHub::read_once(Source& source) {
  const std::span<char> buffer = loop_.scratch();
  const ssize_t got = retry_on_eintr([&] { return ::read(source.fd(), buffer.data(), buffer.size()); });
  const int error = errno;
  if (got > 0) deliver(source.stream(), {buffer.data(), static_cast<std::size_t>(got)});
  errno = error;
  return got;
}

void StreamHub::read_source(Source& source) {
  const ssize_t got = read_once(source);
  if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))) return;
  end_source(source);  // EOF, or EIO: the last slave of a pty was closed
}

void StreamHub::end_source(Source& source) {
  if (log_ != nullptr) log_->finish(source.stream());
  std::erase_if(sources_, [&](const auto& one) { return one.get() == &source; });
  if (sources_.empty()) announce_drained();
}

void StreamHub::announce_drained() {
  if (!process_ended_ || std::exchange(drained_announced_, true)) return;
  if (grace_timer_) loop_.cancel(*grace_timer_);
  grace_timer_.reset();
  loop_.defer([this, alive = alive_] {
    if (*alive) listener_.on_drained();
  });
}

void StreamHub::deliver(StreamId stream, std::string_view data) {
  if (log_ != nullptr) log_->write(stream, data);
  for (std::size_t i = 0; i < clients_.size(); ++i) clients_[i].client->send(stream, data);
  update_output_flow();
}

void StreamHub::update_input_flow() {
  const bool paused = !stdin_.has_room();
  for (const ClientSlot& slot : clients_) slot.client->set_input_paused(paused);
}

void StreamHub::update_output_flow() {
  std::uint64_t longest = 0;
  for (const ClientSlot& slot : clients_) {
    if (!slot.client->closed()) longest = std::max(longest, slot.client->backlog_bytes());
  }
  const std::uint64_t limit = output_paused_ ? options_.backlog_limit_bytes / 2 : options_.backlog_limit_bytes;
  const bool paused = longest > limit || (log_ != nullptr && !log_->has_room());
  if (paused != output_paused_) {
    output_paused_ = paused;
    for (const auto& source : sources_) source->set_paused(paused);
  }
  if (longest > 0 && !stall_timer_) {
    stall_timer_ = loop_.after(stall_check_interval, [this] { check_stalled(); });
  }
}

void StreamHub::check_stalled() {
  stall_timer_.reset();
  const Clock::time_point moment = Clock::now();
  for (std::size_t i = 0; i < clients_.size(); ++i) {
    ClientSlot& slot = clients_[i];
    if (slot.client->sent_bytes() != slot.sent_before || slot.client->backlog_bytes() == 0) {
      slot.sent_before = slot.client->sent_bytes();
      slot.progress_at = moment;
    }
    const bool blocks = slot.client->backlog_bytes() > options_.backlog_limit_bytes / 2 && output_paused_;
    const milliseconds limit = blocks ? options_.stall_limit : flush_stall_limit;
    if ((blocks || closing_) && moment - slot.progress_at >= limit) {
      log::warn("client dropped: it takes no output",
                {{"session", slot.client->session_id()}, {"backlog_bytes", slot.client->backlog_bytes()}});
      slot.client->drop();
    }
  }
  update_output_flow();
}

void StreamHub::drop_closed_clients() {
  loop_.defer([this, alive = alive_] {
    if (!*alive) return;
    std::erase_if(clients_, [](const ClientSlot& slot) { return slot.client->closed(); });
    update_output_flow();
    if (closing_ && clients_.empty()) listener_.on_clients_gone();
  });
}

void StreamHub::on_input(AttachClient&, std::string_view data) {
  if (!options_.open_stdin) return;
  stdin_.write(data);
  update_input_flow();
}

void StreamHub::on_input_end(AttachClient& client) {
  if (!options_.open_stdin) return;
  if (options_.stdin_once && !options_.tty) {
    stdin_.end();
  } else {
    client.close_when_flushed();  // Docker quirk (moby, container/stream/attach.go): the session ends with its input
  }
}

void StreamHub::on_end(AttachClient& client, AttachClient::End end) {
  if (end == AttachClient::End::detached) {
    listener_.on_detached(client.session_id());
  } else if (client.has_stdin() && options_.open_stdin && options_.stdin_once && !options_.tty) {
    stdin_.end();
  }
  listener_.on_client_closed(client.session_id());
  drop_closed_clients();
}

}  // namespace mydocker::shim
