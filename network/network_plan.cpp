#include "network/network_plan.h"

#include <algorithm>
#include <charconv>

#include "engine/base/error.h"
#include "engine/base/sys.h"
#include "network/link.h"

namespace mydocker::network {
namespace {

constexpr std::string_view option_prefix = "com.docker.network.bridge.";
constexpr std::string_view mtu_option = "com.docker.network.driver.mtu";
constexpr std::uint32_t lowest_mtu = 68;  // RFC 791
constexpr std::uint32_t highest_mtu = 65535;

Error invalid(std::string message) { return Error(ErrorKind::invalid_argument, std::move(message)); }

bool overlaps_any(const Ipv4Network& range, std::span<const Ipv4Network> taken) {
  return std::any_of(taken.begin(), taken.end(), [&](const Ipv4Network& one) { return one.overlaps(range); });
}

/// The first address that a host can have.
Ipv4Network with_first_address(const Ipv4Network& range) {
  return {{range.first().value + (range.prefix_length < 31 ? 1 : 0)}, range.prefix_length};
}

bool parse_bool(std::string_view key, std::string_view value) {
  if (value == "true" || value == "1") return true;
  if (value == "false" || value == "0") return false;
  throw invalid(concat("invalid value for ", key, ": \"", value, "\""));
}

std::uint32_t parse_mtu(std::string_view value) {
  std::uint32_t mtu = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), mtu);
  if (error != std::errc{} || end != value.data() + value.size() || mtu < lowest_mtu || mtu > highest_mtu) {
    throw invalid(concat("invalid value for ", mtu_option, ": \"", value, "\""));
  }
  return mtu;
}

std::string bool_text(bool value) { return value ? "true" : "false"; }

void check_network_name(const std::string& name) {
  const auto is_word = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  };
  const bool good = !name.empty() && is_word(name.front()) && std::all_of(name.begin(), name.end(), [&](char c) {
    return is_word(c) || c == '_' || c == '.' || c == '-';
  });
  if (!good) {
    throw invalid(concat("invalid network name \"", name, "\": only [a-zA-Z0-9][a-zA-Z0-9_.-]* are allowed"));
  }
  if (name == "bridge" || name == "host" || name == "none" || name == "default") {
    throw Error(ErrorKind::forbidden, concat("operation is not permitted on predefined ", name, " network"));
  }
}

void check_driver(const std::string& driver) {
  if (driver.empty() || driver == "bridge") return;
  if (driver == "host" || driver == "null") {
    throw Error(ErrorKind::forbidden, concat("only one instance of \"", driver, "\" network is allowed"));
  }
  if (driver == "overlay") {
    throw Error(ErrorKind::forbidden,
                "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this "
                "node to swarm and try again.");
  }
  if (driver == "macvlan" || driver == "ipvlan") {
    throw Error(ErrorKind::not_implemented, concat("the network driver ", driver, " is not implemented yet"));
  }
  throw Error(ErrorKind::not_found, concat("plugin \"", driver, "\" not found"));
}

/// The record's address range from the request's, checked and completed.
IpamConfig complete_ipam(const IpamConfig& wanted, std::span<const Ipv4Network> taken) {
  const Ipv4Network subnet = Ipv4Network::parse(wanted.subnet);
  if (subnet.has_host_bits()) {
    throw invalid(concat("invalid subnet ", wanted.subnet, ": it should be ", subnet.range().text()));
  }
  if (subnet.prefix_length > 30) throw invalid(concat("invalid subnet ", wanted.subnet, ": it has no room for hosts"));
  if (overlaps_any(subnet, taken)) {
    throw Error(ErrorKind::forbidden, "Pool overlaps with other one on this address space");
  }
  IpamConfig config = wanted;
  if (!wanted.ip_range.empty()) {
    const Ipv4Network range = Ipv4Network::parse(wanted.ip_range);
    if (range.has_host_bits()) {
      throw invalid(concat("invalid ip-range ", wanted.ip_range, ": it should be ", range.range().text()));
    }
    if (!subnet.contains(range)) {
      throw invalid(
          concat("invalid ip-range ", wanted.ip_range, ": parent subnet ", wanted.subnet, " does not contain it"));
    }
  }
  const auto check_inside = [&](std::string_view what, const std::string& text) {
    const Ipv4Address address = Ipv4Address::parse(text);
    if (!subnet.contains(address)) {
      throw invalid(concat("invalid ", what, ' ', text, ": parent subnet ", wanted.subnet, " does not contain it"));
    }
    return address;
  };
  if (wanted.gateway.empty()) {
    const Ipv4Network range = wanted.ip_range.empty() ? subnet : Ipv4Network::parse(wanted.ip_range);
    config.gateway =
        with_first_address({range.first(), range.first() == subnet.first() ? subnet.prefix_length : 32}).address.text();
  } else {
    const Ipv4Address gateway = check_inside("gateway", wanted.gateway);
    if (gateway == subnet.first() || gateway == subnet.last()) {
      throw invalid(concat("invalid gateway ", wanted.gateway, ": it is the network's or the broadcast address"));
    }
  }
  for (const auto& [name, text] : wanted.auxiliary_addresses) check_inside("auxiliary address", text);
  return config;
}

/// Docker's bridge options, where they change something; all are kept as they came.
void apply_options(NetworkRecord& network) {
  for (const auto& [key, value] : network.options) {
    if (key == mtu_option) {
      network.mtu = value.empty() ? network.mtu : parse_mtu(value);
    } else if (key == concat(option_prefix, "enable_icc")) {
      network.icc = parse_bool(key, value);
    } else if (key == concat(option_prefix, "enable_ip_masquerade")) {
      network.ip_masq = parse_bool(key, value);
    } else if (key == concat(option_prefix, "host_binding_ipv4")) {
      network.host_binding_ipv4 = Ipv4Address::parse(value).text();
    } else if (key == concat(option_prefix, "name")) {
      check_interface_name(value);
      network.bridge = value;
    }
  }
}

}  // namespace

