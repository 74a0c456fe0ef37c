#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/netlink.h"
#include "network/ipam.h"

/// Links, addresses and routes (man 7 rtnetlink): one kernel action each. All throw Error{internal} that names action
/// and link; names longer than 15 bytes are refused, for the kernel's libraries cut them silently. Blocks on the kernel
/// only.
namespace mydocker::network {

/// A link as the kernel lists it.
struct Link {
  int index = 0;
  int master = 0;  ///< index of the bridge it is a port of, or 0
  std::string name;
  std::string kind;   ///< "bridge", "veth", ... or ""
  std::string alias;  ///< what we wrote there: "mydocker:<container ID>"
  std::string mac;
  std::uint32_t mtu = 0;
  bool up = false;
};

struct LinkAddress {
  int index = 0;
  Ipv4Network address;
};

struct Route {
  int index = 0;  ///< of the link it leads over
  Ipv4Network destination;
};

std::optional<Link> find_link(NetlinkSocket& socket, const std::string& name);
std::vector<Link> list_links(NetlinkSocket& socket);
std::vector<LinkAddress> list_addresses(NetlinkSocket& socket);
/// The main table, IPv4, without default routes.
std::vector<Route> list_routes(NetlinkSocket& socket);

/// A bridge without spanning tree; down and without address. Its index.
int create_bridge(NetlinkSocket& socket, const std::string& name, const std::string& mac, std::uint32_t mtu);
/// Adds the address where it is missing.
void add_address(NetlinkSocket& socket, int index, const Ipv4Network& address);
void remove_address(NetlinkSocket& socket, int index, const Ipv4Network& address);
void set_up(NetlinkSocket& socket, int index);
void set_master(NetlinkSocket& socket, int index, int master);
/// false: there was none.
bool delete_link(NetlinkSocket& socket, const std::string& name);

/// A pair of virtual Ethernet links: one a port of the bridge, the other born inside a namespace.
struct VethPair {
  std::string host_name;
  std::string alias;
  int bridge_index = 0;
  bool isolated = false;  ///< the port cannot talk to other isolated ports (icc=false)
  bool hairpin = false;   ///< frames may leave by the port they came in
  int netns_fd = -1;
  std::string name;  ///< inside
  std::string mac;   ///< inside
  std::uint32_t mtu = 1500;
};
/// Both ends in one message, the outer one a port and up when it returns. The inner end is down.
void create_veth(NetlinkSocket& socket, const VethPair& pair);

/// What a namespace gets, applied in one batch.
struct InnerLink {
  std::string name;
  Ipv4Network address;
  std::optional<Ipv4Address> gateway;  ///< a default route
};
/// `lo` up, address, link up, route. `socket` belongs to the namespace. The link's index.
int configure_inner_link(NetlinkSocket& socket, const InnerLink& link);
/// Makes the kernel take note of a link's carrier now. Left alone, it does so up to a second later, and until then a
/// fresh pair drops what is sent through it.
void settle_carrier(NetlinkSocket& socket, int index);
void settle_carrier(NetlinkSocket& socket, const std::string& name);
void set_loopback_up(NetlinkSocket& socket);

}  // namespace mydocker::network
