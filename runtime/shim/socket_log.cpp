#include "runtime/shim/socket_log.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstring>

#include "engine/base/log.h"
#include "engine/base/sys.h"
#include "engine/base/time.h"
#include "runtime/shim/log_message.h"

namespace mydocker::shim {
namespace {

using runtime::StreamId;
using std::chrono::milliseconds;

constexpr std::size_t blocking_limit_bytes = std::size_t{256} << 10;
constexpr milliseconds reconnect_delay(1000);
constexpr int connect_timeout_ms = 10'000;
constexpr milliseconds close_limit(2000);
constexpr milliseconds blocking_close_limit(10'000);  ///< nothing is to be lost; Docker waits as long
constexpr const char* journal_socket = "/run/systemd/journal/socket";
constexpr const char* local_syslogs[] = {"/dev/log", "/var/run/syslog", "/var/run/log"};

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
  int type = SOCK_STREAM;
};

[[noreturn]] void fail(const std::string& what, int errno_value) {
  throw Error(ErrorKind::unavailable,
              concat("failed to initialize logging driver: ", what, ": ", errno_text(errno_value)), errno_value);
}

Address make_unix_address(const std::string& path, int type) {
  Address out;
  auto* address = reinterpret_cast<sockaddr_un*>(&out.storage);
  if (path.size() >= sizeof address->sun_path) fail("dial unix " + path, ENAMETOOLONG);
  address->sun_family = AF_UNIX;
  std::memcpy(address->sun_path, path.c_str(), path.size() + 1);
  out.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  out.type = type;
  return out;
}

/// "10.0.0.1:514" or "[::1]:514".
Address make_inet_address(const std::string& text, int type) {
  Address out;
  out.type = type;
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) fail("dial " + text, EINVAL);
  std::string host = text.substr(0, colon);
  std::uint16_t port = 0;
  std::from_chars(text.data() + colon + 1, text.data() + text.size(), port);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    auto* address = reinterpret_cast<sockaddr_in6*>(&out.storage);
    address->sin6_family = AF_INET6;
    address->sin6_port = htons(port);
    out.length = sizeof *address;
    if (::inet_pton(AF_INET6, host.c_str(), &address->sin6_addr) != 1) fail("dial " + text, EINVAL);
  } else {
    auto* address = reinterpret_cast<sockaddr_in*>(&out.storage);
    address->sin_family = AF_INET;
    address->sin_port = htons(port);
    out.length = sizeof *address;
    if (::inet_pton(AF_INET, host.c_str(), &address->sin_addr) != 1) fail("dial " + text, EINVAL);
  }
  return out;
}

/// A connected, non-blocking socket; an empty handle with `errno` in `reason`.
UniqueFd connect_to(const Address& address, int& reason) {
  const auto* target = reinterpret_cast<const sockaddr*>(&address.storage);
  UniqueFd socket(::socket(target->sa_family, address.type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) throw sys_error("socket");
  reason = 0;
  if (::connect(socket.get(), target, address.length) == 0) return socket;
  reason = errno;
  if (reason != EINPROGRESS) return {};
  pollfd wait{.fd = socket.get(), .events = POLLOUT, .revents = 0};
  if (::poll(&wait, 1, connect_timeout_ms) != 1) {
    reason = ETIMEDOUT;
    return {};
  }
  socklen_t length = sizeof reason;
  ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &reason, &length);
  return reason == 0 ? std::move(socket) : UniqueFd();
}

UniqueFd connect_local_syslog(bool& datagrams) {
  int reason = ENOENT;
  for (const int type : {SOCK_DGRAM, SOCK_STREAM}) {
    for (const char* path : local_syslogs) {
      UniqueFd socket = connect_to(make_unix_address(path, type), reason);
      datagrams = type == SOCK_DGRAM;
      if (socket) return socket;
    }
  }
  fail("Unix syslog delivery error", reason);
}

}  // namespace

SocketLog::SocketLog(EventLoop& loop, runtime::LogOptions options, std::function<void()> on_room)
    : loop_(loop), options_(std::move(options)), on_room_(std::move(on_room)) {
  connect();
}

SocketLog::~SocketLog() {
  watch_room(false);
  if (reconnect_timer_) loop_.cancel(*reconnect_timer_);
}

