#include "runtime/shim/attach_client.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <span>

#include "engine/base/log.h"
#include "engine/base/sys.h"

namespace mydocker::shim {
namespace {

using runtime::StreamId;

/// sendmsg(2) of two pieces; 0 when the socket takes nothing now, -1 when the peer is gone.
ssize_t send_pieces(int socket, std::string_view first, std::string_view second) {
  std::array<iovec, 2> parts{iovec{const_cast<char*>(first.data()), first.size()},
                             iovec{const_cast<char*>(second.data()), second.size()}};  // sendmsg(2) does not write
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  const ssize_t done = retry_on_eintr([&] { return ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL); });
  if (done < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return 0;
  return done;
}

}  // namespace

AttachClient::Gate::Gate(AttachClient& client, UniqueFd fd) : client_(client), fd_(std::move(fd)) {
  set_nonblocking(fd_.get());
  client_.loop_.watch(fd_.get(), EPOLLIN, *this);
}

void AttachClient::Gate::close() noexcept {
  if (fd_) client_.loop_.forget(fd_.get());
  fd_.reset();
}

void AttachClient::Gate::on_ready(std::uint32_t) {
  std::array<char, 256> words;
  for (;;) {
    const ssize_t got = retry_on_eintr([&] { return ::read(fd_.get(), words.data(), words.size()); });
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (got <= 0) return client_.drop();  // who would have released it is gone: what it wrote may end anywhere
    client_.sent_bytes_ += static_cast<std::uint64_t>(got);
    const std::string_view said(words.data(), static_cast<std::size_t>(got));
    if (said.find(runtime::attach_gate_release) != std::string_view::npos) return client_.release();
  }
}

AttachClient::AttachClient(EventLoop& loop, Owner& owner, runtime::StreamChoice choice, UniqueFd client,
                           bool scan_detach_keys, std::string backlog_directory)
    : loop_(loop),
      owner_(owner),
      choice_(std::move(choice)),
      socket_(std::move(client)),
      detach_keys_(scan_detach_keys && choice_.stdin_ ? std::move(choice_.detach_keys) : std::string()),
      backlog_(std::move(backlog_directory)) {
  interest_ = choice_.stdin_ ? EPOLLIN : 0;
  loop_.watch(socket_.get(), interest_, *this);
}

AttachClient::~AttachClient() {
  if (socket_) loop_.forget(socket_.get());
}

void AttachClient::hold(UniqueFd gate) { gate_ = std::make_unique<Gate>(*this, std::move(gate)); }

void AttachClient::release() {
  released_ = true;
  gate_->close();
  if (backlog_.empty() && closing_) return close(closing_end_);
  update_interest();
}

void AttachClient::begin() {
  const std::string input = std::exchange(choice_.pending_input, {});
  if (choice_.stdin_ && !input.empty()) take_input(input);
}

void AttachClient::send(StreamId stream, std::string_view data) {
  if (closed() || closing_ || data.empty()) return;
  if (stream == StreamId::out ? !choice_.stdout_ : !choice_.stderr_) return;
  if (!choice_.framed) return send_now({}, data);
  const runtime::FrameHeader header = runtime::make_frame_header(stream, data.size());
  send_now({reinterpret_cast<const char*>(header.bytes), sizeof header.bytes}, data);
}

void AttachClient::send_now(std::string_view header, std::string_view data) {
  if (backlog_.empty() && !held()) {
    const ssize_t done = send_pieces(socket_.get(), header, data);
    if (done < 0) return close(End::lost);
    const auto count = static_cast<std::size_t>(done);
    sent_bytes_ += count;
    const std::size_t of_header = std::min(count, header.size());
    header.remove_prefix(of_header);
    data.remove_prefix(count - of_header);
  }
  if (data.empty() && header.empty()) return;
  try {
    if (!header.empty()) backlog_.append(header);
    backlog_.append(data);
  } catch (const Error& error) {
    log::warn("client dropped", {{"session", choice_.session_id}, {"error", error.message()}});
    return close(End::lost);
  }
  update_interest();
}

void AttachClient::set_input_paused(bool paused) {
  if (closed() || input_paused_ == paused) return;
  input_paused_ = paused;
  update_interest();
}

void AttachClient::close_when_flushed(End end) {
  if (closed() || closing_) return;
  if (backlog_.empty() && !held()) return close(end);
  closing_ = true;
  closing_end_ = end;
  update_interest();
}

void AttachClient::drop() {
  if (!closed()) close(End::lost);
}

void AttachClient::on_ready(std::uint32_t events) {
  if ((events & EPOLLOUT) != 0) flush_backlog();
  if (!closed() && (events & EPOLLIN) != 0) read_input();
  if (closed() || (events & (EPOLLHUP | EPOLLERR)) == 0) return;
  // Both directions are closed: what the client had written before still counts (`echo x | nc -U`).
  while (!closed() && choice_.stdin_ && !input_ended_ && !closing_ && read_input()) {
  }
  if (!closed()) close(End::lost);
}

void AttachClient::flush_backlog() {
  try {
    while (!backlog_.empty()) {
      const ssize_t done = send_pieces(socket_.get(), {}, backlog_.front());
      if (done < 0) return close(End::lost);
      if (done == 0) break;
      sent_bytes_ += static_cast<std::size_t>(done);
      backlog_.consume(static_cast<std::size_t>(done));
    }
  } catch (const Error& error) {
    log::warn("client dropped", {{"session", choice_.session_id}, {"error", error.message()}});
    return close(End::lost);
  }
  if (backlog_.empty() && closing_) return close(closing_end_);
  update_interest();
}

/// false: there is nothing to read now.
bool AttachClient::read_input() {
  const std::span<char> buffer = loop_.scratch();
  const ssize_t got = retry_on_eintr([&] { return ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT); });
  if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
  if (got > 0) {
    take_input({buffer.data(), static_cast<std::size_t>(got)});
    return true;
  }
  input_ended_ = true;
  const std::string withheld = detach_keys_.take_withheld();
  if (!withheld.empty()) owner_.on_input(*this, withheld);
  if (closed()) return true;
  update_interest();
  owner_.on_input_end(*this);
  return true;
}

void AttachClient::take_input(std::string_view data) {
  std::string passed;
  const DetachKeys::Result result = detach_keys_.feed(data, passed);
  if (!passed.empty()) owner_.on_input(*this, passed);
  if (result == DetachKeys::Result::detached) close_when_flushed(End::detached);
}

void AttachClient::update_interest() {
  std::uint32_t wanted = 0;
  if (choice_.stdin_ && !input_paused_ && !input_ended_ && !closing_) wanted |= EPOLLIN;
  if (!backlog_.empty() && !held()) wanted |= EPOLLOUT;
  if (wanted != interest_) loop_.change(socket_.get(), wanted, *this);
  interest_ = wanted;
}

void AttachClient::close(End end) {
  if (gate_) gate_->close();
  loop_.forget(socket_.get());
  // The engine may still hold a copy of the descriptor: only shutdown ends the connection for certain. Input that
  // nobody reads would turn the peer's end-of-file into ECONNRESET (unix(7)), so it is emptied first.
  ::shutdown(socket_.get(), SHUT_RDWR);
  std::array<char, 4096> rest;
  while (::recv(socket_.get(), rest.data(), rest.size(), MSG_DONTWAIT) > 0) {
  }
  socket_.reset();
  owner_.on_end(*this, end);
}

}  // namespace mydocker::shim
