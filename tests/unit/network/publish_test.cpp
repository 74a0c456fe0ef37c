#include <arpa/inet.h>
#include <sys/socket.h>

#include "network/host_files.h"
#include "tests/unit/network/lab.h"

namespace mydocker::network::test {
namespace {

/// host (10.1.0.1 on wan, 10.2.0.1 on lan) - neighbour (10.1.0.2) and - other (10.2.0.2), each with a route to the
/// containers over the host, as an attacker on the same wire would have.
class PublishTest : public NetworkTest {
 protected:
  void SetUp() override {
    NetworkTest::SetUp();
    if (IsSkipped()) return;
    neighbour_.emplace();
    other_.emplace();
    container_.emplace();
    connect_namespaces(-1, "wan", "10.1.0.1/24", neighbour_->fd(), "eth0", "10.1.0.2/24");
    connect_namespaces(-1, "lan", "10.2.0.1/24", other_->fd(), "eth0", "10.2.0.2/24");
    neighbour_->run([] { add_route("0.0.0.0/0", "10.1.0.1"); });
    other_->run([] { add_route("0.0.0.0/0", "10.2.0.1"); });
  }

  Attachment attach(std::vector<PortRequest> ports) {
    return networks().attach(request("web", *container_, std::move(ports)));
  }

