#include "tests/unit/network/lab.h"

namespace mydocker::network::test {
namespace {

class CustomNetworkTest : public NetworkTest {
 protected:
  NetworkRecord create(const std::string& name, const std::string& subnet = "") {
    NetworkCreate request;
    request.name = name;
    if (!subnet.empty()) request.ipam = {{subnet, "", "", {}}};
    return networks().create(request);
  }
  AttachRequest request_on(const std::string& network, const std::string& container, const Netns& netns) {
    AttachRequest wanted = request(container, netns);
    wanted.network_id = networks().get(network).id;
    return wanted;
  }
};

TEST_F(CustomNetworkTest, CreateAttachDetachRemove) {
  networks().prepare();
  const std::string before = snapshot();
  const NetworkRecord net = create("net", "10.9.0.0/24");
  EXPECT_EQ(net.bridge, "br-" + net.id.substr(0, 12));
  EXPECT_EQ(net.ipam.front().gateway, "10.9.0.1");
  const Netns first, second;
  EXPECT_EQ(networks().attach(request_on("net", "a", first)).ip, "10.9.0.2");
  AttachRequest fixed = request_on("net", "b", second);
  fixed.ip = "10.9.0.7";
  EXPECT_EQ(networks().attach(fixed).ip, "10.9.0.7");
  EXPECT_TRUE(ping_from(first, "10.9.0.7"));
  EXPECT_THROW_ERROR(networks().remove("net"), ErrorKind::forbidden,
                     "error while removing network: network net has active endpoints (name:\"");
  networks().detach(make_container_id("a"));
  networks().disconnect(make_container_id("b"), "net");
  EXPECT_THROW_ERROR(networks().disconnect(make_container_id("b"), "net"), ErrorKind::internal,
                     "is not connected to network net");
  networks().remove("net");
  EXPECT_FALSE(networks().find("net"));
  NetlinkSocket socket(NETLINK_ROUTE);
  for (const Link& link : list_links(socket)) {
    if (link.kind == "veth") delete_link(socket, link.name);
  }
  EXPECT_EQ(snapshot(), before);
}

TEST_F(CustomNetworkTest, RequestsThatCannotBeAreRefused) {
  create("net", "10.9.0.0/24");
  EXPECT_THROW_ERROR(create("net"), ErrorKind::conflict, "network with name net already exists");
  EXPECT_THROW_ERROR(create("more", "10.9.0.128/25"), ErrorKind::forbidden,
                     "Pool overlaps with other one on this address space");
  EXPECT_THROW_ERROR(networks().remove("bridge"), ErrorKind::forbidden,
                     "bridge is a pre-defined network and cannot be removed");
  EXPECT_THROW_ERROR(networks().remove("nonet"), ErrorKind::not_found, "network nonet not found");
  const Netns container;
  AttachRequest fixed = request_on("net", "a", container);
  fixed.ip = "10.9.0.1";
  EXPECT_THROW_ERROR(networks().attach(fixed), ErrorKind::forbidden, "Address already in use");
  fixed.ip = "10.1.1.1";
  EXPECT_THROW_ERROR(networks().attach(fixed), ErrorKind::invalid_argument,
                     "Invalid address 10.1.1.1: It does not belong to any of this network's subnets");
}

TEST_F(CustomNetworkTest, NetworksCannotTalkUnlessAContainerIsOnBoth) {  // SECURITY N7
  create("left", "10.8.0.0/24");
  create("right", "10.9.0.0/24");
  const Netns a, b, both;
  networks().attach(request_on("left", "a", a));
  networks().attach(request_on("right", "b", b));
  networks().attach(request_on("left", "both", both));
  AttachRequest second = request_on("right", "both", both);
  second.interface = "eth1";
  second.default_route = false;
  networks().attach(second);
  EXPECT_FALSE(ping_from(a, "10.9.0.2", 200));
  EXPECT_FALSE(ping_from(b, "10.8.0.2", 200));
  EXPECT_TRUE(ping_from(both, "10.8.0.2"));
  EXPECT_TRUE(ping_from(both, "10.9.0.2"));
  EXPECT_TRUE(ping_from(a, "10.8.0.3"));
}

TEST_F(CustomNetworkTest, APublishedPortCrossesNetworksOverTheHost) {
  create("left", "10.8.0.0/24");
  const Netns client, server;
  networks().attach(request_on("left", "client", client));
  networks().attach(request("server", server, {{"", 8080, 0, 80, "tcp"}}));
  const Service http(server, "tcp", 80, "web");
  EXPECT_EQ(ask_from(client, "tcp", "10.8.0.1", 8080), "web 172.17.0.1");
  EXPECT_EQ(ask_from(client, "tcp", "172.17.0.2", 80, 200), "");
}

TEST_F(CustomNetworkTest, AnInternalNetworkHasNoOutside) {
  const Netns outside, container, neighbour;
  connect_namespaces(-1, "wan", "10.1.0.1/24", outside.fd(), "eth0", "10.1.0.2/24");
  outside.run([] { add_route("0.0.0.0/0", "10.1.0.1"); });
  NetworkCreate request;
  request.name = "closed";
  request.internal = true;
  request.ipam = {{"10.9.0.0/24", "", "", {}}};
  networks().create(request);
  networks().prepare();
  AttachRequest wanted = request_on("closed", "a", container);
  wanted.ports = {{"", 8080, 0, 80, "tcp"}};
  const Attachment made = networks().attach(wanted);
  networks().attach(request_on("closed", "b", neighbour));
  EXPECT_EQ(made.gateway, "");
  EXPECT_TRUE(made.ports.empty());
  EXPECT_TRUE(ping_from(container, "10.9.0.3"));
  container.run([] { add_route("0.0.0.0/0", "10.9.0.1"); });  // a container with NET_ADMIN could
  EXPECT_FALSE(ping_from(container, "10.1.0.2", 200));
  EXPECT_FALSE(ping_from(outside, "10.9.0.2", 200));
}

TEST_F(CustomNetworkTest, RangesComeFromThePoolsAndSurviveARestart) {
  const std::string first = create("one").ipam.front().subnet;
  EXPECT_EQ(first, "172.18.0.0/16");
  EXPECT_EQ(create("two").ipam.front().subnet, "172.19.0.0/16");
  restart();
  EXPECT_EQ(networks().get("one").ipam.front().subnet, first);
  EXPECT_EQ(networks().list().size(), 5U);
  EXPECT_EQ(create("three").ipam.front().subnet, "172.20.0.0/16");
  NetlinkSocket socket(NETLINK_ROUTE);
  delete_link(socket, networks().get("two").bridge);
  restart();
  networks().recover({});
  EXPECT_TRUE(find_link(socket, networks().get("two").bridge));
}

}  // namespace
}  // namespace mydocker::network::test
