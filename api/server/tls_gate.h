#pragma once

#include <functional>
#include <memory>
#include <string>

#include "engine/base/unique_fd.h"

namespace mydocker::api {

/// PEM files of a listener with mutual TLS.
struct TlsFiles {
  std::string ca;           ///< who signs the clients' certificates
  std::string certificate;  ///< ours, with its chain
  std::string key;
};

/// The gate of remote clients: TCP with mutual TLS, 1.2 or newer (SECURITY R15). It accepts, shakes hands and then
/// carries plain bytes between the client and one end of a socket pair; the other end is served like any local client,
/// so that a hijacked stream can go to a shim here, too. What is not a client with a certificate of our authority never
/// gets that far. All of it happens on a thread of the gate's own: neither a handshake nor the encryption delays the
/// engine. A client's half-close (close_notify) arrives as a half-close, its disappearance as a disappearance.
class TlsGate {
 public:
  /// Called on the gate's thread with the plain end of a client that has shown its certificate.
  using Deliver = std::function<void(UniqueFd plain)>;

  /// Throws Error{invalid_argument} that names the file which is missing, unreadable or no match.
  TlsGate(const TlsFiles& files, Deliver deliver);
  ~TlsGate();
  TlsGate(const TlsGate&) = delete;
  TlsGate& operator=(const TlsGate&) = delete;

  /// Accepts on a listening TCP socket from now on. Any thread.
  void listen(UniqueFd socket);
  /// Reads the files again, for handshakes from now on; throws as the constructor and leaves all as it was.
  void reload();
  /// Closes the listening sockets; sessions go on.
  void refuse_new();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// A listening TCP socket for "host:port", "[::1]:port", ":port" or a host alone (port 2376). Numeric addresses and
/// names of /etc/hosts. Throws Error{invalid_argument}, Error{conflict} when the port is taken. Blocks briefly.
UniqueFd listen_on_tcp(const std::string& address);

}  // namespace mydocker::api
