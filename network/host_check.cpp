#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/base/error.h"
#include "engine/base/netlink.h"
#include "engine/base/sys.h"
#include "network/bridge.h"
#include "network/networks.h"
#include "network/rule_elements.h"

namespace mydocker::network {
namespace {

/// "ip filter FORWARD": base chains of other programs on the forward hook whose policy is to drop.
std::vector<std::string> find_dropping_chains(NetlinkSocket& socket) {
  nfgenmsg family{};
  family.nfgen_family = NFPROTO_UNSPEC;
  NetlinkMessage message(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN, NLM_F_DUMP, "list chains");
  message.header(family);
  std::vector<std::string> found;
  socket.query(message, [&](std::uint16_t, std::span<const std::uint8_t> payload) {
    if (payload.size() < sizeof family) return;
    std::memcpy(&family, payload.data(), sizeof family);
    if (family.nfgen_family != NFPROTO_IPV4 && family.nfgen_family != NFPROTO_INET) return;
    std::string table, chain;
    std::uint32_t hook = NF_INET_NUMHOOKS;
    std::uint32_t policy = NF_ACCEPT;
    for_each_attribute(payload.subspan(sizeof family), [&](std::uint16_t type, std::span<const std::uint8_t> value) {
      if (type == NFTA_CHAIN_TABLE) table = read_text(value);
      if (type == NFTA_CHAIN_NAME) chain = read_text(value);
      if (type == NFTA_CHAIN_POLICY) policy = ntohl(read_u32(value));
      if (type != NFTA_CHAIN_HOOK) return;
      for_each_attribute(value, [&](std::uint16_t inner, std::span<const std::uint8_t> number) {
        if (inner == NFTA_HOOK_HOOKNUM) hook = ntohl(read_u32(number));
      });
    });
    if (hook == NF_INET_FORWARD && policy == NF_DROP) {
      found.push_back(concat(family.nfgen_family == NFPROTO_IPV4 ? "ip " : "inet ", table, ' ', chain));
    }
  });
  return found;
}

/// The FORWARD policy of iptables-legacy, which nftables does not show. Asked for only when that table is in use: the
/// question itself would create it.
bool legacy_forward_drops() {
  const auto names = find_file_at(AT_FDCWD, "/proc/thread-self/net/ip_tables_names", 4096);
  if (!names || names->find("filter\n") == std::string::npos) return false;
  const UniqueFd socket(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
  if (!socket) return false;
  ipt_getinfo table{};
  std::strcpy(table.name, "filter");
  socklen_t size = sizeof table;
  if (::getsockopt(socket.get(), IPPROTO_IP, IPT_SO_GET_INFO, &table, &size) != 0) return false;
  std::vector<char> entries(sizeof(ipt_get_entries) + table.size);
  ipt_get_entries request{};
  std::strcpy(request.name, "filter");
  request.size = table.size;
  std::memcpy(entries.data(), &request, sizeof request);
  size = static_cast<socklen_t>(entries.size());
  if (::getsockopt(socket.get(), IPPROTO_IP, IPT_SO_GET_ENTRIES, entries.data(), &size) != 0) return false;

  // The chain's last entry is its policy: a standard target whose verdict is -NF_DROP-1.
  const std::size_t at = sizeof(ipt_get_entries) + table.underflow[NF_INET_FORWARD];
  ipt_entry entry{};
  if (at + sizeof entry > entries.size()) return false;
  std::memcpy(&entry, entries.data() + at, sizeof entry);
  xt_standard_target target{};
  if (at + entry.target_offset + sizeof target > entries.size()) return false;
  std::memcpy(&target, entries.data() + at + entry.target_offset, sizeof target);
  return target.verdict == -NF_DROP - 1;
}

}  // namespace

std::vector<std::string> host_warnings(const std::string& bridge_name, const std::string& table) {
  std::vector<std::string> warnings;
  NetlinkSocket filter(NETLINK_NETFILTER);
  const auto add_iptables = [&](std::string_view program) {
    warnings.push_back(concat("The FORWARD policy of ", program,
                              " is DROP: containers reach no other host and published ports are closed to others. "
                              "Open it with: iptables -I FORWARD -i ",
                              bridge_name, " -j ACCEPT; iptables -I FORWARD -o ", bridge_name, " -j ACCEPT"));
  };
  for (const std::string& chain : find_dropping_chains(filter)) {
    if (chain == "ip filter FORWARD") {
      add_iptables("iptables");
      continue;
    }
    warnings.push_back(concat("The nftables chain ", chain,
                              " drops forwarded packets by default: containers reach no other host and published ports "
                              "are closed to others. Open it with: nft insert rule ",
                              chain, " meta iifname ", bridge_name, " accept; nft insert rule ", chain,
                              " meta oifname ", bridge_name, " accept"));
  }
  if (legacy_forward_drops()) add_iptables("iptables-legacy");

  if (has_table(filter, table, NFPROTO_INET) && !has_table(filter, table, NFPROTO_BRIDGE)) {
    warnings.push_back(
        "The kernel has no nftables for bridges: a container can take the address of another one on its network "
        "(ARP).");
  }
  NetlinkSocket route(NETLINK_ROUTE);
  const std::vector<std::string> closed = find_non_forwarding(route, {bridge_name});
  if (!closed.empty()) {
    std::string names;
    for (const std::string& name : closed) names += concat(names.empty() ? "" : ", ", name);
    warnings.push_back(concat("IPv4 forwarding is disabled on ", names, ": containers are cut off from there."));
  }
  return warnings;
}

}  // namespace mydocker::network
