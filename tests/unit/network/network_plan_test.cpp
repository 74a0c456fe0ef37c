#include "network/network_plan.h"

#include <gtest/gtest.h>

#include "tests/support/requirements.h"

namespace mydocker::network {
namespace {

NetworkRecord make(const NetworkCreate& request, const std::vector<Ipv4Network>& routes = {}) {
  return make_network(request, {}, {}, routes);
}

NetworkCreate with_ipam(IpamConfig config) {
  NetworkCreate request;
  request.name = "n";
  request.ipam.push_back(std::move(config));
  return request;
}

TEST(NetworkPlan, CompletesARequest) {
  const NetworkRecord network = make(with_ipam({"10.9.0.0/24", "", "", {{"printer", "10.9.0.5"}}}));
  EXPECT_EQ(network.ipam.front().gateway, "10.9.0.1");
  EXPECT_EQ(gateway_of(network)->text(), "10.9.0.1/24");
  EXPECT_EQ(reserved_addresses(network).size(), 2U);
  EXPECT_TRUE(network.fixed_subnet);
  EXPECT_EQ(allocation_range(make(with_ipam({"10.9.0.0/16", "10.9.4.0/24", "10.9.0.1", {}}))).text(), "10.9.4.0/24");
}

TEST(NetworkPlan, RefusesBadAddresses) {
  EXPECT_THROW_ERROR(make(with_ipam({"10.9.0.1/24", "", "", {}})), ErrorKind::invalid_argument,
                     "invalid subnet 10.9.0.1/24: it should be 10.9.0.0/24");
  EXPECT_THROW_ERROR(make(with_ipam({"10.9.0.0/24", "", "10.8.0.1", {}})), ErrorKind::invalid_argument,
                     "invalid gateway 10.8.0.1: parent subnet 10.9.0.0/24 does not contain it");
  EXPECT_THROW_ERROR(make(with_ipam({"10.9.0.0/24", "10.8.0.0/25", "", {}})), ErrorKind::invalid_argument,
                     "invalid ip-range 10.8.0.0/25");
  EXPECT_THROW_ERROR(make(with_ipam({"10.9.0.0/31", "", "", {}})), ErrorKind::invalid_argument, "no room");
  EXPECT_THROW_ERROR(make(with_ipam({"nonsense", "", "", {}})), ErrorKind::invalid_argument, "invalid CIDR address");
  EXPECT_THROW_ERROR(make(with_ipam({"10.9.0.0/24", "", "", {}}), {Ipv4Network::parse("10.0.0.0/8")}),
                     ErrorKind::forbidden, "Pool overlaps with other one on this address space");
}

TEST(NetworkPlan, RefusesBadNamesAndDrivers) {
  NetworkCreate request;
  EXPECT_THROW_ERROR(make(request), ErrorKind::invalid_argument, "invalid network name");
  for (const char* name : {"a b", "-a", "a/b", "a\nb"}) {
    request.name = name;
    EXPECT_THROW_ERROR(make(request), ErrorKind::invalid_argument, "invalid network name");
  }
  for (const char* name : {"bridge", "host", "none"}) {
    request.name = name;
    EXPECT_THROW_ERROR(make(request), ErrorKind::forbidden, "operation is not permitted on predefined");
  }
  request.name = "n";
  request.driver = "nope";
  EXPECT_THROW_ERROR(make(request), ErrorKind::not_found, "plugin \"nope\" not found");
  request.driver = "overlay";
  EXPECT_THROW_ERROR(make(request), ErrorKind::forbidden, "This node is not a swarm manager");
  request.driver = "macvlan";
  EXPECT_THROW_ERROR(make(request), ErrorKind::not_implemented, "macvlan");
}

TEST(NetworkPlan, BridgeOptionsTakeEffect) {
  NetworkCreate request;
  request.name = "n";
  request.options = {{"com.docker.network.bridge.name", "mybr"},
                     {"com.docker.network.bridge.enable_icc", "false"},
                     {"com.docker.network.bridge.enable_ip_masquerade", "false"},
                     {"com.docker.network.bridge.host_binding_ipv4", "127.0.0.1"},
                     {"com.docker.network.driver.mtu", "1400"},
                     {"other", "kept"}};
  const NetworkRecord network = make(request);
  EXPECT_EQ(network.bridge, "mybr");
  EXPECT_FALSE(network.icc);
  EXPECT_FALSE(network.ip_masq);
  EXPECT_EQ(network.host_binding_ipv4, "127.0.0.1");
  EXPECT_EQ(network.mtu, 1400U);
  EXPECT_EQ(network.options, request.options);
  for (const auto& [key, value] :
       {std::pair{"com.docker.network.driver.mtu", "x"}, std::pair{"com.docker.network.bridge.enable_icc", "maybe"},
        std::pair{"com.docker.network.bridge.name", "a/b"}}) {
    request.options = {{key, value}};
    EXPECT_THROW_ERROR(make(request), ErrorKind::invalid_argument, "invalid");
  }
}

}  // namespace
}  // namespace mydocker::network
