#pragma once

#include "api/types/endpoint.h"
#include "api/types/json.h"

/// Networks on the wire (Engine API v1.51; WIRE 24).
namespace mydocker::api {

struct IpamConfig {
  std::string subnet;
  std::string ip_range;
  std::string gateway;
  StringMap auxiliary_addresses;

  static constexpr auto json_fields() {
    using T = IpamConfig;
    return std::tuple(field_omit_empty("Subnet", &T::subnet), field_omit_empty("IPRange", &T::ip_range),
                      field_omit_empty("Gateway", &T::gateway),
                      field_omit_empty("AuxiliaryAddresses", &T::auxiliary_addresses));
  }
};

struct Ipam {
  std::string driver;
  std::optional<StringMap> options;
  std::optional<std::vector<IpamConfig>> config;

  static constexpr auto json_fields() {
    return std::tuple(field("Driver", &Ipam::driver), field("Options", &Ipam::options), field("Config", &Ipam::config));
  }
};

struct ConfigReference {
  std::string network;

  static constexpr auto json_fields() { return std::tuple(field("Network", &ConfigReference::network)); }
};

/// A running container's endpoint in NetworkInspect.Containers; addresses carry the prefix length.
struct EndpointResource {
  std::string name;  ///< without slash
  std::string endpoint_id;
  std::string mac_address;
  std::string ipv4_address;
  std::string ipv6_address;

  static constexpr auto json_fields() {
    using T = EndpointResource;
    return std::tuple(field("Name", &T::name), field("EndpointID", &T::endpoint_id),
                      field("MacAddress", &T::mac_address), field("IPv4Address", &T::ipv4_address),
                      field("IPv6Address", &T::ipv6_address));
  }
};

/// GET /networks/{id} and one element of GET /networks (there `containers` stays empty).
struct NetworkInspect {
  std::string name;
  std::string id;
  Timestamp created;
  std::string scope;
  std::string driver;
  std::optional<bool> enable_ipv4;  ///< absent below 1.48
  bool enable_ipv6 = false;
  Ipam ipam;
  bool internal = false;
  bool attachable = false;
  bool ingress = false;
  ConfigReference config_from;
  bool config_only = false;
  std::map<std::string, EndpointResource> containers;
  StringMap options;
  StringMap labels;

  static constexpr auto json_fields() {
    using T = NetworkInspect;
    return std::tuple(field("Name", &T::name), field("Id", &T::id), field("Created", &T::created),
                      field("Scope", &T::scope), field("Driver", &T::driver),
                      field_omit_empty("EnableIPv4", &T::enable_ipv4), field("EnableIPv6", &T::enable_ipv6),
                      field("IPAM", &T::ipam), field("Internal", &T::internal), field("Attachable", &T::attachable),
                      field("Ingress", &T::ingress), field("ConfigFrom", &T::config_from),
                      field("ConfigOnly", &T::config_only), field("Containers", &T::containers),
                      field("Options", &T::options), field("Labels", &T::labels));
  }
};

/// POST /networks/create.
struct NetworkCreateRequest {
  std::string name;
  std::string driver;
  std::string scope;
  std::optional<bool> enable_ipv4;
  std::optional<bool> enable_ipv6;
  std::optional<Ipam> ipam;
  bool internal = false;
  bool attachable = false;
  bool ingress = false;
  bool config_only = false;
  std::optional<ConfigReference> config_from;
  StringMap options;
  StringMap labels;

  static constexpr auto json_fields() {
    using T = NetworkCreateRequest;
    return std::tuple(field("Name", &T::name), field("Driver", &T::driver), field_omit_empty("Scope", &T::scope),
                      field_omit_empty("EnableIPv4", &T::enable_ipv4), field_omit_empty("EnableIPv6", &T::enable_ipv6),
                      field_omit_empty("IPAM", &T::ipam), field("Internal", &T::internal),
                      field("Attachable", &T::attachable), field("Ingress", &T::ingress),
                      field("ConfigOnly", &T::config_only), field_omit_empty("ConfigFrom", &T::config_from),
                      field("Options", &T::options), field("Labels", &T::labels));
  }
};

struct NetworkCreateResponse {
  std::string id;
  std::string warning;

  static constexpr auto json_fields() {
    return std::tuple(field("Id", &NetworkCreateResponse::id), field("Warning", &NetworkCreateResponse::warning));
  }
};

/// POST /networks/{id}/connect.
struct NetworkConnectRequest {
  std::string container;
  std::optional<EndpointSettings> endpoint_config;

  static constexpr auto json_fields() {
    return std::tuple(field("Container", &NetworkConnectRequest::container),
                      field_omit_empty("EndpointConfig", &NetworkConnectRequest::endpoint_config));
  }
};

/// POST /networks/{id}/disconnect.
struct NetworkDisconnectRequest {
  std::string container;
  bool force = false;

  static constexpr auto json_fields() {
    return std::tuple(field("Container", &NetworkDisconnectRequest::container),
                      field("Force", &NetworkDisconnectRequest::force));
  }
};

struct NetworksPruneReport {
  std::optional<StringList> networks_deleted;

  static constexpr auto json_fields() {
    return std::tuple(field("NetworksDeleted", &NetworksPruneReport::networks_deleted));
  }
};

}  // namespace mydocker::api
