#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/time.h"
#include "engine/base/unique_fd.h"

/// What this module and its callers exchange: plain values, addresses as text ("172.17.0.2").
namespace mydocker::network {

/// One address range of a network (wire: IPAM.Config[]).
struct IpamConfig {
  std::string subnet;                                      ///< "172.17.0.0/16"
  std::string ip_range;                                    ///< part of the subnet that automatic choice uses, or ""
  std::string gateway;                                     ///< "172.17.0.1"; "" for host and none
  std::map<std::string, std::string> auxiliary_addresses;  ///< name -> address that is never handed out
};

/// One network. A row of the database; `id` and `name` are unique.
struct NetworkRecord {
  std::string id;  ///< 64 hex digits, stable over restarts
  std::string name;
  std::string driver;  ///< "bridge", "host" or "null"
  std::string scope = "local";
  Timestamp created{};
  std::string bridge;       ///< name of the bridge interface; "" for host and none
  bool predefined = false;  ///< bridge, host and none: cannot be created or removed
  bool enable_ipv4 = true;
  bool enable_ipv6 = false;
  bool internal = false;  ///< no route to the outside and none from there
  bool attachable = false;
  bool icc = true;      ///< its containers may talk to each other without published ports
  bool ip_masq = true;  ///< what leaves the host carries the host's address
  /// The address range came from a request: only then may containers ask for fixed addresses.
  bool fixed_subnet = false;
  std::uint32_t mtu = 1500;
  std::string host_binding_ipv4 = "0.0.0.0";  ///< host address of ports published without one
  std::vector<IpamConfig> ipam;
  std::map<std::string, std::string> ipam_options;
  std::map<std::string, std::string> options;  ///< as printed: com.docker.network.bridge.name ...
  std::map<std::string, std::string> labels;
};

/// A port to be published.
struct PortRequest {
  std::string host_ip;                ///< "" = the network's host_binding_ipv4
  std::uint16_t host_port_first = 0;  ///< 0 = one of the host's ephemeral range
  std::uint16_t host_port_last = 0;   ///< last of a range; the first free one is taken; 0 = no range
  std::uint16_t container_port = 0;
  std::string protocol = "tcp";  ///< "tcp", "udp" or "sctp"
};

/// A published port as it became.
struct PortBinding {
  std::string host_ip;
  std::uint16_t host_port = 0;
  std::uint16_t container_port = 0;
  std::string protocol = "tcp";

  bool operator==(const PortBinding&) const = default;
};

/// What a container wants of one network.
/// net.<group>.<link>.<name> inside the container's namespace, such as ipv4.conf, log_martians.
struct LinkSysctl {
  std::string group;  ///< "ipv4/conf"
  std::string name;
  std::string value;
};

struct AttachRequest {
  std::string container_id;
  std::string container_name;  ///< without slash; stands in error texts only
  std::string network_id;
  int netns_fd = -1;  ///< the container's network namespace; borrowed for the call
  std::string interface = "eth0";
  std::optional<std::string> mac;  ///< "02:42:ac:11:00:02"; default 02:42 + IPv4 bytes
  std::optional<std::string> ip;   ///< a fixed address; user-defined networks only
  bool default_route = true;       ///< false for the second and later networks of a container
  std::vector<PortRequest> ports;
  std::vector<LinkSysctl> sysctls;  ///< of the inner link, written before it comes up
};

/// One container's link to one network. A row of the database while the container is attached.
struct EndpointRecord {
  std::string endpoint_id;  ///< 64 hex digits
  std::string container_id;
  std::string container_name;
  std::string network_id;
  std::string interface;       ///< inside: "eth0"
  std::string host_interface;  ///< outside: "veth1a2b3c4"; also carries the container in its alias
  std::string ip;
  int prefix_length = 0;
  std::string gateway;  ///< "" for an internal network
  std::string mac;
  std::vector<PortBinding> ports;
};

/// The result of attach.
struct Attachment : EndpointRecord {
  /// Bound sockets, so that no other program of the host takes a published port. The shim keeps them as long as the
  /// container lives.
  std::vector<UniqueFd> port_holders;
};

/// What a user-defined network is made from (wire: NetworkCreateRequest).
struct NetworkCreate {
  std::string name;
  std::string driver = "bridge";
  bool internal = false;
  bool attachable = false;
  bool enable_ipv6 = false;
  std::vector<IpamConfig> ipam;  ///< empty: the next free range of the default pools
  std::map<std::string, std::string> ipam_options;
  std::map<std::string, std::string> options;
  std::map<std::string, std::string> labels;
};

}  // namespace mydocker::network