void SocketLog::connect() {
  int reason = 0;
  if (options_.driver == "journald") {
    if (::access(journal_socket, F_OK) != 0) {
      throw Error(ErrorKind::unavailable, "failed to initialize logging driver: journald is not enabled on this host");
    }
    socket_ = connect_to(make_unix_address(journal_socket, SOCK_DGRAM), reason);
    if (!socket_) fail("journald", reason);
    return;
  }
  const runtime::SyslogOptions& syslog = options_.syslog.value();
  if (syslog.transport.empty()) {
    socket_ = connect_local_syslog(datagrams_);
    return;
  }
  const bool is_unix = syslog.transport.starts_with("unix");
  datagrams_ = syslog.transport == "udp" || syslog.transport == "unixgram";
  const int type = datagrams_ ? SOCK_DGRAM : SOCK_STREAM;
  socket_ =
      connect_to(is_unix ? make_unix_address(syslog.address, type) : make_inet_address(syslog.address, type), reason);
  if (!socket_) fail(concat("dial ", syslog.transport, " ", syslog.address), reason);
}

bool SocketLog::has_room() const noexcept { return options_.buffer_bytes > 0 || queued_bytes_ < blocking_limit_bytes; }

void SocketLog::write(StreamId stream, std::string_view data) {
  cutter_.write(stream, data, [this](StreamId from, std::string_view text) { add(from, text); });
  send_queue();
}

void SocketLog::finish(StreamId stream) {
  cutter_.finish(stream, [this](StreamId from, std::string_view text) { add(from, text); });
  send_queue();
}

void SocketLog::add(StreamId stream, std::string_view text) {
  std::string message =
      options_.driver == "journald"
          ? make_journal_entry(options_, stream, text)
          : make_syslog_message(*options_.syslog,
                                options_.syslog->transport.find("unix") == 0 || options_.syslog->transport.empty(),
                                stream, text, now());
  const auto limit = static_cast<std::size_t>(options_.buffer_bytes);
  if (limit > 0 && queued_bytes_ + message.size() > limit) {
    if (lost_++ == 0) log::warn("log messages are lost: the server does not keep up");
    return;
  }
  queued_bytes_ += message.size();
  queue_.push_back(std::move(message));
}

/// false: the server takes no more for now.
bool SocketLog::send_front() {
  const std::string& message = queue_.front();
  while (front_sent_ < message.size()) {
    const ssize_t sent = retry_on_eintr([&] {
      return ::send(socket_.get(), message.data() + front_sent_, message.size() - front_sent_,
                    MSG_NOSIGNAL | MSG_DONTWAIT);
    });
    if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)) return false;
    if (sent < 0 && datagrams_ && (errno == EMSGSIZE || errno == ECONNREFUSED)) break;  // this one is lost, as over udp
    if (sent < 0) {
      disconnect(errno);
      return false;
    }
    front_sent_ += static_cast<std::size_t>(sent);
  }
  queued_bytes_ -= message.size();
  front_sent_ = 0;
  queue_.pop_front();
  return true;
}

void SocketLog::send_queue() {
  while (socket_ && !queue_.empty() && send_front()) {
  }
  if (queue_.empty() && lost_ > 0) {
    log::warn("the log server keeps up again", {{"lost_messages", lost_}});
    lost_ = 0;
  }
  watch_room(socket_ && !queue_.empty());
  tell_room();
}

void SocketLog::disconnect(int reason) {
  watch_room(false);
  socket_.reset();
  front_sent_ = 0;
  log::warn("the log server is gone", {{"error", errno_text(reason)}});
  if (reconnect_timer_) return;
  reconnect_timer_ = loop_.after(reconnect_delay, [this] {
    reconnect_timer_.reset();
    try {
      connect();
      send_queue();
    } catch (const Error& error) {
      disconnect(error.errno_value());
    }
  });
}

void SocketLog::on_ready(std::uint32_t) { send_queue(); }

void SocketLog::watch_room(bool wanted) {
  if (wanted == watched_) return;
  if (wanted) {
    loop_.watch(socket_.get(), EPOLLOUT, *this);
  } else {
    loop_.forget(socket_.get());
  }
  watched_ = wanted;
}

void SocketLog::tell_room() {
  const bool full = !has_room();
  if (was_full_ && !full && queued_bytes_ > blocking_limit_bytes / 2) return;  // not for each message
  if (std::exchange(was_full_, full) && !full) on_room_();
}

void SocketLog::close() {
  const auto end = std::chrono::steady_clock::now() + (options_.buffer_bytes > 0 ? close_limit : blocking_close_limit);
  while (socket_ && !queue_.empty() && std::chrono::steady_clock::now() < end) {
    pollfd wait{.fd = socket_.get(), .events = POLLOUT, .revents = 0};
    ::poll(&wait, 1, 100);
    send_queue();
  }
  if (!queue_.empty()) log::warn("log messages are lost at the end", {{"messages", queue_.size()}});
}

}  // namespace mydocker::shim
