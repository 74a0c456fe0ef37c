#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/unique_fd.h"
#include "network/ipam.h"
#include "network/records.h"

/// Which host ports are taken, by us and by other programs. The truth about ours is in the database; this is its
/// mirror.
namespace mydocker::network {

/// A port that was chosen, with the bound socket that keeps other programs off it (empty where the kernel has no such
/// protocol).
struct ReservedPort {
  PortBinding binding;
  UniqueFd holder;
};

/// Not thread-safe: guarded by the lock of its owner. Binds in the namespace of the calling thread.
class PortAllocator {
 public:
  /// Picks a free port for the request and takes it. `host_ip` stands in where the request has none.
  /// Throws Error{internal} "Bind for 0.0.0.0:8080 failed: port is already allocated", Error{invalid_argument}.
  ReservedPort reserve(const PortRequest& request, const std::string& host_ip, Ipv4Address container_ip);
  /// One that the database names: taken without a socket, for its holder lives in a shim.
  void adopt(const PortBinding& binding);
  void release(const PortBinding& binding);

 private:
  bool is_taken(const std::string& protocol, Ipv4Address host_ip, std::uint16_t port) const;
  ReservedPort reserve_ephemeral(const PortRequest& request, Ipv4Address host_ip);

  /// (protocol, port) -> host addresses. 0.0.0.0 excludes all others.
  std::map<std::pair<std::string, std::uint16_t>, std::vector<Ipv4Address>> taken_;
  std::uint32_t next_ephemeral_ = 0;
};

/// A socket bound to the port, but not listening: what reaches it is refused. Empty for a protocol that the kernel
/// lacks. Throws Error{internal} with errno EADDRINUSE, EADDRNOTAVAIL, ...
UniqueFd hold_port(const std::string& protocol, Ipv4Address host_ip, std::uint16_t port);

}  // namespace mydocker::network
