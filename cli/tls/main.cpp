// mydocker-tls HOST verify|trust CA CERTIFICATE KEY: descriptor 0 is a connected socket, 1 the plain end of a pair, 2 a
// pipe that gets the reason of a failed handshake, and is closed after a good one. Then bytes are carried until both
// directions have ended, or the plain end's owner is gone.
#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "engine/base/error.h"
#include "engine/base/sys.h"

namespace mydocker::tls {
namespace {

constexpr int wire = 0;
constexpr int plain = 1;
constexpr int status = 2;
constexpr std::size_t buffer_size = std::size_t{16} << 10;  // one TLS record
constexpr long handshake_seconds = 10;

struct Deleter {
  void operator()(SSL_CTX* context) const { ::SSL_CTX_free(context); }
  void operator()(SSL* session) const { ::SSL_free(session); }
};
using Context = std::unique_ptr<SSL_CTX, Deleter>;
using Session = std::unique_ptr<SSL, Deleter>;

struct Settings {
  std::string host;
  bool verify = false;
  std::string ca;
  std::string certificate;
  std::string key;
};

std::string last_error() {
  const unsigned long code = ::ERR_get_error();
  const char* reason = code == 0 ? nullptr : ::ERR_reason_error_string(code);
  return reason == nullptr ? "the connection ended" : reason;
}

[[noreturn]] void fail(std::string_view what, const std::string& name) {
  throw Error(ErrorKind::unavailable, concat(what, name.empty() ? "" : " ", name, ": ", last_error()));
}

Context make_context(const Settings& settings) {
  Context context(::SSL_CTX_new(::TLS_client_method()));
  if (!context) fail("TLS", "");
  ::SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  ::SSL_CTX_set_options(context.get(), SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
  ::SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (!settings.certificate.empty()) {
    if (::SSL_CTX_use_certificate_chain_file(context.get(), settings.certificate.c_str()) != 1) {
      fail("TLS certificate", settings.certificate);
    }
    if (::SSL_CTX_use_PrivateKey_file(context.get(), settings.key.c_str(), SSL_FILETYPE_PEM) != 1 ||
        ::SSL_CTX_check_private_key(context.get()) != 1) {
      fail("TLS key", settings.key);
    }
  }
  if (!settings.verify) return context;
  if (::SSL_CTX_load_verify_locations(context.get(), settings.ca.c_str(), nullptr) != 1) {
    fail("TLS authority", settings.ca);
  }
  ::SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  return context;
}

/// The certificate has to name the host: an address as such, anything else as a DNS name.
void expect_host(SSL* session, const Settings& settings) {
  std::array<unsigned char, 16> bytes{};
  const bool is_address = ::inet_pton(AF_INET, settings.host.c_str(), bytes.data()) == 1 ||
                          ::inet_pton(AF_INET6, settings.host.c_str(), bytes.data()) == 1;
  if (!is_address) ::SSL_set_tlsext_host_name(session, settings.host.c_str());
  if (!settings.verify) return;
  const int good = is_address ? ::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(session), settings.host.c_str())
                              : ::SSL_set1_host(session, settings.host.c_str());
  if (good != 1) fail("TLS host", settings.host);
}

void shake_hands(SSL* session, const Settings& settings) {
  const timeval limit{.tv_sec = handshake_seconds, .tv_usec = 0};
  ::setsockopt(wire, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  expect_host(session, settings);
  if (::SSL_set_fd(session, wire) != 1) fail("TLS", "");
  if (::SSL_connect(session) == 1) return;
  const long verdict = ::SSL_get_verify_result(session);
  if (settings.verify && verdict != X509_V_OK) {
    throw Error(ErrorKind::unavailable,
                concat("TLS: failed to verify the certificate: ", ::X509_verify_cert_error_string(verdict)));
  }
  fail("TLS handshake", "");
}

/// Bytes on their way in one direction.
struct Buffer {
  std::array<char, buffer_size> bytes{};
  std::size_t begin = 0;
  std::size_t end = 0;
  bool closed = false;  ///< no more will come

  bool empty() const { return begin == end; }
  std::size_t size() const { return end - begin; }
  void fill(std::size_t count) {
    begin = 0;
    end = count;
  }
};

class Carrier {
 public:
  explicit Carrier(SSL* session) : session_(session) {
    set_nonblocking(wire);
    set_nonblocking(plain);
  }

  void run() {
    for (;;) {
      wire_events_ = 0;
      move_in();
      move_out();
      if (in_.closed && in_.empty()) return;  // the engine has ended its side: nobody answers any more
      if (!wait()) return;
    }
  }

 private:
  /// What OpenSSL waits for.
  void need(int result) {
    switch (::SSL_get_error(session_, result)) {
      case SSL_ERROR_WANT_READ:
        wire_events_ |= POLLIN;
        break;
      case SSL_ERROR_WANT_WRITE:
        wire_events_ |= POLLOUT;
        break;
      default:
        in_.closed = true;
        out_.closed = true;
        out_.fill(0);
    }
  }

  /// Engine to client.
  void move_in() {
    for (;;) {
      while (!in_.empty()) {
        const ssize_t sent = ::send(plain, in_.bytes.data() + in_.begin, in_.size(), MSG_NOSIGNAL);
        if (sent < 0) return;
        in_.begin += static_cast<std::size_t>(sent);
      }
      if (in_.closed) return;
      ::ERR_clear_error();
      const int got = ::SSL_read(session_, in_.bytes.data(), static_cast<int>(buffer_size));
      if (got <= 0) return need(got);
      in_.fill(static_cast<std::size_t>(got));
    }
  }

  /// Client to engine.
  void move_out() {
    for (;;) {
      while (!out_.empty()) {
        ::ERR_clear_error();
        const int sent = ::SSL_write(session_, out_.bytes.data() + out_.begin, static_cast<int>(out_.size()));
        if (sent <= 0) return need(sent);
        out_.begin += static_cast<std::size_t>(sent);
      }
      if (out_.closed) return close_half();
      const ssize_t got = ::recv(plain, out_.bytes.data(), buffer_size, 0);
      if (got < 0) return;
      out_.fill(static_cast<std::size_t>(got));
      if (got > 0) continue;
      out_.closed = true;
    }
  }

  /// Behind all that was written; a full socket takes it later.
  void close_half() {
    if (half_closed_ || in_.closed) return;
    ::ERR_clear_error();
    const int done = ::SSL_shutdown(session_);
    if (done < 0) return need(done);
    half_closed_ = true;
  }

  /// false: the plain end's owner is gone, and with it the reason to go on.
  bool wait() {
    short plain_events = 0;
    if (!in_.empty()) plain_events |= POLLOUT;
    if (out_.empty() && !out_.closed) plain_events |= POLLIN;
    pollfd both[] = {{.fd = wire, .events = wire_events_, .revents = 0},
                     {.fd = plain, .events = plain_events, .revents = 0}};
    if (retry_on_eintr([&] { return ::poll(both, 2, -1); }) < 0) throw sys_error("poll");
    return (both[1].revents & (POLLHUP | POLLERR)) == 0 || (both[1].revents & POLLIN) != 0;
  }

  SSL* session_;
  Buffer in_;
  Buffer out_;
  bool half_closed_ = false;
  short wire_events_ = 0;
};

int run(const Settings& settings) {
  const Context context = make_context(settings);
  const Session session(::SSL_new(context.get()));
  if (!session) fail("TLS", "");
  shake_hands(session.get(), settings);
  const UniqueFd nothing = open_file("/dev/null", O_WRONLY);
  ::dup2(nothing.get(), status);
  Carrier(session.get()).run();
  ::ERR_clear_error();
  ::SSL_shutdown(session.get());
  return 0;
}

}  // namespace
}  // namespace mydocker::tls

int main(int argc, char** argv) {
  using mydocker::tls::Settings;
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGINT, SIG_IGN);  // the terminal's keys are the client's
  if (argc != 6) return 2;
  try {
    return mydocker::tls::run(Settings{.host = argv[1],
                                       .verify = std::string_view(argv[2]) == "verify",
                                       .ca = argv[3],
                                       .certificate = argv[4],
                                       .key = argv[5]});
  } catch (const mydocker::Error& error) {
    const std::string& text = error.message();
    (void)!::write(mydocker::tls::status, text.data(), text.size());
    return 1;
  }
}
