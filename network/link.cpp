#include "network/link.h"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "engine/base/error.h"

namespace mydocker::network {
namespace {

constexpr int loopback_index = 1;  // in every namespace: the kernel registers it first

std::uint32_t to_network_order(Ipv4Address address) { return htonl(address.value); }

Ipv4Address read_address(std::span<const std::uint8_t> bytes) { return {ntohl(read_u32(bytes))}; }

std::array<std::uint8_t, 6> mac_bytes(const std::string& mac) {
  std::array<std::uint8_t, 6> bytes{};
  const std::string text = parse_mac(mac);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::uint8_t>(std::stoi(text.substr(i * 3, 2), nullptr, 16));
  }
  return bytes;
}

std::string mac_text(std::span<const std::uint8_t> bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : bytes) {
    if (!text.empty()) text.push_back(':');
    text += {digits[byte >> 4], digits[byte & 15]};
  }
  return text;
}

/// A request about one link, by index or (index 0) by the name that follows.
NetlinkMessage link_message(std::uint16_t type, std::uint16_t flags, std::string what, int index = 0,
                            unsigned link_flags = 0) {
  ifinfomsg header{};
  header.ifi_family = AF_UNSPEC;
  header.ifi_index = index;
  header.ifi_flags = link_flags;
  header.ifi_change = link_flags;
  NetlinkMessage message(type, flags, std::move(what));
  message.header(header);
  return message;
}

NetlinkMessage address_message(std::uint16_t type, std::uint16_t flags, int index, const Ipv4Network& address) {
  ifaddrmsg header{};
  header.ifa_family = AF_INET;
  header.ifa_prefixlen = static_cast<std::uint8_t>(address.prefix_length);
  header.ifa_scope = RT_SCOPE_UNIVERSE;
  header.ifa_index = static_cast<std::uint32_t>(index);
  NetlinkMessage message(type, flags, concat(type == RTM_NEWADDR ? "add" : "remove", " address ", address.text()));
  message.header(header);
  message.attribute_u32(IFA_LOCAL, to_network_order(address.address));
  message.attribute_u32(IFA_ADDRESS, to_network_order(address.address));
  if (type == RTM_NEWADDR && address.prefix_length < 31) {
    message.attribute_u32(IFA_BROADCAST, to_network_order(address.last()));
  }
  return message;
}

NetlinkMessage default_route_message(int index, Ipv4Address gateway) {
  rtmsg header{};
  header.rtm_family = AF_INET;
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = RTPROT_BOOT;
  header.rtm_scope = RT_SCOPE_UNIVERSE;
  header.rtm_type = RTN_UNICAST;
  NetlinkMessage message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, concat("add default route via ", gateway.text()));
  message.header(header);
  message.attribute_u32(RTA_GATEWAY, to_network_order(gateway));
  message.attribute_u32(RTA_OIF, static_cast<std::uint32_t>(index));
  return message;
}

Link read_link(std::span<const std::uint8_t> payload) {
  Link link;
  if (payload.size() < sizeof(ifinfomsg)) return link;
  ifinfomsg header{};
  std::memcpy(&header, payload.data(), sizeof header);
  link.index = header.ifi_index;
  link.up = (header.ifi_flags & IFF_UP) != 0;
  for_each_attribute(payload.subspan(sizeof header), [&](std::uint16_t type, std::span<const std::uint8_t> bytes) {
    switch (type) {
      case IFLA_IFNAME:
        link.name = read_text(bytes);
        break;
      case IFLA_IFALIAS:
        link.alias = read_text(bytes);
        break;
      case IFLA_MASTER:
        link.master = static_cast<int>(read_u32(bytes));
        break;
      case IFLA_MTU:
        link.mtu = read_u32(bytes);
        break;
      case IFLA_ADDRESS:
        link.mac = mac_text(bytes);
        break;
      case IFLA_LINKINFO:
        for_each_attribute(bytes, [&](std::uint16_t inner, std::span<const std::uint8_t> value) {
          if (inner == IFLA_INFO_KIND) link.kind = read_text(value);
        });
        break;
      default:
        break;
    }
  });
  return link;
}

}  // namespace

std::optional<Link> find_link(NetlinkSocket& socket, const std::string& name) {
  check_interface_name(name);
  NetlinkMessage message = link_message(RTM_GETLINK, 0, concat("find link ", name));
  message.attribute_text(IFLA_IFNAME, name);
  Link link;
  try {
    socket.query(message, [&](std::uint16_t, std::span<const std::uint8_t> payload) { link = read_link(payload); });
  } catch (const Error& error) {
    if (error.errno_value() == ENODEV) return std::nullopt;
    throw;
  }
  return link;
}