  std::optional<Netns> neighbour_, other_, container_;
};

TEST_F(PublishTest, APortOfAllAddressesIsReachedFromEverywhere) {
  const Attachment web = attach({{"", 8080, 0, 80, "tcp"}, {"", 5353, 0, 53, "udp"}});
  ASSERT_EQ(web.ports.size(), 2U);
  EXPECT_EQ(web.ports[0], (PortBinding{"0.0.0.0", 8080, 80, "tcp"}));
  EXPECT_EQ(web.port_holders.size(), 2U);
  const Service http(*container_, "tcp", 80, "web");
  const Service dns(*container_, "udp", 53, "dns");

  EXPECT_EQ(ask("tcp", "127.0.0.1", 8080), "web 172.17.0.1");
  EXPECT_EQ(ask("tcp", "127.9.9.9", 8080), "web 172.17.0.1");
  EXPECT_EQ(ask("udp", "127.0.0.1", 5353), "dns 172.17.0.1");
  EXPECT_EQ(ask("tcp", "10.1.0.1", 8080), "web 10.1.0.1");  // the host's own address: the service sees it
  EXPECT_EQ(ask("udp", "10.1.0.1", 5353), "dns 10.1.0.1");
  EXPECT_EQ(ask_from(*neighbour_, "tcp", "10.1.0.1", 8080), "web 10.1.0.2");  // SECURITY N5: the client's address
  EXPECT_EQ(ask_from(*neighbour_, "udp", "10.1.0.1", 5353), "dns 10.1.0.2");
  EXPECT_EQ(ask_from(*other_, "tcp", "10.2.0.1", 8080), "web 10.2.0.2");
  EXPECT_EQ(ask("tcp", "172.17.0.2", 80), "web 172.17.0.1");  // the host, straight
}

TEST_F(PublishTest, AContainerReachesPublishedPortsOverTheHostsAddress) {
  attach({{"", 8080, 0, 80, "tcp"}});
  const Netns second;
  networks().attach(request("client", second));
  const Service http(*container_, "tcp", 80, "web");
  EXPECT_EQ(ask_from(second, "tcp", "172.17.0.1", 8080), "web 172.17.0.1");
  EXPECT_EQ(ask_from(second, "tcp", "10.1.0.1", 8080), "web 172.17.0.1");
  EXPECT_EQ(ask_from(*container_, "tcp", "10.1.0.1", 8080), "web 172.17.0.1");  // itself
}

TEST_F(PublishTest, ALoopbackPortIsForTheHostAlone) {
  attach({{"127.0.0.1", 8080, 0, 80, "tcp"}});
  const Service http(*container_, "tcp", 80, "web");
  EXPECT_EQ(ask("tcp", "127.0.0.1", 8080), "web 172.17.0.1");
  EXPECT_EQ(ask("tcp", "10.1.0.1", 8080, 200), "");
  EXPECT_EQ(ask_from(*neighbour_, "tcp", "10.1.0.1", 8080, 200), "");
}

TEST_F(PublishTest, CraftedFramesToLoopbackAreDropped) {
  attach({{"127.0.0.1", 8080, 0, 80, "tcp"}, {"127.0.0.1", 5353, 0, 53, "udp"}});
  const Service http(*container_, "tcp", 80, "web");
  const Service dns(*container_, "udp", 53, "dns");
  const Service local("tcp", "127.0.0.1", 9000, "host");  // a program of the host that trusts loopback
  const auto attack = [] {
    // In a namespace whose lo is down, 127.0.0.1 can be routed over the wire.
    write_sysctl("net/ipv4/conf/all/route_localnet", "1");
  };
  neighbour_->run([&] {
    attack();
    add_route("127.0.0.1/32", "10.1.0.1");
    EXPECT_EQ(ask("tcp", "127.0.0.1", 8080, 200), "");
    EXPECT_EQ(ask("udp", "127.0.0.1", 5353, 200), "");
    EXPECT_EQ(ask("tcp", "127.0.0.1", 9000, 200), "");
  });
  const Netns evil;
  networks().attach(request("evil", evil));
  evil.run([&] {
    attack();
    NetlinkSocket socket(NETLINK_ROUTE);
    remove_address(socket, 1, Ipv4Network::parse("127.0.0.1/8"));
    add_route("127.0.0.1/32", "172.17.0.1");
    EXPECT_EQ(ask("tcp", "127.0.0.1", 8080, 200), "");
    EXPECT_EQ(ask("tcp", "127.0.0.1", 9000, 200), "");
  });
  EXPECT_EQ(ask("tcp", "127.0.0.1", 8080), "web 172.17.0.1");  // the benign twin
}

TEST_F(PublishTest, APortOfOneAddressIsNotReachedOverAnotherInterface) {
  attach({{"10.2.0.1", 8080, 0, 80, "tcp"}});
  const Service http(*container_, "tcp", 80, "web");
  EXPECT_EQ(ask_from(*other_, "tcp", "10.2.0.1", 8080), "web 10.2.0.2");
  EXPECT_EQ(ask("tcp", "10.2.0.1", 8080), "web 10.2.0.1");
  EXPECT_EQ(ask_from(*neighbour_, "tcp", "10.2.0.1", 8080, 200), "");
  EXPECT_EQ(ask_from(*neighbour_, "tcp", "10.1.0.1", 8080, 200), "");
  const Netns second;
  networks().attach(request("client", second));
  EXPECT_EQ(ask_from(second, "tcp", "10.2.0.1", 8080), "web 172.17.0.1");
}

TEST_F(PublishTest, ContainerAddressesAreNotReachedByARoute) {
  attach({{"", 8080, 0, 80, "tcp"}});
  const Service http(*container_, "tcp", 80, "web");
  const Service unpublished(*container_, "tcp", 81, "secret");
  EXPECT_EQ(ask_from(*neighbour_, "tcp", "10.1.0.1", 8080), "web 10.1.0.2");
  EXPECT_EQ(ask_from(*neighbour_, "tcp", "172.17.0.2", 80, 200), "");
  EXPECT_EQ(ask_from(*neighbour_, "tcp", "172.17.0.2", 81, 200), "");
  EXPECT_EQ(ask_from(*neighbour_, "tcp", "10.1.0.1", 81, 200), "");
  EXPECT_FALSE(ping_from(*neighbour_, "172.17.0.2", 200));
  EXPECT_EQ(ask("tcp", "172.17.0.2", 81), "secret 172.17.0.1");  // the host itself may
}

TEST_F(PublishTest, TheHostBecomesNoRouterForOthers) {
  EXPECT_FALSE(ping_from(*neighbour_, "10.2.0.2", 200));
  attach({});
  EXPECT_TRUE(ping_from(*container_, "10.2.0.2"));
  EXPECT_TRUE(ping_from(*container_, "10.1.0.2"));
  EXPECT_FALSE(ping_from(*neighbour_, "10.2.0.2", 200));
}

TEST_F(PublishTest, AHostThatIsARouterStaysOne) {
  write_sysctl("net/ipv4/ip_forward", "1");
  EXPECT_TRUE(ping_from(*neighbour_, "10.2.0.2"));
  attach({});
  EXPECT_TRUE(ping_from(*neighbour_, "10.2.0.2"));
}

TEST_F(PublishTest, OutgoingTrafficCarriesTheHostsAddress) {
  attach({});
  // Without a route back to the containers: the answer can come only if the source was the host's.
  const Service http(*neighbour_, "tcp", 80, "outside");
  const Service dns(*neighbour_, "udp", 53, "dns");
  EXPECT_EQ(ask_from(*container_, "tcp", "10.1.0.2", 80), "outside 10.1.0.1");
  EXPECT_EQ(ask_from(*container_, "udp", "10.1.0.2", 53), "dns 10.1.0.1");
  EXPECT_TRUE(ping_from(*container_, "10.1.0.2"));
}

TEST_F(PublishTest, WithoutMasqueradeTheSourceStays) {
  Options options;
  options.ip_masq = false;
  restart(options);
  attach({});
  const Service http(*neighbour_, "tcp", 80, "outside");
  EXPECT_EQ(ask_from(*container_, "tcp", "10.1.0.2", 80), "outside 172.17.0.2");  // it has a route to us
}

TEST_F(PublishTest, EphemeralPortsAreReal) {
  const Attachment web = attach({{"", 0, 0, 80, "tcp"}, {"", 0, 0, 81, "tcp"}, {"127.0.0.1", 0, 0, 53, "udp"}});
  ASSERT_EQ(web.ports.size(), 3U);
  EXPECT_NE(web.ports[0].host_port, web.ports[1].host_port);
  for (const PortBinding& port : web.ports) {
    EXPECT_GE(port.host_port, 32768);
    EXPECT_LE(port.host_port, 60999);
  }
  const Service http(*container_, "tcp", 80, "web");
  EXPECT_EQ(ask_from(*neighbour_, "tcp", "10.1.0.1", web.ports[0].host_port), "web 10.1.0.2");
}

TEST_F(PublishTest, TakenPortsAreNamedInDockersWords) {
  const Attachment web = attach({{"", 8080, 0, 80, "tcp"}});
  const std::string before = snapshot();
  const Netns second;
  EXPECT_THROW_ERROR(networks().attach(request("second", second, {{"", 8080, 0, 80, "tcp"}})), ErrorKind::internal,
                     "driver failed programming external connectivity on endpoint second (");
  EXPECT_THROW_ERROR(networks().attach(request("second", second, {{"127.0.0.1", 8080, 0, 80, "tcp"}})),
                     ErrorKind::internal, "): Bind for 127.0.0.1:8080 failed: port is already allocated");
  EXPECT_THROW_ERROR(networks().attach(request("second", second, {{"10.9.9.9", 8081, 0, 80, "tcp"}})),
                     ErrorKind::internal, "Bind for 10.9.9.9:8081 failed: cannot assign requested address");
  EXPECT_THROW_ERROR(networks().attach(request("second", second, {{"", 8081, 0, 80, "icmp"}})),
                     ErrorKind::invalid_argument, "invalid proto: icmp");
  EXPECT_THROW_ERROR(networks().attach(request("second", second, {{"::1", 8081, 0, 80, "tcp"}})),
                     ErrorKind::not_implemented, "IPv6");
  const Service local("tcp", "0.0.0.0", 8082, "host");
  EXPECT_THROW_ERROR(networks().attach(request("second", second, {{"", 8083, 0, 80, "tcp"}, {"", 8082, 0, 81, "tcp"}})),
                     ErrorKind::internal, "0.0.0.0:8082:172.17.0.");
  EXPECT_EQ(snapshot(), before);
  // What failed took nothing with it; other protocols and addresses are other ports.
  networks().attach(request("second", second, {{"", 8083, 0, 80, "tcp"}, {"", 8080, 0, 80, "udp"}}));
}

TEST_F(PublishTest, ARangeTakesItsFirstFreePort) {
  attach({{"", 9000, 9001, 80, "tcp"}});
  const Netns second, third;
  EXPECT_EQ(networks().attach(request("second", second, {{"", 9000, 9001, 80, "tcp"}})).ports[0].host_port, 9001);
  EXPECT_THROW_ERROR(networks().attach(request("third", third, {{"", 9000, 9001, 80, "tcp"}})), ErrorKind::internal,
                     "Bind for 0.0.0.0:9000-9001 failed: all ports are allocated");
}

TEST_F(PublishTest, APublishedPortIsClosedToOtherProgramsUntilItsHolderGoes) {
  const auto can_bind = [] {
    const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(8080);
    return ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  };
  {
    const Attachment web = attach({{"", 8080, 0, 80, "tcp"}});
    EXPECT_FALSE(can_bind());
  }
  EXPECT_TRUE(can_bind());
}

TEST_F(PublishTest, AWithdrawnPortIsClosed) {
  attach({{"", 8080, 0, 80, "tcp"}, {"", 5353, 0, 53, "udp"}});
  const Service http(*container_, "tcp", 80, "web");
  const Service dns(*container_, "udp", 53, "dns");
  EXPECT_EQ(ask_from(*neighbour_, "tcp", "10.1.0.1", 8080), "web 10.1.0.2");
  EXPECT_EQ(ask_from(*neighbour_, "udp", "10.1.0.1", 5353), "dns 10.1.0.2");
  networks().detach(make_container_id("web"));
  EXPECT_EQ(ask_from(*neighbour_, "tcp", "10.1.0.1", 8080, 200), "");
  EXPECT_EQ(ask("tcp", "127.0.0.1", 8080, 200), "");
  EXPECT_EQ(ask_from(*neighbour_, "udp", "10.1.0.1", 5353, 200), "");
}

TEST_F(PublishTest, AnUdpSenderThatNeverPausesFollowsTheContainer) {
  attach({{"", 5353, 0, 53, "udp"}});
  const UniqueFd sender = neighbour_->run([] {
    UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in peer{};
    peer.sin_family = AF_INET;
    peer.sin_port = htons(5353);
    ::inet_pton(AF_INET, "10.1.0.1", &peer.sin_addr);
    ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&peer), sizeof peer);
    return fd;
  });
  const auto ask_again = [&] {
    char text[64] = "?";
    timeval patience{0, 300000};
    ::setsockopt(sender.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::send(sender.get(), text, 1, 0);
    const ssize_t size = ::recv(sender.get(), text, sizeof text, 0);
    return size > 0 ? std::string(text, static_cast<std::size_t>(size)) : std::string();
  };
  {
    const Service dns(*container_, "udp", 53, "first");
    EXPECT_EQ(ask_again(), "first 10.1.0.2");
  }
  networks().detach(make_container_id("web"));
  EXPECT_EQ(ask_again(), "");  // meanwhile: a connection to the host itself is tracked
  const Netns second;
  const Attachment next = networks().attach(request("second", second, {{"", 5353, 0, 53, "udp"}}));
  const Service dns(second, "udp", 53, "second");
  EXPECT_EQ(ask_again(), "second 10.1.0.2");
}

TEST_F(PublishTest, AFlushedRuleSetIsBackAtOnce) {
  networks().start_watch();
  attach({{"", 8080, 0, 80, "tcp"}});
  const Service http(*container_, "tcp", 80, "web");
  const std::string before = nft("list ruleset");
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(nft_by_another_program(i % 2 == 0 ? "flush ruleset" : "flush chain inet mydocker to_bridge"));
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    while (nft("list ruleset") != before && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    ASSERT_EQ(nft("list ruleset"), before) << i;
  }
  EXPECT_EQ(ask_from(*neighbour_, "tcp", "10.1.0.1", 8080), "web 10.1.0.2");
}

TEST_F(PublishTest, AConnectionThatCameThroughAGapDoesNotGoOn) {
  attach({});
  const Service secret(*container_, "udp", 81, "secret");
  const UniqueFd sender = neighbour_->run([] {
    UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in peer{};
    peer.sin_family = AF_INET;
    peer.sin_port = htons(81);
    ::inet_pton(AF_INET, "172.17.0.2", &peer.sin_addr);
    ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&peer), sizeof peer);
    const timeval patience{0, 200000};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
  });
  const auto gets_an_answer = [&] {
    char text[64] = "?";
    ::send(sender.get(), text, 1, 0);
    return ::recv(sender.get(), text, sizeof text, 0) > 0;
  };
  EXPECT_FALSE(gets_an_answer());
  nft("flush ruleset");
  EXPECT_TRUE(gets_an_answer());
  restart();
  networks().recover({make_container_id("web")});
  EXPECT_FALSE(gets_an_answer());
}

