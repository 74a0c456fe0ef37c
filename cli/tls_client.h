#pragma once

#include <string>

#include "engine/base/unique_fd.h"

/// TLS to an engine behind TCP. It is the work of a program of its own, mydocker-tls: the client's start costs a
/// millisecond, of which a linked TLS library would take a good part from every command.
namespace mydocker::cli {

struct TlsSettings {
  bool verify = false;  ///< the engine shows a certificate of `ca` for the host's name
  std::string ca;       ///< PEM files; "" = none
  std::string certificate;
  std::string key;
};

/// Shakes hands on a connected socket and gives the plain end of a pair in its place; half-closes pass through in both
/// directions. Throws Error{unavailable} with the reason when the handshake fails. Blocks for ten seconds at most.
UniqueFd begin_tls(UniqueFd socket, const std::string& host, const TlsSettings& settings);

}  // namespace mydocker::cli
