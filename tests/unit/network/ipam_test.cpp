#include "network/ipam.h"

#include <gtest/gtest.h>

#include "tests/support/requirements.h"

namespace mydocker::network {
namespace {

TEST(Ipv4Address, ReadsFourDecimalPartsOnly) {
  EXPECT_EQ(Ipv4Address::parse("172.17.0.2").value, 0xac110002U);
  EXPECT_EQ(Ipv4Address::parse("0.0.0.0").value, 0U);
  EXPECT_EQ(Ipv4Address::parse("255.255.255.255").text(), "255.255.255.255");
  for (const char* bad : {"", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.4 ", " 1.2.3.4", "1..2.3",
                          "a.b.c.d", "1.2.3.-4", "1.2.3.4/24", "::1", "1.2.3.+4", "0x1.2.3.4"}) {
    EXPECT_FALSE(Ipv4Address::find(bad)) << bad;
  }
  EXPECT_THROW_ERROR(Ipv4Address::parse("x"), ErrorKind::invalid_argument, "invalid IPv4 address: x");
}

TEST(Ipv4Network, KnowsItsBounds) {
  const Ipv4Network network = Ipv4Network::parse("10.5.0.1/24");
  EXPECT_EQ(network.first().text(), "10.5.0.0");
  EXPECT_EQ(network.last().text(), "10.5.0.255");
  EXPECT_EQ(network.range().text(), "10.5.0.0/24");
  EXPECT_TRUE(network.has_host_bits());
  EXPECT_EQ(Ipv4Network::parse("0.0.0.0/0").last().text(), "255.255.255.255");
  EXPECT_EQ(Ipv4Network::parse("10.0.0.7/32").last().text(), "10.0.0.7");
  for (const char* bad : {"", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0/8", "10.0.0.0/8/8"}) {
    EXPECT_THROW_ERROR(Ipv4Network::parse(bad), ErrorKind::invalid_argument, "invalid CIDR address");
  }
}

TEST(Ipv4Network, OverlapsBothWays) {
  const Ipv4Network large = Ipv4Network::parse("172.16.0.0/12");
  const Ipv4Network small = Ipv4Network::parse("172.17.0.0/16");
  EXPECT_TRUE(large.overlaps(small));
  EXPECT_TRUE(small.overlaps(large));
  EXPECT_FALSE(small.overlaps(Ipv4Network::parse("172.18.0.0/16")));
}

TEST(AddressPools, AreDockersInOrder) {
  std::vector<Ipv4Network> taken;
  std::vector<std::string> given;
  while (const auto next = choose_network(default_address_pools(), taken)) {
    given.push_back(next->text());
    taken.push_back(*next);
  }
  ASSERT_EQ(given.size(), 15U + 16U);
  EXPECT_EQ(given[0], "172.17.0.0/16");
  EXPECT_EQ(given[3], "172.20.0.0/16");
  EXPECT_EQ(given[14], "172.31.0.0/16");
  EXPECT_EQ(given[15], "192.168.0.0/20");
  EXPECT_EQ(given[30], "192.168.240.0/20");
}

TEST(AddressPools, SkipWhatOverlapsWithARouteOfTheHost) {
  const std::vector<Ipv4Network> taken{Ipv4Network::parse("172.16.0.0/13"), Ipv4Network::parse("172.24.3.0/24")};
  EXPECT_EQ(choose_network(default_address_pools(), taken)->text(), "172.25.0.0/16");
  const std::vector<Ipv4Network> everything{Ipv4Network::parse("128.0.0.0/1")};
  EXPECT_FALSE(choose_network(default_address_pools(), everything));
}

TEST(ChooseAddress, AscendsAndReusesReleasedOnesLate) {
  const Ipv4Network subnet = Ipv4Network::parse("10.0.0.0/29");  // hosts .1 to .6
  std::set<Ipv4Address> taken{Ipv4Address::parse("10.0.0.1")};
  std::optional<Ipv4Address> last;
  const auto next = [&] {
    last = choose_address(subnet, subnet, taken, last);
    if (last) taken.insert(*last);
    return last ? last->text() : "none";
  };
  EXPECT_EQ(next(), "10.0.0.2");
  EXPECT_EQ(next(), "10.0.0.3");
  taken.erase(Ipv4Address::parse("10.0.0.2"));
  EXPECT_EQ(next(), "10.0.0.4");
  EXPECT_EQ(next(), "10.0.0.5");
  EXPECT_EQ(next(), "10.0.0.6");
  EXPECT_EQ(next(), "10.0.0.2");  // around
  EXPECT_EQ(next(), "none");
}

TEST(ChooseAddress, StaysInsideTheRangeAndOffTheEdges) {
  const Ipv4Network subnet = Ipv4Network::parse("10.0.0.0/24");
  const Ipv4Network range = Ipv4Network::parse("10.0.0.254/31");
  std::set<Ipv4Address> taken;
  EXPECT_EQ(choose_address(subnet, range, taken, {})->text(), "10.0.0.254");
  taken.insert(Ipv4Address::parse("10.0.0.254"));
  EXPECT_FALSE(choose_address(subnet, range, taken, {}));  // .255 is the broadcast address
  const Ipv4Network whole = Ipv4Network::parse("0.0.0.0/0");
  EXPECT_EQ(choose_address(whole, whole, {}, Ipv4Address{0xfffffffeU})->text(), "0.0.0.1");
}

TEST(Mac, IsMadeFromTheAddress) {
  EXPECT_EQ(make_mac(Ipv4Address::parse("172.17.0.2")), "02:42:ac:11:00:02");
  EXPECT_EQ(parse_mac("02-42-AC-11-00-02"), "02:42:ac:11:00:02");
  for (const char* bad : {"", "02:42:ac:11:00", "01:00:5e:00:00:01", "02:42:ac:11:00:0g", "00:00:00:00:00:00",
                          "02:42:ac:11:00:02:", "0242.ac11.0002.xx"}) {
    EXPECT_THROW_ERROR(parse_mac(bad), ErrorKind::invalid_argument, "invalid MAC address");
  }
}

TEST(PortRange, ReadsPortsAndRanges) {
  EXPECT_EQ(parse_port_range("").first, 0);
  EXPECT_EQ(parse_port_range("8080").last, 8080);
  EXPECT_EQ(parse_port_range("8000-8010").first, 8000);
  EXPECT_EQ(parse_port_range("8000-8010").last, 8010);
  for (const char* bad : {"abc", "65536", "-1", "10-", "-", "10-5", "1-2-3", "80/tcp", " 80"}) {
    EXPECT_THROW_ERROR(parse_port_range(bad), ErrorKind::invalid_argument, "invalid port specification: \"");
  }
}

}  // namespace
}  // namespace mydocker::network