std::vector<Link> list_links(NetlinkSocket& socket) {
  NetlinkMessage message = link_message(RTM_GETLINK, NLM_F_DUMP, "list links");
  std::vector<Link> links;
  socket.query(message, [&](std::uint16_t type, std::span<const std::uint8_t> payload) {
    if (type == RTM_NEWLINK) links.push_back(read_link(payload));
  });
  return links;
}

std::vector<LinkAddress> list_addresses(NetlinkSocket& socket) {
  ifaddrmsg header{};
  header.ifa_family = AF_INET;
  NetlinkMessage message(RTM_GETADDR, NLM_F_DUMP, "list addresses");
  message.header(header);
  std::vector<LinkAddress> addresses;
  socket.query(message, [&](std::uint16_t type, std::span<const std::uint8_t> payload) {
    if (type != RTM_NEWADDR || payload.size() < sizeof header) return;
    std::memcpy(&header, payload.data(), sizeof header);
    LinkAddress found{static_cast<int>(header.ifa_index), {{}, header.ifa_prefixlen}};
    for_each_attribute(payload.subspan(sizeof header),
                       [&](std::uint16_t attribute, std::span<const std::uint8_t> value) {
                         if (attribute == IFA_LOCAL) found.address.address = read_address(value);
                       });
    addresses.push_back(found);
  });
  return addresses;
}

std::vector<Route> list_routes(NetlinkSocket& socket) {
  rtmsg header{};
  header.rtm_family = AF_INET;
  NetlinkMessage message(RTM_GETROUTE, NLM_F_DUMP, "list routes");
  message.header(header);
  std::vector<Route> routes;
  socket.query(message, [&](std::uint16_t type, std::span<const std::uint8_t> payload) {
    if (type != RTM_NEWROUTE || payload.size() < sizeof header) return;
    std::memcpy(&header, payload.data(), sizeof header);
    if (header.rtm_table != RT_TABLE_MAIN || header.rtm_dst_len == 0) return;
    Route route{0, {{}, header.rtm_dst_len}};
    for_each_attribute(payload.subspan(sizeof header),
                       [&](std::uint16_t attribute, std::span<const std::uint8_t> value) {
                         if (attribute == RTA_DST) route.destination.address = read_address(value);
                         if (attribute == RTA_OIF) route.index = static_cast<int>(read_u32(value));
                       });
    routes.push_back(route);
  });
  return routes;
}

int create_bridge(NetlinkSocket& socket, const std::string& name, const std::string& mac, std::uint32_t mtu) {
  check_interface_name(name);
  NetlinkMessage message = link_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, concat("create bridge ", name));
  message.attribute_text(IFLA_IFNAME, name);
  // A fixed address: a bridge would change its own with its ports, and neighbours would talk to the old one.
  message.attribute(IFLA_ADDRESS, mac_bytes(mac));
  message.attribute_u32(IFLA_MTU, mtu);
  message.begin(IFLA_LINKINFO).attribute_text(IFLA_INFO_KIND, "bridge").end();
  socket.request(message);
  const std::optional<Link> made = find_link(socket, name);
  if (!made) throw Error(ErrorKind::internal, concat("create bridge ", name, ": it is gone again"));
  return made->index;
}

void add_address(NetlinkSocket& socket, int index, const Ipv4Network& address) {
  NetlinkMessage message = address_message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, index, address);
  socket.request(message);
}

void remove_address(NetlinkSocket& socket, int index, const Ipv4Network& address) {
  NetlinkMessage message = address_message(RTM_DELADDR, 0, index, address);
  socket.request(message);
}

void set_up(NetlinkSocket& socket, int index) {
  NetlinkMessage message = link_message(RTM_NEWLINK, 0, "set link up", index, IFF_UP);
  socket.request(message);
}

void set_master(NetlinkSocket& socket, int index, int master) {
  NetlinkMessage message = link_message(RTM_NEWLINK, 0, "make link a port of the bridge", index);
  message.attribute_u32(IFLA_MASTER, static_cast<std::uint32_t>(master));
  socket.request(message);
}

