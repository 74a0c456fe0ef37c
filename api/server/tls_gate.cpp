#include "api/server/tls_gate.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <sys/socket.h>

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <list>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/log.h"
#include "engine/base/sys.h"

namespace mydocker::api {
namespace {

namespace asio = boost::asio;
using asio::awaitable;
using boost::system::error_code;
using Descriptor = asio::posix::stream_descriptor;

constexpr std::size_t buffer_size = std::size_t{16} << 10;  // one TLS record
constexpr std::chrono::seconds handshake_patience{10};
constexpr std::chrono::seconds goodbye_patience{5};
constexpr std::size_t most_sessions = 1024;
constexpr std::size_t most_handshakes = 64;
constexpr const char* default_port = "2376";

struct ContextDeleter {
  void operator()(SSL_CTX* context) const { ::SSL_CTX_free(context); }
};
struct SessionDeleter {
  void operator()(SSL* session) const { ::SSL_free(session); }
};
using Context = std::unique_ptr<SSL_CTX, ContextDeleter>;

std::string last_tls_error() {
  const unsigned long code = ::ERR_get_error();
  ::ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ::ERR_reason_error_string(code);
  return reason == nullptr ? "unknown reason" : reason;
}

[[noreturn]] void refuse_file(std::string_view what, const std::string& path) {
  throw Error(ErrorKind::invalid_argument, concat(what, " ", path, ": ", last_tls_error()));
}

Context make_context(const TlsFiles& files) {
  Context context(::SSL_CTX_new(::TLS_server_method()));
  if (!context) throw Error(ErrorKind::internal, "SSL_CTX_new: " + last_tls_error());
  SSL_CTX* raw = context.get();
  ::SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  ::SSL_CTX_set_options(raw, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
  ::SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  ::SSL_CTX_set_num_tickets(raw, 0);
  ::SSL_CTX_set_mode(raw,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  if (::SSL_CTX_use_certificate_chain_file(raw, files.certificate.c_str()) != 1) {
    refuse_file("TLS certificate", files.certificate);
  }
  if (::SSL_CTX_use_PrivateKey_file(raw, files.key.c_str(), SSL_FILETYPE_PEM) != 1) refuse_file("TLS key", files.key);
  if (::SSL_CTX_check_private_key(raw) != 1) refuse_file("TLS key", files.key);
  if (::SSL_CTX_load_verify_locations(raw, files.ca.c_str(), nullptr) != 1) refuse_file("TLS authority", files.ca);
  STACK_OF(X509_NAME)* names = ::SSL_load_client_CA_file(files.ca.c_str());
  if (names == nullptr) refuse_file("TLS authority", files.ca);
  ::SSL_CTX_set_client_CA_list(raw, names);
  ::SSL_CTX_set_verify(raw, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return context;
}

std::shared_ptr<SSL_CTX> make_shared_context(const TlsFiles& files) {
  Context made = make_context(files);
  return {made.release(), ContextDeleter()};
}

std::string subject_of(SSL* session) {
  X509* certificate = ::SSL_get1_peer_certificate(session);
  if (certificate == nullptr) return "";
  char text[256] = "";
  ::X509_NAME_oneline(::X509_get_subject_name(certificate), text, sizeof text);
  ::X509_free(certificate);
  return text;
}

/// One client: its encrypted socket and our end of the plain pair. Gate's thread only.
class TlsSession {
 public:
  TlsSession(asio::io_context& io, SSL_CTX* context, UniqueFd socket)
      : wire_(io, socket.get()), timer_(io), session_(::SSL_new(context)) {
    (void)socket.release();
    if (!session_ || ::SSL_set_fd(session_.get(), wire_.native_handle()) != 1) {
      throw Error(ErrorKind::internal, "SSL_new: " + last_tls_error());
    }
    ::SSL_set_accept_state(session_.get());
  }

  /// false: it showed no certificate of ours, or took too long.
  awaitable<bool> shake_hands() {
    limit(handshake_patience);
    bool good = false;
    for (;;) {
      ::ERR_clear_error();
      const int result = ::SSL_do_handshake(session_.get());
      good = result == 1;
      if (good || !co_await wait_for(::SSL_get_error(session_.get(), result))) break;
    }
    timer_.cancel();
    if (good) co_return true;
    log::info("a TLS client was refused", {{"reason", timed_out_ ? std::string("too slow") : last_tls_error()}});
    co_return false;
  }

  std::string subject() { return subject_of(session_.get()); }

  /// Carries bytes both ways until both directions have ended.
  awaitable<void> carry(UniqueFd plain) {
    using namespace asio::experimental::awaitable_operators;
    plain_.emplace(wire_.get_executor(), plain.release());
    co_await (receive() && send());
  }

 private:
  void limit(std::chrono::seconds patience) {
    timer_.expires_after(patience);
    timer_.async_wait([this](const error_code& error) {
      if (error) return;
      timed_out_ = true;
      error_code ignored;
      wire_.cancel(ignored);
    });
  }

  /// Waits for what OpenSSL needs; false: the session is over.
  awaitable<bool> wait_for(int need) {
    if (timed_out_ || (need != SSL_ERROR_WANT_READ && need != SSL_ERROR_WANT_WRITE)) co_return false;
    const auto what = need == SSL_ERROR_WANT_READ ? Descriptor::wait_read : Descriptor::wait_write;
    error_code error;
    co_await wire_.async_wait(what, asio::redirect_error(asio::use_awaitable, error));
    co_return !error;
  }

  /// Client to engine.
  awaitable<void> receive() {
    std::vector<char> buffer(buffer_size);
    bool half_closed = false;
    for (;;) {
      ::ERR_clear_error();
      const int count = ::SSL_read(session_.get(), buffer.data(), static_cast<int>(buffer.size()));
      if (count > 0) {
        error_code error;
        co_await asio::async_write(*plain_, asio::buffer(buffer.data(), static_cast<std::size_t>(count)),
                                   asio::redirect_error(asio::use_awaitable, error));
        if (error) break;
        continue;
      }
      const int need = ::SSL_get_error(session_.get(), count);
      half_closed = need == SSL_ERROR_ZERO_RETURN;
      if (!co_await wait_for(need)) break;
    }
    if (half_closed) {
      ::shutdown(plain_->native_handle(), SHUT_WR);
      co_await wait_for_end();
    }
    // Gone: whoever serves it must see that.
    ::shutdown(plain_->native_handle(), SHUT_RDWR);
  }

  /// After the client's goodbye: until it (or we) closes the connection.
  awaitable<void> wait_for_end() {
    char byte = 0;
    for (;;) {
      error_code error;
      co_await wire_.async_wait(Descriptor::wait_read, asio::redirect_error(asio::use_awaitable, error));
      if (error) co_return;
      const ssize_t count = ::recv(wire_.native_handle(), &byte, 1, MSG_DONTWAIT);
      if (count == 0 || (count < 0 && errno != EAGAIN)) co_return;
    }
  }

  /// Engine to client.
  awaitable<void> send() {
    std::vector<char> buffer(buffer_size);
    bool alive = true;
    while (alive) {
      error_code error;
      const std::size_t count =
          co_await plain_->async_read_some(asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, error));
      if (error || count == 0) break;
      for (std::size_t sent = 0; alive && sent < count;) {
        ::ERR_clear_error();
        const int result = ::SSL_write(session_.get(), buffer.data() + sent, static_cast<int>(count - sent));
        if (result > 0) {
          sent += static_cast<std::size_t>(result);
        } else {
          alive = co_await wait_for(::SSL_get_error(session_.get(), result));
        }
      }
    }
    ::ERR_clear_error();
    (void)::SSL_shutdown(session_.get());  // close_notify: the client can tell the end from a cut
    ::shutdown(wire_.native_handle(), SHUT_WR);
    limit(goodbye_patience);
  }

  Descriptor wire_;
  std::optional<Descriptor> plain_;
  asio::steady_timer timer_;
  std::unique_ptr<SSL, SessionDeleter> session_;
  bool timed_out_ = false;
};

}  // namespace

class TlsGate::Impl {
 public:
  Impl(const TlsFiles& files, Deliver deliver)
      : files_(files),
        context_(make_shared_context(files)),
        deliver_(std::move(deliver)),
        thread_([this] { io_.run(); }) {}

  ~Impl() {
    io_.stop();
    thread_.join();
  }

  void listen(UniqueFd socket) {
    set_nonblocking(socket.get());
    asio::post(io_, [this, fd = socket.release()] {
      listeners_.push_back(std::make_shared<Descriptor>(io_, fd));
      asio::co_spawn(io_, accept_loop(listeners_.back()), asio::detached);
    });
  }

  void reload() {
    std::shared_ptr<SSL_CTX> fresh = make_shared_context(files_);
    const std::scoped_lock lock(context_mutex_);
    context_ = std::move(fresh);
  }

  void refuse_new() {
    asio::post(io_, [this] {
      for (const auto& listener : listeners_) listener->close();
      listeners_.clear();
    });
  }

 private:
  std::shared_ptr<SSL_CTX> context() {
    const std::scoped_lock lock(context_mutex_);
    return context_;
  }

  awaitable<void> accept_loop(std::shared_ptr<Descriptor> listener) {
    for (;;) {
      error_code error;
      co_await listener->async_wait(Descriptor::wait_read, asio::redirect_error(asio::use_awaitable, error));
      if (error) co_return;
      UniqueFd client(::accept4(listener->native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (client && sessions_ < most_sessions && handshakes_ < most_handshakes) {
        asio::co_spawn(io_, serve(std::move(client)), asio::detached);
      } else if (!client && (errno == EMFILE || errno == ENFILE)) {
        asio::steady_timer pause(io_, std::chrono::milliseconds(100));
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
      }
    }
  }

  awaitable<void> serve(UniqueFd client) {
    const int on = 1;
    ::setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ::setsockopt(client.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    ++sessions_;
    try {
      const std::shared_ptr<SSL_CTX> current = context();
      TlsSession session(io_, current.get(), std::move(client));
      ++handshakes_;
      const bool known = co_await session.shake_hands();
      --handshakes_;
      if (known) {
        log::debug("a TLS client is served", {{"certificate", session.subject()}});
        auto [ours, given] = make_socket_pair(SOCK_STREAM);
        set_nonblocking(ours.get());
        deliver_(std::move(given));
        co_await session.carry(std::move(ours));
      }
    } catch (const std::exception& error) {
      log::warn("a TLS session failed", {{"error", error.what()}});
    }
    --sessions_;
  }

  const TlsFiles files_;
  std::mutex context_mutex_;
  std::shared_ptr<SSL_CTX> context_;
  Deliver deliver_;
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  std::list<std::shared_ptr<Descriptor>> listeners_;  ///< as all below: the gate's thread
  std::size_t sessions_ = 0;
  std::size_t handshakes_ = 0;
  std::thread thread_;  ///< last: it uses all of the above
};

TlsGate::TlsGate(const TlsFiles& files, Deliver deliver) : impl_(std::make_unique<Impl>(files, std::move(deliver))) {}
TlsGate::~TlsGate() = default;
void TlsGate::listen(UniqueFd socket) { impl_->listen(std::move(socket)); }
void TlsGate::reload() { impl_->reload(); }
void TlsGate::refuse_new() { impl_->refuse_new(); }

namespace {

struct HostAndPort {
  std::string host;
  std::string port;
};

HostAndPort split_address(const std::string& address) {
  const std::size_t bracket = address.rfind(']');
  const std::size_t colon = address.rfind(':');
  const bool has_port = colon != std::string::npos && (bracket == std::string::npos || colon > bracket);
  HostAndPort out{has_port ? address.substr(0, colon) : address, has_port ? address.substr(colon + 1) : default_port};
  if (out.host.starts_with('[') && out.host.ends_with(']')) out.host = out.host.substr(1, out.host.size() - 2);
  if (out.port.empty()) out.port = default_port;
  return out;
}

}  // namespace

UniqueFd listen_on_tcp(const std::string& address) {
  const auto [host, port] = split_address(address);
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int result = ::getaddrinfo(host.empty() ? nullptr : host.c_str(), port.c_str(), &hints, &found);
      result != 0) {
    throw Error(ErrorKind::invalid_argument, concat("listen tcp://", address, ": ", ::gai_strerror(result)));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  UniqueFd socket(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) throw sys_error("socket for tcp://", address);
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(socket.get(), found->ai_addr, found->ai_addrlen) != 0 || ::listen(socket.get(), SOMAXCONN) != 0) {
    const int number = errno;
    const ErrorKind kind = number == EADDRINUSE ? ErrorKind::conflict : ErrorKind::invalid_argument;
    throw Error(kind, concat("listen tcp://", address, ": ", errno_text(number)), number);
  }
  return socket;
}

}  // namespace mydocker::api
