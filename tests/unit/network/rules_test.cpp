#include "network/rules.h"

#include "network/rule_elements.h"
#include "tests/unit/network/lab.h"

namespace mydocker::network::test {
namespace {

PortRule make_port(const std::string& host_ip) {
  return {"udp", Ipv4Address::parse(host_ip), 5353, Ipv4Address::parse("172.17.0.2"), 53};
}

TEST(Rules, NamesNeverBecomeSyntax) {
  RuleSet rules;
  rules.bridges.push_back({"br\"; flush", Ipv4Network::parse("10.0.0.1/24")});
  EXPECT_THROW_ERROR(make_ruleset_text(rules), ErrorKind::invalid_argument, "invalid interface name");
  rules.bridges[0].bridge = "br\"";
  EXPECT_THROW_ERROR(make_ruleset_text(rules), ErrorKind::invalid_argument, "invalid interface name");
}

TEST(Rules, ElementsArePaddedToFourBytes) {
  using Bytes = std::vector<std::uint8_t>;
  EXPECT_EQ(make_port_key(make_port("0.0.0.0")), (Bytes{17, 0, 0, 0, 0x14, 0xe9, 0, 0}));
  EXPECT_EQ(make_port_key(make_port("127.0.0.1")), (Bytes{127, 0, 0, 1, 17, 0, 0, 0, 0x14, 0xe9, 0, 0}));
  EXPECT_EQ(make_port_target(make_port("0.0.0.0")), (Bytes{172, 17, 0, 2, 0, 53, 0, 0}));
}

using RulesTest = NetworkTest;

TEST_F(RulesTest, ElementsOneByOneEqualElementsInTheText) {
  RuleSet rules;
  rules.bridges.push_back({"mydocker0", Ipv4Network::parse("172.17.0.1/16")});
  rules.bridges.push_back({"br-1", Ipv4Network::parse("172.18.0.1/16"), true, false, false});
  rules.ports = {make_port("0.0.0.0"), make_port("127.0.0.1")};
  rules.ports.push_back({"sctp", {}, 9999, Ipv4Address::parse("172.17.0.3"), 9998});
  apply_ruleset(rules);
  const std::string at_once = nft("list table inet mydocker");

  NetlinkSocket socket(NETLINK_NETFILTER);
  const std::vector<PortRule> ports = std::exchange(rules.ports, {});
  apply_ruleset(rules);
  EXPECT_NE(nft("list table inet mydocker"), at_once);
  EXPECT_TRUE(add_port_elements(socket, "mydocker", ports));
  EXPECT_TRUE(add_port_elements(socket, "mydocker", ports));  // the same again is no conflict
  EXPECT_EQ(nft("list table inet mydocker"), at_once);

  remove_port_elements(socket, "mydocker", std::span(ports).first(1));
  remove_port_elements(socket, "mydocker", ports);  // one is gone already
  remove_port_elements(socket, "mydocker", ports);
  const std::string emptied = nft("list table inet mydocker");
  EXPECT_EQ(emptied.find("5353"), std::string::npos) << emptied;
}

TEST_F(RulesTest, ATableThatIsNotThereIsToldApart) {
  NetlinkSocket socket(NETLINK_NETFILTER);
  const std::vector<PortRule> ports{make_port("0.0.0.0")};
  EXPECT_FALSE(has_table(socket, "mydocker"));
  EXPECT_FALSE(add_port_elements(socket, "mydocker", ports));
  remove_port_elements(socket, "mydocker", ports);
  apply_ruleset({});
  EXPECT_TRUE(has_table(socket, "mydocker"));
}

TEST_F(RulesTest, ForeignTablesAreLeftAlone) {
  nft("table ip filter { chain FORWARD { type filter hook forward priority 0; policy drop; }; }");
  nft("table inet other { set s { type ipv4_addr; elements = { 1.2.3.4 }; }; }");
  const std::string before = nft("list ruleset");
  apply_ruleset({});
  nft("delete table inet mydocker");
  EXPECT_EQ(nft("list ruleset"), before);
}

}  // namespace
}  // namespace mydocker::network::test