TEST_F(PublishTest, AnInterfaceThatComesLaterIsReached) {
  networks().start_watch();
  attach({});
  const Netns late;
  connect_namespaces(-1, "vpn", "10.7.0.1/24", late.fd(), "eth0", "10.7.0.2/24");
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (!ping_from(*container_, "10.7.0.2", 20) && std::chrono::steady_clock::now() < end) {
  }
  EXPECT_TRUE(ping_from(*container_, "10.7.0.2"));
  late.run([] { add_route("0.0.0.0/0", "10.7.0.1"); });
  EXPECT_FALSE(ping_from(late, "10.1.0.2", 200));  // and still is no way through the host
}

TEST_F(PublishTest, AHostThatBecomesARouterLaterIsNotKeptFromIt) {
  networks().start_watch();
  attach({});
  EXPECT_FALSE(ping_from(*neighbour_, "10.2.0.2", 200));
  write_sysctl("net/ipv4/ip_forward", "1");  // what another engine does at its start
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (!ping_from(*neighbour_, "10.2.0.2", 20) && std::chrono::steady_clock::now() < end) {
  }
  EXPECT_TRUE(ping_from(*neighbour_, "10.2.0.2"));
  EXPECT_TRUE(ping_from(*container_, "10.1.0.2"));
}

