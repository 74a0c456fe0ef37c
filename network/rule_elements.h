#pragma once

#include <span>
#include <string>
#include <vector>

#include "network/netlink.h"
#include "network/rules.h"

/// Single elements of the port maps, straight over nfnetlink: 20 µs instead of the library's 90 and more the more ports
/// there are (the library reads the whole map first).
namespace mydocker::network {

/// Publishes: all elements in one transaction. false: the table is not there (somebody deleted it).
/// Throws Error{internal}.
bool add_port_elements(NetlinkSocket& socket, const std::string& table, std::span<const PortRule> ports);

/// Withdraws; elements that are gone already, with their table or alone, are fine.
void remove_port_elements(NetlinkSocket& socket, const std::string& table, std::span<const PortRule> ports);

/// Whether the table is there.
bool has_table(NetlinkSocket& socket, const std::string& table);

/// Forgets the tracked UDP connections to a published port: those of senders that never pause would stay bound to the
/// container that is gone, or, from the time before the start, to no container. Kernels older than 5.8 are left alone.
void forget_udp_connections(NetlinkSocket& socket, std::uint16_t host_port);

/// The maps' bytes, as the kernel wants them: every part of a key padded to four bytes. Pure, for the fuzzer and tests.
std::vector<std::uint8_t> make_port_key(const PortRule& port);
std::vector<std::uint8_t> make_port_target(const PortRule& port);

}  // namespace mydocker::network
