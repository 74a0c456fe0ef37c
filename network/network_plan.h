#pragma once

#include <optional>
#include <span>
#include <string>

#include "network/ipam.h"
#include "network/networks.h"
#include "network/records.h"
#include "network/rules.h"

/// Which record a network gets: the built-in ones and those of a request. Pure; nothing blocks.
namespace mydocker::network {

/// "bridge" on the address range `gateway` (address of the host with the prefix length).
NetworkRecord make_default_bridge(const Options& options, const Ipv4Network& gateway);
/// "host" (driver host) and "none" (driver null).
NetworkRecord make_unbridged(const std::string& name, const std::string& driver);

/// A user-defined bridge network. `taken` are the ranges of our networks and of the host's routes.
/// Throws, in Docker's words (WIRE 24): Error{invalid_argument} for a bad name, address or option,
/// Error{forbidden} for a predefined name, "Pool overlaps with other one on this address space" and when the pools are
/// used up, Error{not_found} `plugin "x" not found`, Error{not_implemented} for IPv6 and drivers that are not built.
NetworkRecord make_network(const NetworkCreate& request, const Options& options, std::span<const Ipv4Network> taken,
                           std::span<const Ipv4Network> host_routes);

/// The host's address on the bridge with the prefix length; nullopt for host and none.
std::optional<Ipv4Network> gateway_of(const NetworkRecord& network);
/// The part of the subnet that automatic choice uses.
Ipv4Network allocation_range(const NetworkRecord& network);
/// What never goes to a container: gateway and auxiliary addresses.
std::vector<Ipv4Address> reserved_addresses(const NetworkRecord& network);
BridgeRules make_bridge_rules(const NetworkRecord& network);

/// The range of the default bridge: `bip`, or the first of the pools that overlaps none of `taken`. Throws
/// Error{invalid_argument} for a bad bip, Error{conflict} for one that clashes with a route of the host,
/// Error{unavailable} when the pools are used up.
Ipv4Network choose_default_bridge(const Options& options, std::span<const Ipv4Network> taken);

}  // namespace mydocker::network