NetworkRecord make_default_bridge(const Options& options, const Ipv4Network& gateway) {
  NetworkRecord network;
  network.name = "bridge";
  network.driver = "bridge";
  network.bridge = options.bridge_name;
  network.predefined = true;
  network.icc = options.icc;
  network.ip_masq = options.ip_masq;
  network.mtu = options.mtu;
  network.host_binding_ipv4 = options.default_host_ip;
  network.ipam.push_back({gateway.range().text(), "", gateway.address.text(), {}});
  network.options = {{concat(option_prefix, "default_bridge"), "true"},
                     {concat(option_prefix, "enable_icc"), bool_text(options.icc)},
                     {concat(option_prefix, "enable_ip_masquerade"), bool_text(options.ip_masq)},
                     {concat(option_prefix, "host_binding_ipv4"), options.default_host_ip},
                     {concat(option_prefix, "name"), options.bridge_name},
                     {std::string(mtu_option), std::to_string(options.mtu)}};
  return network;
}

NetworkRecord make_unbridged(const std::string& name, const std::string& driver) {
  NetworkRecord network;
  network.name = name;
  network.driver = driver;
  network.predefined = true;
  return network;
}

NetworkRecord make_network(const NetworkCreate& request, const Options& options, std::span<const Ipv4Network> taken,
                           std::span<const Ipv4Network> host_routes) {
  check_network_name(request.name);
  check_driver(request.driver);
  if (request.enable_ipv6) throw Error(ErrorKind::not_implemented, "IPv6 networks are not implemented yet");

  NetworkRecord network;
  network.id = make_random_id();
  network.name = request.name;
  network.driver = "bridge";
  network.created = now();
  network.internal = request.internal;
  network.attachable = request.attachable;
  network.mtu = options.mtu;
  network.host_binding_ipv4 = options.default_host_ip;
  network.ipam_options = request.ipam_options;
  network.options = request.options;
  network.labels = request.labels;
  network.bridge = concat("br-", network.id.substr(0, 12));
  apply_options(network);

  std::vector<Ipv4Network> all(taken.begin(), taken.end());
  all.insert(all.end(), host_routes.begin(), host_routes.end());
  if (request.ipam.size() > 1) {
    throw Error(ErrorKind::not_implemented, "bridge networks with several subnets are not implemented yet");
  }
  if (request.ipam.empty() || request.ipam.front().subnet.empty()) {
    const std::optional<Ipv4Network> range = choose_network(options.pools, all);
    if (!range) {
      throw Error(ErrorKind::invalid_argument, "all predefined address pools have been fully subnetted");
    }
    network.ipam.push_back({range->text(), "", with_first_address(*range).address.text(), {}});
  } else {
    const IpamConfig config = complete_ipam(request.ipam.front(), taken);
    const Ipv4Network subnet = Ipv4Network::parse(config.subnet);
    for (const Ipv4Network& route : host_routes) {
      if (!route.overlaps(subnet)) continue;
      throw Error(ErrorKind::forbidden,
                  concat("Pool overlaps with other one on this address space: the host's route to ", route.text()));
    }
    network.ipam.push_back(config);
    network.fixed_subnet = true;
  }
  return network;
}

std::optional<Ipv4Network> gateway_of(const NetworkRecord& network) {
  if (network.ipam.empty()) return std::nullopt;
  const IpamConfig& config = network.ipam.front();
  return Ipv4Network{Ipv4Address::parse(config.gateway), Ipv4Network::parse(config.subnet).prefix_length};
}

Ipv4Network allocation_range(const NetworkRecord& network) {
  const IpamConfig& config = network.ipam.front();
  return Ipv4Network::parse(config.ip_range.empty() ? config.subnet : config.ip_range).range();
}

std::vector<Ipv4Address> reserved_addresses(const NetworkRecord& network) {
  std::vector<Ipv4Address> reserved;
  for (const IpamConfig& config : network.ipam) {
    reserved.push_back(Ipv4Address::parse(config.gateway));
    for (const auto& [name, text] : config.auxiliary_addresses) reserved.push_back(Ipv4Address::parse(text));
  }
  return reserved;
}

BridgeRules make_bridge_rules(const NetworkRecord& network) {
  return {network.bridge, *gateway_of(network), network.internal, network.icc, network.ip_masq};
}

Ipv4Network choose_default_bridge(const Options& options, std::span<const Ipv4Network> taken) {
  if (!options.bip.empty()) {
    const Ipv4Network address = Ipv4Network::parse(options.bip);
    if (!address.has_host_bits() || address.address == address.last() || address.prefix_length > 30) {
      throw invalid(concat("invalid bip: ", options.bip, " is no address of a host"));
    }
    for (const Ipv4Network& one : taken) {
      if (one.overlaps(address)) {
        throw Error(ErrorKind::conflict,
                    concat("bip ", options.bip, " overlaps with the host's route to ", one.text()));
      }
    }
    return address;
  }
  const std::optional<Ipv4Network> range = choose_network(options.pools, taken);
  if (!range) {
    throw Error(ErrorKind::unavailable,
                "no address range is left for the default bridge: every default address pool overlaps with a route of "
                "the host");
  }
  return with_first_address(*range);
}

}  // namespace mydocker::network
