#include "network/rule_elements.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>

#include <cerrno>
#include <cstring>

#include "engine/base/error.h"
#include "engine/base/failpoint.h"

namespace mydocker::network {
namespace {

// Bits of CTA_FILTER_ORIG_FLAGS; the kernel's header for programs lacks them (nf_conntrack_netlink.c).
constexpr std::uint32_t filter_protocol_number = 1U << 3;
constexpr std::uint32_t filter_destination_port = 1U << 5;

nfgenmsg make_family(std::uint8_t family) {
  nfgenmsg header{};
  header.nfgen_family = family;
  header.version = NFNETLINK_V0;
  return header;
}

std::uint16_t message_type(int subsystem, int type) { return static_cast<std::uint16_t>(subsystem << 8 | type); }

std::uint8_t protocol_number(const std::string& protocol) {
  if (protocol == "udp") return IPPROTO_UDP;
  if (protocol == "sctp") return IPPROTO_SCTP;
  return IPPROTO_TCP;
}

/// Collects the parts of a key.
class KeyBuilder {
 public:
  KeyBuilder& address(Ipv4Address address) {
    const std::uint32_t bytes = htonl(address.value);
    return put(&bytes, sizeof bytes);
  }
  KeyBuilder& port(std::uint16_t port) {
    const std::uint16_t bytes = htons(port);
    return put(&bytes, sizeof bytes);
  }
  KeyBuilder& protocol(const std::string& protocol) {
    const std::uint8_t number = protocol_number(protocol);
    return put(&number, sizeof number);
  }
  KeyBuilder& interface(const std::string& name) {
    char bytes[IFNAMSIZ] = {};
    name.copy(bytes, sizeof bytes - 1);
    return put(bytes, sizeof bytes);
  }
  std::vector<std::uint8_t> take() { return std::move(bytes_); }

 private:
  KeyBuilder& put(const void* data, std::size_t size) {
    const auto* first = static_cast<const std::uint8_t*>(data);
    bytes_.insert(bytes_.end(), first, first + size);
    bytes_.resize((bytes_.size() + 3) & ~std::size_t{3});
    return *this;
  }

