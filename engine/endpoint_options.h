#pragma once

#include <string>
#include <vector>

#include "api/types/endpoint.h"
#include "network/records.h"

/// DriverOpts of an endpoint (EndpointsConfig): what they ask of the container's link. Pure.
namespace mydocker::engine {

struct EndpointOptions {
  std::string interface;  ///< "com.docker.network.endpoint.ifname"; "": the usual name
  /// "com.docker.network.endpoint.sysctls": net.ipv4.conf.IFNAME.log_martians=1,...
  std::vector<network::LinkSysctl> sysctls;
};

/// Throws Error{invalid_argument} that names the key or the sysctl.
EndpointOptions parse_endpoint_options(const api::StringMap& options);

}  // namespace mydocker::engine