TEST_F(PublishTest, AThousandPortsAreOneTransaction) {
  std::vector<PortRequest> ports;
  for (int i = 0; i < 1000; ++i) {
    const auto port = static_cast<std::uint16_t>(20000 + i);
    ports.push_back({"127.0.0.1", port, 0, port, "udp"});
  }
  networks().prepare();
  const std::string before = nft("list ruleset");
  const Attachment web = attach(ports);
  EXPECT_EQ(web.ports.size(), 1000U);
  EXPECT_EQ(web.port_holders.size(), 1000U);
  const Service last(*container_, "udp", 20999, "web");
  EXPECT_EQ(ask("udp", "127.0.0.1", 20999), "web 172.17.0.1");
  nft("flush map inet mydocker ports_at");  // so that every single removal fails
  networks().detach(make_container_id("web"));
  EXPECT_EQ(nft("list ruleset"), before);
}

TEST_F(PublishTest, ADeletedTableIsNoticedByTheNextPublishedPort) {
  attach({{"", 8080, 0, 80, "tcp"}});
  nft("delete table inet mydocker");
  const Netns second;
  networks().attach(request("second", second, {{"", 8081, 0, 80, "tcp"}}));
  const Service http(*container_, "tcp", 80, "web");
  EXPECT_EQ(ask_from(*neighbour_, "tcp", "10.1.0.1", 8080), "web 10.1.0.2");
  networks().detach(make_container_id("web"));
  nft("delete table inet mydocker");
  networks().detach(make_container_id("second"));  // gone elements are fine
}