  std::vector<std::uint8_t> bytes_;
};

NetlinkMessage make_message(int type, const std::string& table, const SetElement& element) {
  const bool add = type == NFT_MSG_NEWSETELEM;
  NetlinkMessage message(message_type(NFNL_SUBSYS_NFTABLES, type), add ? std::uint16_t{NLM_F_CREATE} : std::uint16_t{0},
                         concat(add ? "add to" : "remove from", " the set ", element.set));
  message.header(make_family(element.family));
  message.attribute_text(NFTA_SET_ELEM_LIST_TABLE, table);
  message.attribute_text(NFTA_SET_ELEM_LIST_SET, element.set);
  message.begin(NFTA_SET_ELEM_LIST_ELEMENTS).begin(NFTA_LIST_ELEM);
  message.begin(NFTA_SET_ELEM_KEY).attribute(NFTA_DATA_VALUE, element.key).end();
  if (add && !element.data.empty()) {
    message.begin(NFTA_SET_ELEM_DATA).attribute(NFTA_DATA_VALUE, element.data).end();
  }
  message.end().end();
  return message;
}

std::vector<NetlinkMessage> make_messages(int type, const std::string& table, std::span<const SetElement> elements) {
  std::vector<NetlinkMessage> messages;
  messages.reserve(elements.size());
  for (const SetElement& element : elements) messages.push_back(make_message(type, table, element));
  return messages;
}

}  // namespace

std::vector<SetElement> make_elements(const EndpointRules& endpoint) {
  std::vector<SetElement> elements;
  if (!endpoint.host_interface.empty()) {
    elements.push_back({NFPROTO_BRIDGE, "owned", KeyBuilder().address(endpoint.address).take(), {}});
    elements.push_back({NFPROTO_BRIDGE,
                        "claims",
                        KeyBuilder().interface(endpoint.host_interface).address(endpoint.address).take(),
                        {}});
    elements.push_back({NFPROTO_BRIDGE, "ports", KeyBuilder().interface(endpoint.host_interface).take(), {}});
  }
  for (const PortRule& port : endpoint.ports) {
    KeyBuilder key;
    if (port.host_ip.value != 0) key.address(port.host_ip);
    key.protocol(port.protocol).port(port.host_port);
    elements.push_back({NFPROTO_INET, port.host_ip.value == 0 ? "ports_any" : "ports_at", key.take(),
                        KeyBuilder().address(port.container_ip).port(port.container_port).take()});
  }
  return elements;
}

bool add_elements(NetlinkSocket& socket, const std::string& table, std::span<const SetElement> elements) {
  failpoint("network.publish");
  std::vector<NetlinkMessage> messages = make_messages(NFT_MSG_NEWSETELEM, table, elements);
  const NetlinkResult result = socket.transaction(messages);
  if (result.errno_value == ENOENT) return false;
  if (result.errno_value != 0) throw_netlink_error("add an endpoint to the rules", result);
  return true;
}

void remove_elements(NetlinkSocket& socket, const std::string& table, std::span<const SetElement> elements) {
  std::vector<NetlinkMessage> messages = make_messages(NFT_MSG_DELSETELEM, table, elements);
  NetlinkResult result = socket.transaction(messages);
  if (result.errno_value == ENOENT && messages.size() > 1) {
    // One was gone, so the kernel took none of them: one by one.
    result = {};
    for (NetlinkMessage& message : messages) {
      const NetlinkResult one = socket.transaction({&message, 1});
      if (one.errno_value != 0 && one.errno_value != ENOENT) result = one;
    }
  }
  if (result.errno_value != 0 && result.errno_value != ENOENT) {
    throw_netlink_error("remove an endpoint from the rules", result);
  }
}

bool has_table(NetlinkSocket& socket, const std::string& table, std::uint8_t family) {
  NetlinkMessage message(message_type(NFNL_SUBSYS_NFTABLES, NFT_MSG_GETTABLE), 0, concat("find table ", table));
  message.header(make_family(family));
  message.attribute_text(NFTA_TABLE_NAME, table);
  try {
    socket.query(message, [](std::uint16_t, std::span<const std::uint8_t>) {});
  } catch (const Error& error) {
    if (error.errno_value() == ENOENT || error.errno_value() == EAFNOSUPPORT) return false;
    throw;
  }
  return true;
}

void forget_udp_connections(NetlinkSocket& socket, std::uint16_t host_port) {
  NetlinkMessage list(message_type(NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_GET), NLM_F_DUMP, "list connections");
  list.header(make_family(AF_INET));
  list.begin(CTA_TUPLE_ORIG).begin(CTA_TUPLE_PROTO);
  list.attribute_u8(CTA_PROTO_NUM, IPPROTO_UDP).attribute_u16(CTA_PROTO_DST_PORT, htons(host_port));
  list.end().end();
  list.begin(CTA_FILTER);
  list.attribute_u32(CTA_FILTER_ORIG_FLAGS, filter_protocol_number | filter_destination_port);
  list.attribute_u32(CTA_FILTER_REPLY_FLAGS, 0);
  list.end();

  std::vector<NetlinkMessage> deletions;
  try {
    socket.query(list, [&](std::uint16_t, std::span<const std::uint8_t> payload) {
      if (payload.size() < sizeof(nfgenmsg)) return;
      NetlinkMessage deletion(message_type(NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE), 0, "forget connection");
      deletion.header(make_family(AF_INET));
      for_each_attribute(payload.subspan(sizeof(nfgenmsg)),
                         [&](std::uint16_t type, std::span<const std::uint8_t> value) {
                           if (type == CTA_TUPLE_ORIG) deletion.attribute(NLA_F_NESTED | CTA_TUPLE_ORIG, value);
                           if (type == CTA_ID) deletion.attribute(CTA_ID, value);
                         });
      deletions.push_back(std::move(deletion));
    });
  } catch (const Error& error) {
    if (error.errno_value() == EINVAL || error.errno_value() == EOPNOTSUPP) return;  // an old kernel
    throw;
  }
  socket.batch(deletions);  // one that ended by itself meanwhile is no failure
}

}  // namespace mydocker::network
