#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/base/netlink.h"
#include "network/rules.h"

/// Single elements of the tables' sets and maps, straight over nfnetlink: 20-50 µs instead of the library's 90 and more
/// the more elements there are (the library reads the whole set first).
namespace mydocker::network {

/// One element. `key` and `data` are the kernel's bytes: every part padded to four.
struct SetElement {
  std::uint8_t family = 0;  ///< NFPROTO_INET or NFPROTO_BRIDGE: which of our two tables
  std::string set;
  std::vector<std::uint8_t> key;
  std::vector<std::uint8_t> data;  ///< for a map

  bool operator==(const SetElement&) const = default;
};

/// What an endpoint has in the tables. Pure.
std::vector<SetElement> make_elements(const EndpointRules& endpoint);

/// All elements in one transaction. false: a table is not there (somebody deleted it). Throws Error{internal}.
bool add_elements(NetlinkSocket& socket, const std::string& table, std::span<const SetElement> elements);

/// Elements that are gone already, with their table or alone, are fine.
void remove_elements(NetlinkSocket& socket, const std::string& table, std::span<const SetElement> elements);

/// Whether our table of that family is there.
bool has_table(NetlinkSocket& socket, const std::string& table, std::uint8_t family);

/// Forgets the tracked UDP connections to a published port: those of senders that never pause would stay bound to the
/// container that is gone, or, from the time before the start, to no container. Kernels older than 5.8 are left alone.
void forget_udp_connections(NetlinkSocket& socket, std::uint16_t host_port);

}  // namespace mydocker::network
