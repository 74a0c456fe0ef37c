#include "network/rules.h"

#include <nftables/libnftables.h>

#include <memory>
#include <optional>

#include "engine/base/error.h"
#include "engine/base/failpoint.h"
#include "network/link.h"

namespace mydocker::network {
namespace {

/// `set name { type t; elements = { a, b } }`; nft knows no empty element list.
void add_set(std::string& out, std::string_view head, std::string_view type, const std::vector<std::string>& elements) {
  out += concat("  ", head, " {\n    type ", type, "\n");
  if (!elements.empty()) {
    out += "    elements = { ";
    for (std::size_t i = 0; i < elements.size(); ++i) out += concat(i == 0 ? "" : ", ", elements[i]);
    out += " }\n";
  }
  out += "  }\n";
}

/// Checked, so that no name becomes syntax.
std::string quote(const std::string& interface) {
  check_interface_name(interface);
  if (interface.find_first_of("\"\\*") != std::string::npos) {
    throw Error(ErrorKind::invalid_argument, concat("invalid interface name: \"", interface, "\""));
  }
  return concat('"', interface, '"');
}

void add_sets(std::string& out, const RuleSet& rules) {
  std::vector<std::string> bridges, internal, same_bridge, no_transit, ports_any, ports_at;
  for (const BridgeRules& one : rules.bridges) {
    const std::string name = quote(one.bridge);
    bridges.push_back(name);
    if (one.internal) internal.push_back(name);
    if (one.icc) same_bridge.push_back(concat(name, " . ", name));
  }
  for (const std::string& interface : rules.no_transit) no_transit.push_back(quote(interface));
  for (const EndpointRules& endpoint : rules.endpoints) {
    for (const PortRule& port : endpoint.ports) {
      const std::string target = concat(" : ", port.container_ip.text(), " . ", port.container_port);
      const std::string key = concat(port.protocol, " . ", port.host_port);
      if (port.host_ip.value == 0) {
        ports_any.push_back(concat(key, target));
      } else {
        ports_at.push_back(concat(port.host_ip.text(), " . ", key, target));
      }
    }
  }
  add_set(out, "set bridges", "ifname", bridges);
  add_set(out, "set internal", "ifname", internal);
  add_set(out, "set same_bridge", "ifname . ifname", same_bridge);
  add_set(out, "set no_transit", "ifname", no_transit);
  add_set(out, "map ports_any", "inet_proto . inet_service : ipv4_addr . inet_service", ports_any);
  add_set(out, "map ports_at", "ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service", ports_at);
}

void add_nat_chains(std::string& out, const RuleSet& rules) {
  constexpr std::string_view at = "dnat ip to ip daddr . meta l4proto . th dport map @ports_at\n";
  constexpr std::string_view any = "dnat ip to meta l4proto . th dport map @ports_any\n";
  // A port of one address is no port of the host's other interfaces, though the host answers for all of its addresses
  // on each of them (SECURITY N1): the address must belong to the interface, but for our own containers.
  out += concat(
      "  chain prerouting {\n"
      "    type nat hook prerouting priority dstnat; policy accept;\n"
      "    meta l4proto != { tcp, udp, sctp } accept\n"
      "    fib daddr type != local accept\n"
      "    iifname @bridges ",
      at, "    fib daddr . iif type local ", at, "    meta nfproto ipv4 ", any,
      "  }\n"
      "  chain output {\n"
      "    type nat hook output priority -100; policy accept;\n"
      "    meta l4proto != { tcp, udp, sctp } accept\n"
      "    fib daddr type != local accept\n"
      "    ",
      at, "    meta nfproto ipv4 ", any, "  }\n");
  out += "  chain postrouting {\n    type nat hook postrouting priority srcnat; policy accept;\n";
  for (const BridgeRules& one : rules.bridges) {
    const std::string name = quote(one.bridge);
    const std::string from = concat("    ip saddr ", one.gateway.range().text(), " oifname ");
    if (one.ip_masq && !one.internal) out += concat(from, "!= ", name, " masquerade\n");
    // Hairpin: the answer must come back through the host, not straight to the neighbour on the bridge.
    out += concat(from, name, " ct status dnat masquerade\n");
  }
  // A container cannot answer to 127.0.0.1.
  out += "    ip saddr 127.0.0.0/8 oifname @bridges masquerade\n  }\n";
}

void add_filter_chains(std::string& out) {
  // Into a bridge only what answers a container or was published. "Established" alone would keep a connection from
  // outside alive that came through while another program had the table flushed.
  // route_localnet is on for our bridges: without the first two rules a container or a neighbour could speak to
  // programs that listen on 127.0.0.1 only. Priority raw: before connection tracking turns addresses back.
  out +=
      "  chain prerouting_raw {\n"
      "    type filter hook prerouting priority raw; policy accept;\n"
      "    iifname != \"lo\" ip daddr 127.0.0.0/8 drop\n"
      "    iifname != \"lo\" ip saddr 127.0.0.0/8 drop\n"
      "  }\n"
      "  chain forward {\n"
      "    type filter hook forward priority filter; policy accept;\n"
      "    oifname @bridges jump to_bridge\n"
      "    iifname @internal drop\n"
      "    iifname @bridges accept\n"
      "    iifname @no_transit drop\n"
      "  }\n"
      "  chain to_bridge {\n"
      "    iifname . oifname @same_bridge accept\n"
      "    iifname @internal drop\n"
      "    oifname @internal drop\n"
      "    ct state established,related ct direction reply accept\n"
      "    ct state related accept\n"
      "    ct status dnat accept\n"
      "    drop\n"
      "  }\n";
}

/// The first two lines make the replacement unconditional: `delete` alone fails where there is none.
std::string replace_table(std::string_view family, const std::string& table, const std::string& body) {
  return concat("add table ", family, ' ', table, "\ndelete table ", family, ' ', table, "\ntable ", family, ' ', table,
                " {\n", body, "}\n");
}

/// What the library says about the text, or nullopt when it was done.
std::optional<std::string> run_text(const std::string& text) {
  const std::unique_ptr<nft_ctx, decltype(&nft_ctx_free)> context(nft_ctx_new(NFT_CTX_DEFAULT), nft_ctx_free);
  if (!context) return "cannot open a context";
  nft_ctx_buffer_error(context.get());
  nft_ctx_buffer_output(context.get());
  if (nft_run_cmd_from_buffer(context.get(), text.c_str()) == 0) return std::nullopt;
  const char* words = nft_ctx_get_error_buffer(context.get());  // empties the buffer: called once
  return words != nullptr ? words : "the rule set was refused";
}

}  // namespace

std::string make_inet_text(const RuleSet& rules) {
  std::string body;
  add_sets(body, rules);
  add_filter_chains(body);
  add_nat_chains(body, rules);
  return replace_table("inet", rules.table, body);
}

std::string make_bridge_text(const RuleSet& rules) {
  std::vector<std::string> ports, claims, owned;
  for (const BridgeRules& one : rules.bridges) owned.push_back(one.gateway.address.text());
  for (const EndpointRules& one : rules.endpoints) {
    const std::string name = quote(one.host_interface);
    ports.push_back(name);
    claims.push_back(concat(name, " . ", one.address.text()));
    owned.push_back(one.address.text());
  }
  std::string body;
  add_set(body, "set ports", "ifname", ports);
  add_set(body, "set claims", "ifname . ipv4_addr", claims);
  add_set(body, "set owned", "ipv4_addr", owned);
  // An address that nobody owns may be claimed: a container may carry a virtual one.
  body +=
      "  chain prerouting {\n"
      "    type filter hook prerouting priority -300; policy accept;\n"
      "    iifname != @ports accept\n"
      "    ether type arp iifname . arp saddr ip @claims accept\n"
      "    ether type arp arp saddr ip @owned drop\n"
      "    ether type ip udp sport 67 udp dport 68 drop\n"
      "  }\n";
  return replace_table("bridge", rules.table, body);
}

void apply_ruleset(const RuleSet& rules) {
  failpoint("network.rules");
  const std::string inet = make_inet_text(rules);
  if (!run_text(inet + make_bridge_text(rules))) return;
  if (const std::optional<std::string> refusal = run_text(inet)) {
    throw Error(ErrorKind::internal, concat("nftables: ", *refusal));
  }
}

}  // namespace mydocker::network