bool delete_link(NetlinkSocket& socket, const std::string& name) {
  check_interface_name(name);
  NetlinkMessage message = link_message(RTM_DELLINK, 0, concat("delete link ", name));
  message.attribute_text(IFLA_IFNAME, name);
  const std::vector<NetlinkResult> results = socket.batch({&message, 1});
  if (results.front().errno_value == ENODEV) return false;
  if (results.front().errno_value != 0) throw_netlink_error(message.what(), results.front());
  return true;
}

void create_veth(NetlinkSocket& socket, const VethPair& pair) {
  check_interface_name(pair.host_name);
  check_interface_name(pair.name);
  NetlinkMessage create =
      link_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, concat("create veth ", pair.host_name, " for ", pair.name));
  create.attribute_text(IFLA_IFNAME, pair.host_name);
  create.attribute_u32(IFLA_MTU, pair.mtu);
  create.begin(IFLA_LINKINFO).attribute_text(IFLA_INFO_KIND, "veth").begin(IFLA_INFO_DATA).begin(VETH_INFO_PEER);
  create.header(ifinfomsg{});
  create.attribute_text(IFLA_IFNAME, pair.name);
  create.attribute(IFLA_ADDRESS, mac_bytes(pair.mac));
  create.attribute_u32(IFLA_MTU, pair.mtu);
  create.attribute_u32(IFLA_NET_NS_FD, static_cast<std::uint32_t>(pair.netns_fd));
  create.end().end().end();

  // The second message of the same packet: what the kernel ignores while it makes a link. Without generated addresses
  // the port gets no IPv6 link-local address (SECURITY N4).
  NetlinkMessage join =
      link_message(RTM_NEWLINK, 0, concat("make ", pair.host_name, " a port of the bridge"), 0, IFF_UP);
  join.attribute_text(IFLA_IFNAME, pair.host_name);
  join.attribute_text(IFLA_IFALIAS, pair.alias);
  join.attribute_u32(IFLA_MASTER, static_cast<std::uint32_t>(pair.bridge_index));
  join.begin(IFLA_AF_SPEC).begin(AF_INET6);
  join.attribute_u8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
  join.end().end();

  std::vector<NetlinkMessage> messages{create, join};
  if (pair.isolated || pair.hairpin) {
    NetlinkMessage port = link_message(RTM_NEWLINK, 0, concat("set up port ", pair.host_name));
    port.attribute_text(IFLA_IFNAME, pair.host_name);
    port.begin(IFLA_LINKINFO).attribute_text(IFLA_INFO_SLAVE_KIND, "bridge").begin(IFLA_INFO_SLAVE_DATA);
    if (pair.isolated) port.attribute_u8(IFLA_BRPORT_ISOLATED, 1);
    if (pair.hairpin) port.attribute_u8(IFLA_BRPORT_MODE, 1);
    port.end().end();
    messages.push_back(std::move(port));
  }
  const std::vector<NetlinkResult> results = socket.batch(messages);
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (results[i].errno_value == 0) continue;
    if (results.front().errno_value == 0) delete_link(socket, pair.host_name);  // made, but no port
    throw_netlink_error(messages[i].what(), results[i]);
  }
}

int configure_inner_link(NetlinkSocket& socket, const InnerLink& link) {
  const std::optional<Link> found = find_link(socket, link.name);
  if (!found) throw Error(ErrorKind::internal, concat("link ", link.name, " is not in the namespace"));
  std::vector<NetlinkMessage> messages;
  messages.push_back(link_message(RTM_NEWLINK, 0, "set lo up", loopback_index, IFF_UP));
  messages.push_back(address_message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, found->index, link.address));
  messages.push_back(link_message(RTM_NEWLINK, 0, concat("set ", link.name, " up"), found->index, IFF_UP));
  if (link.gateway) messages.push_back(default_route_message(found->index, *link.gateway));
  socket.request_all(messages);
  return found->index;
}

void settle_carrier(NetlinkSocket& socket, int index) {
  // Being asked for a link makes the kernel catch up with it (rtnl_getlink, since 6.8; harmless before).
  NetlinkMessage message = link_message(RTM_GETLINK, 0, "find link", index);
  socket.query(message, [](std::uint16_t, std::span<const std::uint8_t>) {});
}

void settle_carrier(NetlinkSocket& socket, const std::string& name) { find_link(socket, name); }

void set_loopback_up(NetlinkSocket& socket) {
  NetlinkMessage message = link_message(RTM_NEWLINK, 0, "set lo up", loopback_index, IFF_UP);
  socket.request(message);
}

}  // namespace mydocker::network