TEST_F(PublishTest, AForeignDropPolicyIsNamed) {
  networks().prepare();
  EXPECT_TRUE(host_warnings().empty()) << host_warnings().front();
  nft("table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; }");
  ASSERT_EQ(host_warnings().size(), 1U);
  EXPECT_NE(host_warnings()[0].find("iptables -I FORWARD -i mydocker0 -j ACCEPT"), std::string::npos);
  nft("delete table ip filter");
  nft("table inet firewall { chain guard { type filter hook forward priority 0; policy drop; }; }");
  EXPECT_NE(host_warnings().at(0).find("nft insert rule inet firewall guard"), std::string::npos);
  // The line that it prints opens the way.
  attach({});
  EXPECT_FALSE(ping_from(*container_, "10.1.0.2", 200));
  nft("insert rule inet firewall guard meta iifname mydocker0 accept; insert rule inet firewall guard meta oifname "
      "mydocker0 "
      "accept");
  EXPECT_TRUE(ping_from(*container_, "10.1.0.2"));
}

TEST_F(PublishTest, ForwardingThatIsOffIsNamed) {
  Options options;
  options.ip_forward = false;
  restart(options);
  networks().prepare();
  ASSERT_EQ(host_warnings().size(), 1U);
  EXPECT_EQ(host_warnings()[0], "IPv4 forwarding is disabled on wan, lan: containers are cut off from there.");
}

}  // namespace
}  // namespace mydocker::network::test
