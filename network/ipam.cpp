#include "network/ipam.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "engine/base/error.h"

namespace mydocker::network {
namespace {

template <typename Number>
std::optional<Number> find_number(std::string_view text, int base = 10) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

std::optional<std::uint16_t> find_port(std::string_view text) { return find_number<std::uint16_t>(text); }

}  // namespace

std::optional<Ipv4Address> Ipv4Address::find(std::string_view text) {
  std::uint32_t value = 0;
  for (int part = 0; part < 4; ++part) {
    const std::size_t dot = part < 3 ? text.find('.') : text.size();
    if (dot == std::string_view::npos) return std::nullopt;
    const std::string_view digits = text.substr(0, dot);
    const auto number = find_number<std::uint8_t>(digits);
    if (!number || (digits.size() > 1 && digits[0] == '0')) return std::nullopt;
    value = value << 8 | *number;
    text.remove_prefix(part < 3 ? dot + 1 : dot);
  }
  return Ipv4Address{value};
}

Ipv4Address Ipv4Address::parse(std::string_view text) {
  if (const std::optional<Ipv4Address> address = find(text)) return *address;
  throw Error(ErrorKind::invalid_argument, concat("invalid IPv4 address: ", text));
}

std::string Ipv4Address::text() const {
  return concat(value >> 24, '.', value >> 16 & 0xff, '.', value >> 8 & 0xff, '.', value & 0xff);
}

Ipv4Network Ipv4Network::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash != std::string_view::npos) {
    const std::optional<Ipv4Address> address = Ipv4Address::find(text.substr(0, slash));
    const auto length = find_number<std::uint8_t>(text.substr(slash + 1));
    if (address && length && *length <= 32) return {*address, *length};
  }
  throw Error(ErrorKind::invalid_argument, concat("invalid CIDR address: ", text));
}

std::string Ipv4Network::text() const { return concat(address.text(), '/', prefix_length); }

bool Ipv4Network::contains(const Ipv4Network& other) const {
  return other.prefix_length >= prefix_length && contains(other.address);
}

bool Ipv4Network::overlaps(const Ipv4Network& other) const {
  return contains(other.address) || other.contains(address);
}

std::vector<AddressPool> default_address_pools() {
  std::vector<AddressPool> pools;
  for (const char* base :
       {"172.17.0.0/16", "172.18.0.0/16", "172.19.0.0/16", "172.20.0.0/14", "172.24.0.0/14", "172.28.0.0/14"}) {
    pools.push_back(make_address_pool(base, 16));
  }
  pools.push_back(make_address_pool("192.168.0.0/16", 20));
  return pools;
}

AddressPool make_address_pool(std::string_view base, int size) {
  const Ipv4Network network = Ipv4Network::parse(base);
  if (size < network.prefix_length || size > 30) {
    throw Error(ErrorKind::invalid_argument, concat("invalid address pool ", base, ": size ", size, " must be between ",
                                                    network.prefix_length, " and 30"));
  }
  return {network.range(), size};
}

std::optional<Ipv4Network> choose_network(std::span<const AddressPool> pools, std::span<const Ipv4Network> taken) {
  for (const AddressPool& pool : pools) {
    Ipv4Network candidate{pool.base.first(), pool.size};
    for (;;) {
      const auto clash =
          std::find_if(taken.begin(), taken.end(), [&](const Ipv4Network& one) { return one.overlaps(candidate); });
      if (clash == taken.end()) return candidate;
      // Behind whichever ends later: a large foreign route is passed in one step.
      const std::uint64_t behind = std::uint64_t{std::max(clash->last(), candidate.last()).value} + 1;
      if (behind > pool.base.last().value) break;
      candidate.address.value = static_cast<std::uint32_t>(behind);
    }
  }
  return std::nullopt;
}

std::optional<Ipv4Address> choose_address(const Ipv4Network& subnet, const Ipv4Network& range,
                                          const std::set<Ipv4Address>& taken, std::optional<Ipv4Address> previous) {
  std::uint64_t low = std::max(range.first(), subnet.first()).value;
  std::uint64_t high = std::min(range.last(), subnet.last()).value;
  if (subnet.prefix_length < 31) {  // /31 and /32 have neither network nor broadcast address (RFC 3021)
    low = std::max<std::uint64_t>(low, std::uint64_t{subnet.first().value} + 1);
    high = std::min<std::uint64_t>(high, std::uint64_t{subnet.last().value} - 1);
  }
  if (low > high) return std::nullopt;
  const auto lowest = static_cast<std::uint32_t>(low);
  const auto highest = static_cast<std::uint32_t>(high);

  /// The first free address of [from, to]: steps over runs of taken ones.
  const auto scan = [&](std::uint32_t from, std::uint32_t to) -> std::optional<Ipv4Address> {
    std::uint64_t next = from;
    for (auto it = taken.lower_bound(Ipv4Address{from}); it != taken.end() && it->value == next; ++it) ++next;
    if (next > to) return std::nullopt;
    return Ipv4Address{static_cast<std::uint32_t>(next)};
  };
  if (previous && previous->value >= lowest && previous->value < highest) {
    if (const auto found = scan(previous->value + 1, highest)) return found;
    return scan(lowest, previous->value);
  }
  return scan(lowest, highest);
}

std::string make_mac(Ipv4Address address) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string mac = "02:42";
  for (int shift = 24; shift >= 0; shift -= 8) {
    const std::uint32_t byte = address.value >> shift & 0xff;
    mac += {':', digits[byte >> 4], digits[byte & 15]};
  }
  return mac;
}

std::string parse_mac(std::string_view text) {
  const auto fail = [&] { return Error(ErrorKind::invalid_argument, concat("invalid MAC address: ", text)); };
  if (text.size() != 17) throw fail();
  std::string mac;
  for (std::size_t at = 0; at < text.size(); at += 3) {
    const auto byte = find_number<std::uint8_t>(text.substr(at, 2), 16);
    if (!byte || (at == 0 && (*byte & 1) != 0)) throw fail();
    if (at + 2 < text.size() && text[at + 2] != ':' && text[at + 2] != '-') throw fail();
    for (const char digit : text.substr(at, 2)) mac.push_back(digit >= 'A' && digit <= 'F' ? char(digit + 32) : digit);
    if (at + 2 < text.size()) mac.push_back(':');
  }
  if (mac == "00:00:00:00:00:00") throw fail();
  return mac;
}

PortRange parse_port_range(std::string_view text) {
  if (text.empty()) return {};
  const std::size_t dash = text.find('-');
  const auto first = find_port(text.substr(0, dash));
  const auto last = dash == std::string_view::npos ? first : find_port(text.substr(dash + 1));
  if (!first || !last || *first > *last) {
    throw Error(ErrorKind::invalid_argument, concat("invalid port specification: \"", text, "\""));
  }
  return {*first, *last};
}

}  // namespace mydocker::network
