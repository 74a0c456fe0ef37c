#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/netlink.h"
#include "network/ipam.h"

/// Bridges of networks and the kernel switches around them. All functions act on the namespace of the calling thread,
/// and block on the kernel only.
namespace mydocker::network {

struct BridgeOptions {
  std::string name;
  Ipv4Network address;  ///< of the host on the bridge: the gateway with the prefix length
  std::uint32_t mtu = 1500;
  bool internal = false;
};

/// The bridge is there, has its address and no other, is up, forwards by its own switch, accepts loopback routes (the
/// rule set drops what comes from outside to 127/8) and has no IPv6. Idempotent; what is right already is left alone.
/// Its index. Throws Error{conflict} when a link of that name is no bridge, Error{internal}.
int ensure_bridge(NetlinkSocket& socket, const BridgeOptions& options);

/// net.bridge.bridge-nf-call-iptables: frames between ports of a bridge pass the rules for routed packets, too.
bool bridged_frames_are_filtered();

/// Interfaces with an IPv4 address that do not forward, without lo and `ours`. Empty when the host forwards everywhere.
std::vector<std::string> find_non_forwarding(NetlinkSocket& socket, const std::vector<std::string>& ours);
/// net.ipv4.conf.<interface>.forwarding = 1. false: the interface is gone.
bool enable_forwarding(const std::string& interface);
/// net.ipv4.ip_forward: the host is a router by its administrator's will.
bool host_forwards();

}  // namespace mydocker::network
