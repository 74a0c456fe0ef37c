#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "network/ipam.h"

/// The engine's own nftables table: isolation, masquerading, published ports. One table of family inet, replaced as a
/// whole in one transaction (SECURITY R18); single published ports come and go as elements of its two maps.
///
///   prerouting raw     what claims to go to or come from 127/8 but comes over a wire is dropped
///   prerouting nat     published ports: map ports_at (one address), then ports_any (every address of the host)
///   output nat         the same for the host's own programs, loopback included
///   forward            into a bridge only: the same bridge (icc), answers, published; out of it unless internal
///   postrouting nat    masquerade to the outside, for hairpins and for connections from loopback
///
/// A `drop` here is final, an `accept` is not: chains of other programs still have their say.
namespace mydocker::network {

/// What the rules need to know of one bridge network.
struct BridgeRules {
  std::string bridge;
  Ipv4Network subnet;
  bool internal = false;
  bool icc = true;
  bool ip_masq = true;
};

/// One published port: an element of a map.
struct PortRule {
  std::string protocol;  ///< "tcp", "udp" or "sctp"
  Ipv4Address host_ip;   ///< 0.0.0.0 = every address of the host
  std::uint16_t host_port = 0;
  Ipv4Address container_ip;
  std::uint16_t container_port = 0;

  auto operator<=>(const PortRule&) const = default;
};

struct RuleSet {
  std::string table = "mydocker";
  std::vector<BridgeRules> bridges;
  std::vector<PortRule> ports;
  /// Interfaces that forward only because the engine turned it on: they reach our bridges and nothing else.
  std::vector<std::string> no_transit;
};

/// The rule set as nft(8) text that replaces the whole table. Pure.
std::string make_ruleset_text(const RuleSet& rules);

/// Replaces the table in the namespace of the calling thread: all or nothing, no packet sees a half. libnftables, some
/// 0.2 ms. Throws Error{internal} with the library's words.
void apply_ruleset(const RuleSet& rules);

}  // namespace mydocker::network
