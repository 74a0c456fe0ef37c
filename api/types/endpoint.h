#pragma once

#include "api/types/json.h"

namespace mydocker::api {

/// EndpointSettings.IPAMConfig: addresses that the user asks for.
struct EndpointIpamConfig {
  std::string ipv4_address;
  std::string ipv6_address;
  StringList link_local_ips;

  static constexpr auto json_fields() {
    return std::tuple(field_omit_empty("IPv4Address", &EndpointIpamConfig::ipv4_address),
                      field_omit_empty("IPv6Address", &EndpointIpamConfig::ipv6_address),
                      field_omit_empty("LinkLocalIPs", &EndpointIpamConfig::link_local_ips));
  }
};

/// One container's link to one network: NetworkingConfig.EndpointsConfig, NetworkSettings.Networks, network connect.
/// Input: ipam_config, links, aliases, mac_address, driver_opts, gateway_priority. The rest is the engine's answer.
struct EndpointSettings {
  std::optional<EndpointIpamConfig> ipam_config;
  std::optional<StringList> links;
  std::optional<StringList> aliases;
  std::string mac_address;
  std::optional<StringMap> driver_opts;
  std::int64_t gateway_priority = 0;
  std::string network_id;
  std::string endpoint_id;
  std::string gateway;
  std::string ip_address;
  std::int64_t ip_prefix_length = 0;
  std::string ipv6_gateway;
  std::string global_ipv6_address;
  std::int64_t global_ipv6_prefix_length = 0;
  std::optional<StringList> dns_names;

  static constexpr auto json_fields() {
    using T = EndpointSettings;
    return std::tuple(field("IPAMConfig", &T::ipam_config), field("Links", &T::links), field("Aliases", &T::aliases),
                      field("MacAddress", &T::mac_address), field("DriverOpts", &T::driver_opts),
                      field("GwPriority", &T::gateway_priority), field("NetworkID", &T::network_id),
                      field("EndpointID", &T::endpoint_id), field("Gateway", &T::gateway),
                      field("IPAddress", &T::ip_address), field("IPPrefixLen", &T::ip_prefix_length),
                      field("IPv6Gateway", &T::ipv6_gateway), field("GlobalIPv6Address", &T::global_ipv6_address),
                      field("GlobalIPv6PrefixLen", &T::global_ipv6_prefix_length), field("DNSNames", &T::dns_names));
  }
};

/// Network name or ID -> settings. A null value reads as {}.
using EndpointMap = std::map<std::string, EndpointSettings>;

}  // namespace mydocker::api
