#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "network/ipam.h"

/// The engine's own nftables tables, replaced as a whole in one transaction (SECURITY R18); single endpoints come and
/// go as elements of their sets. A `drop` here is final, an `accept` is not: chains of other programs still have their
/// say.
///
/// Family inet: isolation, masquerading, published ports.
///   prerouting raw     what claims to go to or come from 127/8 but comes over a wire is dropped
///   prerouting nat     published ports: map ports_at (one address), then ports_any (every address of the host)
///   output nat         the same for the host's own programs, loopback included
///   forward            into a bridge only: the same bridge (icc), answers, published; out of it unless internal
///   postrouting nat    masquerade to the outside, for hairpins and for connections from loopback
/// Family bridge: a container cannot answer ARP or DHCP in the name of the host or of another container (SECURITY N4).
///   prerouting         ARP from a port of ours: an owned address only from the port it belongs to (claims)
namespace mydocker::network {

/// What the rules need to know of one bridge network.
struct BridgeRules {
  std::string bridge;
  Ipv4Network gateway;  ///< the host's address with the prefix length of the network
  bool internal = false;
  bool icc = true;
  bool ip_masq = true;
};

/// One published port.
struct PortRule {
  std::string protocol;  ///< "tcp", "udp" or "sctp"
  Ipv4Address host_ip;   ///< 0.0.0.0 = every address of the host
  std::uint16_t host_port = 0;
  Ipv4Address container_ip;
  std::uint16_t container_port = 0;

  auto operator<=>(const PortRule&) const = default;
};

/// One container's link: elements of the sets and maps.
struct EndpointRules {
  std::string host_interface;
  Ipv4Address address;
  std::vector<PortRule> ports;
};

struct RuleSet {
  std::string table = "mydocker";
  std::vector<BridgeRules> bridges;
  std::vector<EndpointRules> endpoints;
  /// Interfaces that forward only because the engine turned it on: they reach our bridges and nothing else.
  std::vector<std::string> no_transit;
};

/// The rule set as nft(8) text that replaces the table of that family. Pure.
std::string make_inet_text(const RuleSet& rules);
std::string make_bridge_text(const RuleSet& rules);

/// Replaces the tables in the namespace of the calling thread: all or nothing, no packet sees a half. libnftables, some
/// 0.3 ms. A kernel without nftables for bridges gets the other table alone (host_warnings says so). Throws
/// Error{internal} with the library's words.
void apply_ruleset(const RuleSet& rules);

}  // namespace mydocker::network
