#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Address arithmetic: which range a network gets, which address a container. Pure; any thread; nothing blocks.
namespace mydocker::network {

/// An IPv4 address as a number in host byte order.
struct Ipv4Address {
  std::uint32_t value = 0;

  /// Four decimal parts without leading zeros; nullopt for all else.
  static std::optional<Ipv4Address> find(std::string_view text);
  /// Throws Error{invalid_argument} "invalid IPv4 address: x".
  static Ipv4Address parse(std::string_view text);
  std::string text() const;
  bool is_loopback() const { return (value >> 24) == 127; }

  auto operator<=>(const Ipv4Address&) const = default;
};

/// An address with a prefix length; the host bits may be set ("10.5.0.1/24").
struct Ipv4Network {
  Ipv4Address address;
  int prefix_length = 0;

  /// Throws Error{invalid_argument} "invalid CIDR address: x".
  static Ipv4Network parse(std::string_view text);
  std::string text() const;
  std::uint32_t mask() const { return prefix_length == 0 ? 0 : ~std::uint32_t{0} << (32 - prefix_length); }
  Ipv4Address first() const { return {address.value & mask()}; }
  Ipv4Address last() const { return {address.value | ~mask()}; }
  /// The same range with the host bits cleared.
  Ipv4Network range() const { return {first(), prefix_length}; }
  bool has_host_bits() const { return address != first(); }
  bool contains(Ipv4Address other) const { return (other.value & mask()) == (address.value & mask()); }
  bool contains(const Ipv4Network& other) const;
  bool overlaps(const Ipv4Network& other) const;

  auto operator<=>(const Ipv4Network&) const = default;
};

/// A range that is cut into networks of `size` bits.
struct AddressPool {
  Ipv4Network base;
  int size = 16;
};

/// Docker's: 172.17/16 to 172.31/16, then 192.168.0.0/16 in /20 (WIRE 24).
std::vector<AddressPool> default_address_pools();

/// "172.16.0.0/12", 24 (daemon.json default-address-pools). Throws Error{invalid_argument}.
AddressPool make_address_pool(std::string_view base, int size);

/// The first range of the pools that overlaps none of `taken` (networks of ours and routes of the host).
std::optional<Ipv4Network> choose_network(std::span<const AddressPool> pools, std::span<const Ipv4Network> taken);

/// The next address of `range` after `previous`, ascending and around, so that a released one is reused late. Never the
/// network or broadcast address of `subnet`, never one of `taken`. nullopt: the range is full.
std::optional<Ipv4Address> choose_address(const Ipv4Network& subnet, const Ipv4Network& range,
                                          const std::set<Ipv4Address>& taken, std::optional<Ipv4Address> previous);

/// "02:42:" + the four bytes of the address (WIRE 24).
std::string make_mac(Ipv4Address address);
/// Six hex pairs with ':' or '-', unicast; throws Error{invalid_argument} "invalid MAC address: x".
std::string parse_mac(std::string_view text);

/// "8080", "8000-8010" or "" of a request. Throws Error{invalid_argument} `invalid port specification: "abc"`.
struct PortRange {
  std::uint16_t first = 0;
  std::uint16_t last = 0;
};
PortRange parse_port_range(std::string_view text);

}  // namespace mydocker::network
